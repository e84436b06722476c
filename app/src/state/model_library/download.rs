//! Downloads: first the hub is asked what there is, then the person is shown the licences, then files are fetched. Each on a
//! thread of its own, and nothing before the person has asked for it.

use std::sync::Arc;
use std::time::Duration;

use instaflow_hub::{Acceptances, Error, Event, Licence, State, Stop, readable_bytes};

use super::{App, Download, News, Planned, Question, Row, sentence};
use crate::model_names;
use crate::state::time_left;

impl App {
    /// Asks the hub what fetching a model would take. The name is an ID of the catalogue, or ORG/NAME.
    pub(super) fn ask_hub(&mut self, name: &str) {
        let library = &mut self.model_library;
        let Some(Ok(hub)) = &library.hub else { return };
        let entry = match hub.catalogue().target(name.trim()) {
            Ok(entry) => entry,
            Err(error) => {
                library.faults.insert(String::new(), sentence(&error));
                return;
            }
        };
        let id = entry.id.clone();
        if library.downloads.contains_key(&id) {
            return;
        }
        library.faults.remove(&id);
        library.faults.remove("");
        if library.row(&id).is_none() {
            library.typed.clear();
            let row = Row { entry: entry.clone(), state: State::Absent, licences: String::new() };
            library.rows.push(row);
        }
        let stop = library.begin(&id);
        let (hub, report) = (library.hub_now(), library.report.clone());
        std::thread::spawn(move || {
            let Some(hub) = hub else { return };
            let waits = |wait: instaflow_hub::Wait| {
                report.send(News::Waits { id: entry.id.clone(), words: wait.to_string() });
            };
            let news = match hub.plan(&entry, model_names::plan_options(), &stop, &waits) {
                Ok(plan) => News::Planned { id: entry.id.clone(), plan: Box::new(plan) },
                Err(error) => News::Ended { id: entry.id.clone(), said: said(&error) },
            };
            report.send(news);
        });
    }

    /// Shows the licences, or goes on if they were accepted before.
    pub(super) fn take_plan(&mut self, id: String, plan: Planned) {
        let library = &mut self.model_library;
        if !library.downloads.contains_key(&id) {
            return;
        }
        let accepted = Acceptances::read(library.sources.settings.as_deref());
        if plan.is_complete() || accepted.have_all(&plan.licences) {
            self.fetch(id, plan, accepted);
            return;
        }
        library.downloads.remove(&id);
        let (licences, bytes) = (plan.licences.clone(), plan.bytes_to_fetch());
        library.question = Some(Question::Licences { id, licences, bytes, plan });
    }

    /// Keeps that the person has accepted these, and begins.
    pub(super) fn accept(&mut self, id: String, licences: &[Licence], plan: Planned) {
        let mut accepted = Acceptances::read(self.model_library.sources.settings.as_deref());
        if let Err(error) = accepted.accept(licences) {
            self.model_library.faults.insert(id, sentence(&error));
            return;
        }
        self.fetch(id, plan, accepted);
    }

    fn fetch(&mut self, id: String, plan: Planned, accepted: Acceptances) {
        let library = &mut self.model_library;
        let stop = library.begin(&id);
        let (hub, report) = (library.hub_now(), library.report.clone());
        let name = library.row(&id).map_or_else(|| id.clone(), |row| row.entry.name.clone());
        std::thread::spawn(move || {
            let Some(hub) = hub else { return };
            let mut on = |event| match event {
                Event::Begin { .. } | Event::Arrived { .. } => {}
                Event::Progress(now) => {
                    let rate = now.rate.map(|rate| format!("{}/s", readable_bytes(rate as u64)));
                    let left = now.left.filter(|left| *left > Duration::ZERO).map(|left| time_left(left.as_secs_f64()));
                    let words = rate.into_iter().chain(left).collect::<Vec<_>>().join(", ");
                    report.send(News::Progress { id: id.clone(), done: now.done, total: now.total, words });
                }
                Event::Waiting(wait) => report.send(News::Waits { id: id.clone(), words: wait.to_string() }),
            };
            let said = match hub.download(&plan, &accepted, &stop, &mut on) {
                Ok(_) => Ok(format!("{name} is here")),
                Err(error) => said(&error),
            };
            report.send(News::Ended { id, said });
        });
    }
}

impl super::ModelLibrary {
    /// A download that has just begun, or goes on.
    fn begin(&mut self, id: &str) -> Stop {
        let stop = Stop::default();
        let ends = stop.clone();
        let words = "Asking the hub".to_owned();
        let download = Download { progress: None, words, stop: Arc::new(move || ends.stop()) };
        self.downloads.insert(id.to_owned(), download);
        stop
    }

    fn hub_now(&self) -> Option<Arc<instaflow_hub::Hub>> {
        self.hub.as_ref()?.as_ref().ok().cloned()
    }
}

fn said(error: &Error) -> Result<String, String> {
    if error.is_stopped() { Ok(String::new()) } else { Err(sentence(error)) }
}
