//! Everything under way that a person may wait for: what it is, its progress, the time left, and how to stop it. The
//! status bar and the panes take it from here. Add a kind of work to [`App::work`].

use std::time::Instant;

use instaflow_engine::protocol::{JobId, Lane, LoadProgress, OpenRequest, Request};

use super::{App, PaneId};

/// A model on its way in.
pub(crate) struct Opening {
    pub id: JobId,
    pub request: OpenRequest,
    /// Whether it takes the place of one that failed.
    pub instead: bool,
    /// Since when weights are read, and how far that is.
    pub progress: Option<(Instant, LoadProgress)>,
}

/// What live drawing is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LiveState {
    /// It is switched off.
    Off,
    /// Nothing has changed.
    Rests,
    /// Something has changed; the engine waits for the end of a word, or for the picture before.
    Waits,
    /// The engine draws.
    Draws,
}

/// Something under way.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Work {
    /// What, in a few words: "Teacher".
    pub what: String,
    /// Where it has come to: "step 3 of 25".
    pub place: Option<String>,
    /// How far, 0 … 1; `None` if nobody can know.
    pub part: Option<f32>,
    /// Seconds left, once some of it was measured.
    pub left: Option<f64>,
    /// How it is stopped; `None` if that would gain nothing.
    pub stop: Option<Stop>,
}

/// What can be stopped by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// The opening of a model; the one before stays.
    Opening,
    /// The decoding of pictures for their files.
    Decoding,
    /// All downloads.
    Downloads,
    /// Whatever a lane draws.
    Lane(Lane),
}

impl Work {
    /// Work of which nobody can know how far it is.
    fn unmeasured(what: String) -> Self {
        Self { what, place: None, part: None, left: None, stop: None }
    }

    /// Where it is and what is left, as far as that is known.
    pub fn progress(&self) -> String {
        let parts = self.place.iter().cloned().chain(self.left.map(time_left));
        parts.collect::<Vec<_>>().join(", ")
    }

    /// All of it in one line.
    pub fn sentence(&self) -> String {
        let progress = self.progress();
        if progress.is_empty() { self.what.clone() } else { format!("{}, {progress}", self.what) }
    }
}

impl Stop {
    /// What its button is called.
    pub fn name(self) -> &'static str {
        match self {
            Self::Opening => "Stop loading",
            Self::Decoding => "Stop saving",
            Self::Downloads => "Stop downloads",
            Self::Lane(Lane::Background) => "Stop the animation",
            Self::Lane(Lane::Batch) => "Stop the other pictures",
            Self::Lane(Lane::Teacher) => "Stop the teacher",
            Self::Lane(Lane::Baseline) => "Stop the baseline",
            Self::Lane(Lane::Live) => "Stop drawing",
        }
    }
}

/// A picture that takes longer than this shows how far it is.
const LONG: f64 = 1.5;

impl App {
    /// What is under way, what a person waits for most first.
    pub(crate) fn work(&self) -> Vec<Work> {
        let mut work = Vec::new();
        work.extend(self.opening_work());
        let waiting = self.deliveries.count();
        if waiting > 0 {
            let what = match waiting {
                1 => "Decoding a picture for its file".to_owned(),
                _ => format!("Decoding {waiting} pictures for their files"),
            };
            work.push(Work { stop: Some(Stop::Decoding), ..Work::unmeasured(what) });
        }
        match self.jobs.writing() {
            0 => {}
            1 => work.push(Work::unmeasured("Writing a file".to_owned())),
            many => work.push(Work::unmeasured(format!("Writing {many} files"))),
        }
        if let Some(export) = &self.export {
            let (done, total, left) = export.progress();
            work.push(Work {
                what: "Animation".to_owned(),
                place: Some(format!("{done} of {total} frames")),
                part: Some(done as f32 / total.max(1) as f32),
                left,
                stop: Some(Stop::Lane(Lane::Background)),
            });
        }
        work.extend(self.pane_work(PaneId::Live));
        if let Some(done) = self.batch.drawing {
            let total = self.batch.wanted.len();
            work.push(Work {
                what: "Other pictures".to_owned(),
                place: Some(format!("{} of {total}", done.min(total))),
                part: Some(done as f32 / total.max(1) as f32),
                left: self.batch.began.and_then(|began| left(began, done as f64, total as f64)),
                stop: Some(Stop::Lane(Lane::Batch)),
            });
        }
        work.extend(self.pane_work(PaneId::Teacher));
        work.extend(self.pane_work(PaneId::Baseline));
        work.extend(self.download_work());
        work
    }

    /// Stops one thing and nothing else.
    pub(crate) fn stop_work(&mut self, stop: Stop) {
        match stop {
            Stop::Opening => self.engine.send(Request::StopOpening),
            Stop::Decoding => self.engine.send(Request::StopDecoding),
            Stop::Downloads => self.stop_downloads(),
            Stop::Lane(lane) => {
                match lane {
                    Lane::Live | Lane::Background => {}
                    Lane::Teacher => self.panes.teacher.due = None,
                    Lane::Baseline => self.panes.baseline.due = None,
                    Lane::Batch => (self.batch.due, self.batch.drawing) = (None, None),
                }
                self.engine.send(Request::Stop(lane));
            }
        }
    }

    fn opening_work(&self) -> Option<Work> {
        let opening = self.models.opening.as_ref()?;
        let stop = Some(Stop::Opening);
        let Some((began, LoadProgress { part, done, total })) = opening.progress else {
            return Some(Work { stop, ..Work::unmeasured("Checking the model".to_owned()) });
        };
        let place = format!("{} of {}", size(done), size(total));
        let (done, total) = (f64::from(done), f64::from(total));
        Some(Work {
            what: format!("Loading {part}"),
            place: Some(place),
            part: Some((done / total.max(1.0)) as f32),
            left: left(began, done, total),
            stop,
        })
    }

    /// A run of many steps by its steps; one of a single long step by how long the one before it took.
    pub(crate) fn pane_work(&self, id: PaneId) -> Option<Work> {
        let pane = self.pane(id);
        let run = pane.run.as_ref()?;
        let who = match id {
            PaneId::Live => "Drawing",
            PaneId::Teacher => "Teacher",
            PaneId::Baseline => "Baseline",
        };
        let stop = Some(Stop::Lane(id.lane()));
        if run.total > 1 {
            let place = Some(format!("step {} of {}", run.done, run.total));
            let part = Some(run.done as f32 / run.total as f32);
            return Some(Work { what: who.to_owned(), place, part, left: run.seconds_left(), stop });
        }
        let before = pane.picture.as_ref().map(|picture| picture.timings.total).filter(|seconds| *seconds > LONG)?;
        let gone = run.began.elapsed().as_secs_f64();
        let part = Some((gone / before).min(0.98) as f32);
        Some(Work { what: who.to_owned(), place: None, part, left: Some((before - gone).max(0.0)), stop })
    }

    /// What stands in the status bar while nothing long is under way.
    pub(crate) fn idle_words(&self) -> &'static str {
        match self.live_state() {
            _ if self.engine.ended => "The drawing engine has ended",
            _ if self.models.open.is_none() => "No model",
            LiveState::Draws => "Drawing",
            _ if self.stopped() => "Stopped: Ctrl+Enter draws",
            LiveState::Off => "Live is off: Enter draws",
            LiveState::Waits => "Waiting for a pause in typing",
            LiveState::Rests => "Ready",
        }
    }

    /// Whether what is set was asked for in the live lane, and will not come: it was stopped, or it failed.
    pub(crate) fn stopped(&self) -> bool {
        let wanted = self.wanted(PaneId::Live);
        let comes = self.panes.live.run.is_some() || self.waits(PaneId::Live);
        self.ready() && !comes && self.panes.live.sent.as_ref() == Some(&wanted) && !self.panes.live.shows(&wanted)
    }
}

/// Seconds left of what has come as far as `done` of `total`: nothing before a twentieth and half a second are measured.
fn left(began: Instant, done: f64, total: f64) -> Option<f64> {
    let gone = began.elapsed().as_secs_f64();
    (gone >= 0.5 && done >= total / 20.0 && done > 0.0).then(|| gone / done * (total - done))
}

/// Mebibytes, or gibibytes if they are many.
fn size(mebibytes: u32) -> String {
    if mebibytes < 1024 { format!("{mebibytes} MiB") } else { format!("{:.1} GiB", f64::from(mebibytes) / 1024.0) }
}

/// Seconds left, as a person reads them.
pub(crate) fn time_left(seconds: f64) -> String {
    match seconds {
        s if s < 1.0 => "less than 1 s left".to_owned(),
        s if s < 90.0 => format!("{s:.0} s left"),
        s if s < 5400.0 => format!("{:.0} min left", s / 60.0),
        s => format!("{:.1} h left", s / 3600.0),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use instaflow_test_support::{Tolerance, assert_close};

    #[test]
    fn time_is_estimated_from_what_was_measured() {
        let ago = |seconds: f64| Instant::now().checked_sub(Duration::from_secs_f64(seconds)).expect("a running clock");
        assert_eq!(left(ago(0.1), 50.0, 100.0), None, "too soon");
        assert_eq!(left(ago(9.0), 1.0, 100.0), None, "too little");
        let seconds = left(ago(10.0), 25.0, 100.0).expect("a quarter in 10 seconds");
        assert_close(seconds, 30.0, Tolerance::absolute(0.1));
        for (seconds, words) in
            [(0.2, "less than 1 s left"), (31.4, "31 s left"), (600.0, "10 min left"), (9000.0, "2.5 h left")]
        {
            assert_eq!(time_left(seconds), words);
        }
        assert_eq!((size(900), size(3482)), ("900 MiB".to_owned(), "3.4 GiB".to_owned()));
    }
}
