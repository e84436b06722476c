//! Finds the models on a disk: in the folders of other programs, in the hub's cache, and in any folder. Files are read
//! by their headers alone, and nothing is written or moved. Add another program's folders in [`places`].

mod comfyui;
mod describe;
mod places;
mod sidecar;
mod walk;

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::checkpoint::{Base, Kind};
use crate::{Cancel, Result};
pub use places::{Place, Program, known_places, places_in};

/// What a scan found.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Scan {
    /// The models, by program and path.
    pub models: Vec<FoundModel>,
    /// The folders that were looked into.
    pub places: Vec<Place>,
    /// What could not be read, in sentences. The rest was.
    pub warnings: Vec<String>,
}

/// One model on the disk.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FoundModel {
    /// The file or folder to open.
    pub path: PathBuf,
    /// Whose folder it lies in.
    pub program: Program,
    /// What it is.
    pub kind: FoundKind,
    /// Which model it is or belongs to.
    pub base: Base,
    /// What to call it: its title, or else its file's name.
    pub name: String,
    /// Its title, as whoever made it wrote it.
    pub title: Option<String>,
    /// Words that a prompt needs for it to have its effect.
    pub trigger_words: Vec<String>,
    /// What it is about, in its maker's words.
    pub tags: Vec<String>,
    /// A picture of what it does.
    pub thumbnail: Option<Thumbnail>,
    /// Bytes of its files.
    pub bytes: u64,
    /// Why this program cannot use it: a sentence whose subject, the model, is left out. `None` if it can.
    pub unusable: Option<String>,
}

/// What a model on the disk is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FoundKind {
    /// A folder in Diffusers layout.
    ModelFolder,
    /// A folder with `student/` and `teacher/`.
    Pair,
    /// A single file.
    #[serde(untagged)]
    File(Kind),
}

impl FoundKind {
    /// What people call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::ModelFolder => "model folder",
            Self::Pair => "pair",
            Self::File(kind) => kind.name(),
        }
    }
}

/// A picture of what a model does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Thumbnail {
    /// Inside the file: a data URI.
    Embedded(String),
    /// A picture beside it.
    File(PathBuf),
}

/// What a scan tells while it runs.
#[derive(Clone, Copy, Debug)]
pub enum ScanEvent<'a> {
    /// It looks into this folder, and has found so many files and model folders so far.
    Looking {
        /// The folder.
        folder: &'a Path,
        /// How many to read.
        found: usize,
    },
    /// It has read the headers of this one.
    Read {
        /// What it is.
        model: &'a FoundModel,
        /// How many have been read, this one included.
        done: usize,
        /// How many there are.
        total: usize,
    },
}

impl FoundModel {
    /// Whether every word of `search` occurs in what is known of it. No words match everything.
    pub fn matches(&self, search: &str) -> bool {
        let path = self.path.to_string_lossy();
        let texts = [&self.name, &*path, self.kind.name(), self.base.name(), self.program.name()];
        // Whatever form it has, people call it a LoRA.
        let family = matches!(self.kind, FoundKind::File(Kind::Lora(_))).then_some("lora");
        let more = self.trigger_words.iter().chain(&self.tags).map(String::as_str);
        let all = texts.into_iter().chain(family).chain(more).map(str::to_lowercase).collect::<Vec<_>>().join("\n");
        search.to_lowercase().split_whitespace().all(|word| all.contains(word))
    }
}

/// Looks into `places` and says what the models there are. A file or folder that can be reached in several ways is listed
/// once. `cancel` ends it with [`crate::Error::Cancelled`].
pub fn scan(places: &[Place], on: &mut dyn FnMut(ScanEvent<'_>), cancel: &Cancel) -> Result<Scan> {
    let mut warnings = Vec::new();
    let mut candidates = Vec::new();
    let mut seen = HashSet::new();
    for place in places {
        let mut walk = walk::Walk::new(place, &mut seen, &mut warnings);
        walk.run(&mut |folder, found| on(ScanEvent::Looking { folder, found: candidates.len() + found }), cancel)?;
        candidates.extend(walk.into_found().into_iter().map(|candidate| (place.program, candidate)));
    }
    let total = candidates.len();
    let mut models = Vec::with_capacity(total);
    for (done, (program, candidate)) in candidates.into_iter().enumerate() {
        cancel.check()?;
        let model = describe::describe(program, candidate);
        on(ScanEvent::Read { model: &model, done: done + 1, total });
        models.push(model);
    }
    models.sort_by(|a, b| (a.program, &a.path).cmp(&(b.program, &b.path)));
    Ok(Scan { models, places: places.to_vec(), warnings })
}
