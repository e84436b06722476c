//! The models that a person has and can have: the catalogue, downloads under way, and what was found on the disk. Threads do
//! what takes time, and send [`News`]; the panel of the same name shows it. Change here what can be done with a model.

#[cfg(feature = "hub")]
mod download;
mod scan;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender, unbounded};
use instaflow_engine::model_library::{FoundModel, Place, Scan};
use instaflow_engine::protocol::{Carry, Failure, OpenRequest, Role as Part, Source};
use instaflow_engine::{Cancel, model_library};
use instaflow_hub::{Entry, Hub, Licence, Role, State, readable_bytes};

use super::{App, Modal, Work};
use crate::{folders, model_names};

/// Where models come from; tests put their own here.
#[derive(Clone)]
pub struct ModelSources {
    /// Opens the catalogue and the hub's cache. The error is a sentence.
    pub hub: Arc<dyn Fn() -> Result<Hub, String> + Send + Sync>,
    /// Where other programs keep models, and a sentence for each list that could not be read.
    pub places: Arc<dyn Fn() -> (Vec<Place>, Vec<String>) + Send + Sync>,
    /// Where accepted licences are kept.
    pub settings: Option<PathBuf>,
}

impl ModelSources {
    /// This system's.
    pub fn of_system() -> Self {
        Self {
            hub: Arc::new(|| model_names::hub().map_err(|error| format!("{error:#}"))),
            places: Arc::new(model_names::known_places),
            settings: folders::settings(),
        }
    }
}

/// What the panel shows.
pub(crate) struct ModelLibrary {
    sources: ModelSources,
    report: Report,
    news: Receiver<News>,
    /// `None` until the panel was opened once.
    pub hub: Option<Result<Arc<Hub>, String>>,
    /// The catalogue, and what else was asked for.
    pub rows: Vec<Row>,
    /// Which of the two lists is shown.
    pub list: List,
    /// Asked before something is fetched or removed.
    pub question: Option<Question>,
    /// By the ID of the model.
    pub downloads: BTreeMap<String, Download>,
    /// What went wrong last, by the ID of the model.
    pub faults: BTreeMap<String, String>,
    /// What was typed to name a model of the hub.
    pub typed: String,
    pub found: Found,
    /// How often it was looked how much is here. Only the last look counts: an earlier one may come later.
    looks: u64,
}

/// The lists of the panel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum List {
    /// What can be downloaded.
    #[default]
    Catalogue,
    /// What is on this computer.
    Found,
}

/// A model of the catalogue, and how much of it is here.
pub(crate) struct Row {
    pub entry: Entry,
    pub state: State,
    /// Its licences' names.
    pub licences: String,
}

/// Something to answer before anything is done.
pub(crate) enum Question {
    /// Whether the licences of a model are accepted; what is fetched then.
    Licences { id: String, licences: Vec<Licence>, bytes: u64, plan: Planned },
    /// Whether a model is to be removed.
    Remove { id: String, bytes: u64 },
    /// What a fine-tune was tuned from, and how much of it is to be carried over to the open flow.
    Carry { finetune: PathBuf, base: Option<PathBuf>, weight: f32 },
}

#[cfg(feature = "hub")]
pub(crate) type Planned = Box<instaflow_hub::Plan>;
#[cfg(not(feature = "hub"))]
pub(crate) enum Planned {}

/// A download under way.
pub(crate) struct Download {
    /// Bytes that are here and bytes in all; `None` until the hub has said what there is.
    pub progress: Option<(u64, u64)>,
    /// Its rate, the time left, or what it waits for.
    pub words: String,
    stop: Arc<dyn Fn() + Send + Sync>,
}

/// What was found on the disk.
#[derive(Default)]
pub(crate) struct Found {
    pub scan: Scan,
    /// How many headers are read, of how many; `None` when the scan has ended.
    pub progress: Option<(usize, usize)>,
    pub search: String,
    /// Those that the search finds.
    pub shown: Vec<usize>,
    cancel: Cancel,
    began: bool,
}

/// What a model is opened as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Use {
    /// As the model, with a teacher if it has one.
    Model,
    Teacher,
    Baseline,
    TinyDecoder,
    Vae,
    Lora,
    Embedding,
    /// Its difference to its base is carried over to the model that is open.
    Carry,
}

/// What the person did in the panel.
pub(crate) enum ModelAction {
    Turn(List),
    Type(String),
    Download(String),
    /// Chose what a fine-tune was tuned from, and how much of it is carried over.
    EditCarry(Option<PathBuf>, f32),
    /// Takes out what was carried over.
    DropCarry,
    /// Accepted the licences that are shown, or agreed to the removal.
    Agree,
    /// Refused.
    Refuse,
    Stop(String),
    AskRemoval(String),
    /// Uses a model of the catalogue.
    UseEntry(String, Use),
    /// Uses what was found.
    UsePath(PathBuf, Use),
    Search(String),
    AddFolder,
    Rescan,
}

/// What the threads say.
enum News {
    Rows {
        look: u64,
        rows: Vec<Row>,
    },
    #[cfg(feature = "hub")]
    Planned {
        id: String,
        plan: Planned,
    },
    #[cfg(feature = "hub")]
    Progress {
        id: String,
        done: u64,
        total: u64,
        words: String,
    },
    #[cfg(feature = "hub")]
    Waits {
        id: String,
        words: String,
    },
    /// A download or a removal has ended: what to say, or what went wrong; an empty sentence if it was stopped.
    Ended {
        id: String,
        said: Result<String, String>,
    },
    Scanning {
        done: usize,
        total: usize,
    },
    Scanned(Box<Scan>),
}

/// Sends news to the window and wakes it.
#[derive(Clone)]
struct Report {
    news: Sender<News>,
    wake: Arc<dyn Fn() + Send + Sync>,
}

impl Report {
    fn send(&self, news: News) {
        // Fails only if the window is gone, and then nobody needs it.
        self.news.send(news).ok();
        (self.wake)();
    }
}

impl Use {
    /// What its button says.
    pub fn label(self) -> &'static str {
        match self {
            Self::Model => "Open",
            Self::Teacher => "Open as teacher",
            Self::Baseline => "Open as baseline",
            Self::TinyDecoder => "Use as tiny decoder",
            Self::Vae => "Use as decoder",
            Self::Lora => "Add LoRA",
            Self::Embedding => "Add word",
            Self::Carry => "Carry over…",
        }
    }

    /// How a model of the catalogue can be used.
    pub fn of_entry(entry: &Entry) -> Vec<Self> {
        match entry.pieces.first().map(|piece| piece.role) {
            Some(Role::Student) => vec![Self::Model],
            Some(Role::Teacher) => vec![Self::Teacher],
            Some(Role::Baseline) => vec![Self::Baseline, Self::Teacher],
            Some(Role::TinyDecoder) => vec![Self::TinyDecoder],
            Some(Role::Vae) => vec![Self::Vae],
            Some(Role::Lora) => vec![Self::Lora],
            Some(Role::Embedding) => vec![Self::Embedding],
            Some(Role::Controlnet | Role::Other) | None => Vec::new(),
        }
    }
}

impl ModelLibrary {
    pub fn new(sources: ModelSources, wake: Arc<dyn Fn() + Send + Sync>) -> Self {
        let (sender, news) = unbounded();
        Self {
            sources,
            report: Report { news: sender, wake },
            news,
            hub: None,
            rows: Vec::new(),
            list: List::default(),
            question: None,
            downloads: BTreeMap::new(),
            faults: BTreeMap::new(),
            typed: String::new(),
            found: Found::default(),
            looks: 0,
        }
    }

    fn row(&self, id: &str) -> Option<&Row> {
        self.rows.iter().find(|row| row.entry.id == id)
    }

    /// Looks again how much of each model is here.
    fn refresh(&mut self) {
        let Some(Ok(hub)) = &self.hub else { return };
        let (hub, report) = (hub.clone(), self.report.clone());
        self.looks += 1;
        let look = self.looks;
        let mut entries = hub.catalogue().models.clone();
        let more = self.rows.iter().map(|row| &row.entry);
        entries.extend(more.filter(|entry| hub.catalogue().entry(&entry.id).is_none()).cloned());
        std::thread::spawn(move || {
            let row = |entry: Entry| {
                let name = |id: &String| hub.catalogue().licences.get(id).map_or(id.clone(), |text| text.name.clone());
                let licences = entry.licences.iter().map(name).collect::<Vec<_>>().join(", ");
                Row { state: hub.cache().state(&entry), entry, licences }
            };
            report.send(News::Rows { look, rows: entries.into_iter().map(row).collect() });
        });
    }
}

impl Drop for ModelLibrary {
    fn drop(&mut self) {
        self.found.cancel.cancel();
        // What has arrived is kept, and the next download goes on from there.
        for download in self.downloads.values() {
            (download.stop)();
        }
    }
}

impl App {
    /// Opens the panel.
    pub(super) fn show_models(&mut self) {
        self.modal = Some(Modal::Models);
        let library = &mut self.model_library;
        if library.hub.is_none() {
            library.hub = Some((library.sources.hub)().map(Arc::new));
        }
        library.refresh();
        if !library.found.began {
            self.scan();
        }
    }

    /// Takes in what the threads have said.
    pub(super) fn take_model_news(&mut self, ctx: &egui::Context) {
        while let Ok(news) = self.model_library.news.try_recv() {
            let library = &mut self.model_library;
            match news {
                News::Rows { look, rows } if look == library.looks => library.rows = rows,
                News::Rows { .. } => {}
                #[cfg(feature = "hub")]
                News::Planned { id, plan } => self.take_plan(id, plan),
                #[cfg(feature = "hub")]
                News::Progress { id, done, total, words } => {
                    if let Some(download) = library.downloads.get_mut(&id) {
                        (download.progress, download.words) = (Some((done, total)), words);
                    }
                }
                #[cfg(feature = "hub")]
                News::Waits { id, words } => {
                    if let Some(download) = library.downloads.get_mut(&id) {
                        download.words = words;
                    }
                }
                News::Ended { id, said } => {
                    library.downloads.remove(&id);
                    library.refresh();
                    match said {
                        Ok(said) if said.is_empty() => {}
                        Ok(said) => self.notify(ctx, said),
                        Err(fault) if matches!(self.modal, Some(Modal::Models)) => {
                            library.faults.insert(id, fault);
                        }
                        Err(message) => {
                            let advice =
                                "Open Window, Models (Ctrl+M) and download it again: it goes on where it stopped.";
                            self.complain(Failure { message, causes: Vec::new() }, Some(advice));
                        }
                    }
                }
                News::Scanning { done, total } => library.found.progress = Some((done, total)),
                News::Scanned(scan) => {
                    library.found.progress = None;
                    library.found.scan = *scan;
                    library.found.search_again();
                }
            }
        }
    }

    /// Does what was asked for in the panel.
    pub(super) fn act_on_models(&mut self, ctx: &egui::Context, action: ModelAction) {
        let library = &mut self.model_library;
        match action {
            ModelAction::Turn(list) => library.list = list,
            ModelAction::Type(typed) => library.typed = typed,
            ModelAction::Download(name) => self.ask_hub(&name),
            ModelAction::Agree => match library.question.take() {
                #[cfg(feature = "hub")]
                Some(Question::Licences { id, licences, plan, .. }) => self.accept(id, &licences, plan),
                #[cfg(not(feature = "hub"))]
                Some(Question::Licences { plan, .. }) => match plan {},
                Some(Question::Remove { id, .. }) => self.remove_model(id),
                Some(Question::Carry { finetune, base: Some(base), weight }) => {
                    let carry = Carry { finetune: source(&finetune), base: source(&base), weight };
                    self.open(OpenRequest { carry: Some(carry), ..self.models.request().clone() });
                    self.modal = None;
                }
                Some(Question::Carry { .. }) => {}
                None => {}
            },
            ModelAction::EditCarry(chosen, so_much) => {
                if let Some(Question::Carry { base, weight, .. }) = &mut library.question {
                    (*base, *weight) = (chosen, so_much);
                }
            }
            ModelAction::DropCarry => {
                self.open(OpenRequest { carry: None, ..self.models.request().clone() });
                self.modal = None;
            }
            ModelAction::Refuse => library.question = None,
            ModelAction::Stop(id) => {
                if let Some(download) = library.downloads.get(&id) {
                    (download.stop)();
                }
            }
            ModelAction::AskRemoval(id) => {
                if let Some(State::Here { bytes, .. } | State::Partial { bytes }) =
                    library.row(&id).map(|row| &row.state)
                {
                    library.question = Some(Question::Remove { bytes: *bytes, id });
                }
            }
            ModelAction::UseEntry(id, r#use) => {
                let Some(Row { entry, state: State::Here { paths, .. }, .. }) = library.row(&id) else { return };
                let of = |role| entry.pieces.iter().position(|piece| piece.role == role).and_then(|at| paths.get(at));
                let teacher = of(Role::Teacher).cloned().filter(|_| entry.pieces.len() > 1);
                if let Some(path) = paths.first().cloned() {
                    self.use_model(ctx, path, teacher, r#use);
                }
            }
            ModelAction::UsePath(path, r#use) => self.use_model(ctx, path, None, r#use),
            ModelAction::Search(search) => {
                library.found.search = search;
                library.found.search_again();
            }
            ModelAction::AddFolder => {
                if !self.jobs.ask_model_folder() {
                    self.notify(ctx, super::perform::DIALOG_OPEN.to_owned());
                }
            }
            ModelAction::Rescan => self.scan(),
        }
    }

    /// Looks into one more folder from now on.
    pub(super) fn add_model_folder(&mut self, folder: PathBuf) {
        if !self.controls.model_folders.contains(&folder) {
            self.controls.model_folders.push(folder);
        }
        self.model_library.list = List::Found;
        self.scan();
    }

    fn use_model(&mut self, ctx: &egui::Context, path: PathBuf, teacher: Option<PathBuf>, r#use: Use) {
        match r#use {
            Use::Model => {
                let opened = self.models.request().clone();
                let teacher = teacher.as_deref().map(source);
                self.open(OpenRequest { model: source(&path), teacher, as_teacher: false, ..opened });
            }
            Use::Teacher => self.open_model(source(&path), Part::Teacher),
            Use::Baseline => self.open_model(source(&path), Part::Baseline),
            Use::TinyDecoder => {
                let request = self.models.request().clone();
                self.open(OpenRequest { tiny_decoder: Some(path), ..request });
            }
            Use::Vae => {
                let request = self.models.request().clone();
                self.open(OpenRequest { vae: Some(path), ..request });
            }
            Use::Lora => return self.add_lora(ctx, path),
            Use::Embedding => return self.add_embedding(ctx, path),
            Use::Carry => {
                self.model_library.question = Some(Question::Carry { finetune: path, base: None, weight: 1.0 });
                return;
            }
        }
        self.modal = None;
    }

    fn remove_model(&mut self, id: String) {
        let library = &mut self.model_library;
        let (Some(Ok(hub)), Some(row)) = (&library.hub, library.row(&id)) else { return };
        let (hub, entry, report) = (hub.clone(), row.entry.clone(), library.report.clone());
        std::thread::spawn(move || {
            let said = match hub.remove(&entry) {
                Ok(removed) => Ok(format!("{} was removed: {} are free", entry.name, readable_bytes(removed.bytes))),
                Err(error) => Err(sentence(&error)),
            };
            report.send(News::Ended { id, said });
        });
    }

    #[cfg(not(feature = "hub"))]
    fn ask_hub(&mut self, _: &str) {}

    /// The downloads, for the status bar.
    pub(super) fn download_work(&self) -> impl Iterator<Item = Work> {
        self.model_library.downloads.iter().map(|(id, download)| Work {
            what: format!("Downloading {id}"),
            place: download
                .progress
                .map(|(done, total)| format!("{} of {}", readable_bytes(done), readable_bytes(total))),
            part: download.progress.map(|(done, total)| done as f32 / total.max(1) as f32),
            left: None,
            stop: Some(super::Stop::Downloads),
        })
    }

    /// Stops all downloads; what has arrived is kept.
    pub(super) fn stop_downloads(&self) {
        for download in self.model_library.downloads.values() {
            (download.stop)();
        }
    }
}

/// A file or a folder.
fn source(path: &Path) -> Source {
    if path.is_file() { Source::File(path.to_owned()) } else { Source::Folder(path.to_owned()) }
}

/// An error of the hub with a full stop, and with a capital letter unless it begins with a name.
fn sentence(error: &instaflow_hub::Error) -> String {
    let mut text = error.to_string();
    let is_word = text.split(' ').next().is_some_and(|word| word.bytes().all(|letter| letter.is_ascii_lowercase()));
    if let Some(first) = text.get_mut(..1).filter(|_| is_word) {
        first.make_ascii_uppercase();
    }
    text + "."
}

/// The models that a fine-tune may have been tuned from.
pub(crate) fn bases(scan: &Scan) -> impl Iterator<Item = &FoundModel> {
    scan.models.iter().filter(|model| uses_of(model).contains(&Use::Carry))
}

/// How a model that was found can be used.
pub(crate) fn uses_of(model: &FoundModel) -> Vec<Use> {
    use instaflow_engine::checkpoint::Kind;
    use model_library::FoundKind;
    if model.unusable.is_some() {
        return Vec::new();
    }
    match model.kind {
        FoundKind::ModelFolder | FoundKind::Pair | FoundKind::File(Kind::Checkpoint) => {
            vec![Use::Model, Use::Teacher, Use::Baseline, Use::Carry]
        }
        FoundKind::File(Kind::Vae) => vec![Use::Vae],
        FoundKind::File(Kind::TinyAutoencoder) => vec![Use::TinyDecoder],
        FoundKind::File(Kind::Lora(_)) => vec![Use::Lora],
        FoundKind::File(Kind::TextualInversion) => vec![Use::Embedding],
        FoundKind::File(_) => Vec::new(),
    }
}
