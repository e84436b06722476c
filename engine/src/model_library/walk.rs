//! Walks through a folder of models, with bounds: how deep, how many files, and no folder twice, whatever links there
//! are.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use super::places::{Place, Program};
use crate::{Cancel, Result};

/// Folders of models nest less deep than this.
const DEPTH: usize = 12;

/// Files and folders that are looked at in one place.
const MOST_ENTRIES: usize = 300_000;

/// What programs have beside their models.
const SKIPPED: [&str; 10] = [
    "node_modules",
    "venv",
    "env",
    "__pycache__",
    "site-packages",
    "outputs",
    "output",
    "logs",
    "safety_checker",
    "feature_extractor",
];

/// Something to read the headers of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Candidate {
    /// A folder in Diffusers layout.
    Folder(PathBuf),
    /// A folder with `student/` and `teacher/`.
    Pair(PathBuf),
    /// A file of weights, whatever its form.
    File(PathBuf),
}

/// One place, from its top down.
pub(super) struct Walk<'a> {
    place: &'a Place,
    /// Files and folders by their real paths, over all places.
    seen: &'a mut HashSet<PathBuf>,
    warnings: &'a mut Vec<String>,
    found: Vec<Candidate>,
    entries: usize,
}

impl<'a> Walk<'a> {
    pub fn new(place: &'a Place, seen: &'a mut HashSet<PathBuf>, warnings: &'a mut Vec<String>) -> Self {
        Self { place, seen, warnings, found: Vec::new(), entries: 0 }
    }

    /// Looks at everything. `on` hears of each folder and of how much was found before it.
    pub fn run(&mut self, on: &mut dyn FnMut(&Path, usize), cancel: &Cancel) -> Result<()> {
        let mut folders = vec![(self.place.folder.clone(), 0)];
        if self.place.program == Program::HubCache {
            folders = self.snapshots();
        }
        while let Some((folder, depth)) = folders.pop() {
            cancel.check()?;
            if !self.is_new(&folder) {
                continue;
            }
            on(&folder, self.found.len());
            if let Some(model) = as_model(&folder) {
                self.found.push(model);
                continue;
            }
            let entries = match folder.read_dir() {
                Ok(entries) => entries,
                Err(error) => {
                    self.warnings.push(format!("{} cannot be read: {error}", folder.display()));
                    continue;
                }
            };
            for entry in entries.flatten() {
                self.entries += 1;
                if self.entries > MOST_ENTRIES {
                    let place = self.place.folder.display();
                    self.warnings.push(format!("{place} holds more than {MOST_ENTRIES} files: the rest is left out"));
                    return Ok(());
                }
                let (path, name) = (entry.path(), entry.file_name());
                // Follows links: many collections are made of them.
                let Ok(metadata) = path.metadata() else {
                    if is_weights(&path) {
                        self.warnings.push(format!("{} is a link to a file that is not there", path.display()));
                    }
                    continue;
                };
                if metadata.is_dir() && depth < DEPTH && !is_skipped(&name) {
                    folders.push((path, depth + 1));
                } else if metadata.is_file() && is_weights(&path) && self.is_new(&path) {
                    self.found.push(Candidate::File(path));
                }
            }
        }
        self.found.sort();
        Ok(())
    }

    pub fn into_found(self) -> Vec<Candidate> {
        self.found
    }

    /// The newest snapshot of each repository in the hub's cache: the one that its branch has, or else all.
    fn snapshots(&mut self) -> Vec<(PathBuf, usize)> {
        let mut folders = Vec::new();
        for repository in self.place.folder.read_dir().into_iter().flatten().flatten() {
            if !repository.file_name().to_string_lossy().starts_with("models--") {
                continue;
            }
            let repository = repository.path();
            let snapshots = repository.join("snapshots");
            let main = repository.join("refs/main");
            let small = main.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.len() <= 256);
            let commit = small.then(|| std::fs::read_to_string(main).ok()).flatten();
            let current = commit.map(|commit| snapshots.join(commit.trim())).filter(|folder| folder.is_dir());
            if let Some(folder) = current {
                folders.push((folder, 0));
            } else {
                let all = snapshots.read_dir().into_iter().flatten().flatten();
                folders.extend(all.map(|entry| (entry.path(), 0)));
            }
        }
        folders
    }

    fn is_new(&mut self, path: &Path) -> bool {
        path.canonicalize().is_ok_and(|real| self.seen.insert(real))
    }
}

/// The folder as one model, if it is one.
fn as_model(folder: &Path) -> Option<Candidate> {
    let is_model =
        |folder: &Path| folder.join("model_index.json").is_file() || folder.join("unet/config.json").is_file();
    if is_model(folder) {
        return Some(Candidate::Folder(folder.to_owned()));
    }
    let pair = is_model(&folder.join("student")) && is_model(&folder.join("teacher"));
    pair.then(|| Candidate::Pair(folder.to_owned()))
}

fn is_skipped(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    name.starts_with('.') || SKIPPED.contains(&&*name)
}

/// Whether a file may hold weights, by its name.
fn is_weights(path: &Path) -> bool {
    let ending = path.extension().and_then(OsStr::to_str).unwrap_or_default().to_ascii_lowercase();
    ["safetensors", "sft", "ckpt", "pt", "pth", "bin", "gguf"].contains(&ending.as_str())
}
