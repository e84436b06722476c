//! The kept pictures as the window knows them: which are there, selected, shown large, or being read. Actions on them are
//! in [`super::library_actions`], their files are [`crate::library`]'s, and the filmstrip draws them. Add an action to
//! [`Act`].

use std::path::PathBuf;
use std::sync::Arc;

use instaflow_engine::protocol::{Failure, Picture, Settings};

use super::thumbnails::Thumbnails;
use super::{Pane, Show};
use crate::library::{Catalog, Entry, Library, Purpose};

/// What can be done with a kept picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// Show it in the place of the live picture.
    Open,
    /// Take its settings over.
    Restore,
    /// Mark it as liked, or no longer.
    Star,
    /// Decode its latents with the full decoder.
    DecodeAgain,
    /// Put it on the clipboard.
    Copy,
    /// Save it elsewhere.
    Save,
    /// Show its file in the file manager.
    Reveal,
    /// Delete it.
    Delete,
}

impl Act {
    /// All, in the order of the menu.
    pub const ALL: [Self; 8] =
        [Self::Open, Self::Restore, Self::Star, Self::DecodeAgain, Self::Copy, Self::Save, Self::Reveal, Self::Delete];

    /// What menus and screen readers call it.
    pub fn label(self, entry: &Entry) -> &'static str {
        match self {
            Self::Open => "Open",
            Self::Restore => "Restore settings",
            Self::Star if entry.starred => "Remove star",
            Self::Star => "Star",
            Self::DecodeAgain => "Decode again in full",
            Self::Copy => "Copy kept picture",
            Self::Save => "Save a copy…",
            Self::Reveal => "Show in folder",
            Self::Delete => "Delete",
        }
    }

    /// One sentence more than the label.
    pub fn tooltip(self) -> &'static str {
        match self {
            Self::Open => "Show it large instead of the live picture (Enter).",
            Self::Restore => "Restore its prompt, its seed and all other settings.",
            Self::Star => "Mark it with a star, to find it with Starred (Space).",
            Self::DecodeAgain => {
                "Decode its latents with the full decoder, without drawing again. It was drawn with the tiny one."
            }
            Self::Copy => "Copy it to the clipboard.",
            Self::Save => "Save it as a PNG under a name that you choose.",
            Self::Reveal => "Show its file in the file manager.",
            Self::Delete => "Delete it (Del). You can bring it back for half a minute.",
        }
    }
}

/// Whether pictures can be kept.
pub(crate) enum Standing {
    /// The index is being read.
    Opening,
    /// They can.
    Open,
    /// They cannot; why.
    Closed(Failure),
}

/// A kept picture in the place of the live one.
pub(crate) struct Viewed {
    pub id: u64,
    pub pane: Pane,
    /// What the canvas showed and was to show when it was opened: a change leads back.
    pub(super) before: (Show, Settings),
}

/// The filmstrip.
pub(crate) struct KeptPictures {
    pub(super) library: Option<Library>,
    pub standing: Standing,
    pub shelf: Catalog,
    pub selected: Option<u64>,
    /// Whether the selected one is to be scrolled into sight.
    pub follow: bool,
    pub viewed: Option<Viewed>,
    pub thumbnails: Thumbnails,
    /// Whether the search field is to get the keyboard.
    pub find: bool,
    /// Thumbnails that were asked for.
    pub(super) wished: Vec<u64>,
    /// Pictures on their way to the disk.
    pub(super) keeping: Vec<Arc<[u8]>>,
    /// The picture that is being read to be shown, and the one to read then.
    reading: Option<u64>,
    read_next: Option<u64>,
    /// What can be brought back, the latest last, and until when, in egui's time.
    pub(super) deleted: Vec<u64>,
    pub(super) offer_until: f64,
    /// Those whose latents are being read.
    pub(super) decoding: Vec<u64>,
}

impl KeptPictures {
    /// The pictures kept in a folder, which are read from now on.
    pub fn new(folder: Option<PathBuf>, wake: Arc<dyn Fn() + Send + Sync>) -> Self {
        let standing = if folder.is_some() {
            Standing::Opening
        } else {
            let message = "Pictures cannot be kept: the system has no folder for program data".to_owned();
            Standing::Closed(Failure { message, causes: Vec::new() })
        };
        Self {
            library: folder.map(|folder| Library::spawn(folder, wake)),
            standing,
            shelf: Catalog::default(),
            selected: None,
            follow: false,
            viewed: None,
            thumbnails: Thumbnails::default(),
            find: false,
            wished: Vec::new(),
            keeping: Vec::new(),
            reading: None,
            read_next: None,
            deleted: Vec::new(),
            offer_until: 0.0,
            decoding: Vec::new(),
        }
    }

    /// The selected entry, found by the query or not.
    pub fn selection(&self) -> Option<&Entry> {
        self.shelf.get(self.selected?)
    }

    /// The kept picture in the place of the live one.
    pub fn picture(&self) -> Option<&Picture> {
        self.viewed.as_ref()?.pane.picture.as_ref()
    }

    /// How many can be brought back.
    pub fn deleted(&self) -> usize {
        self.deleted.len()
    }

    /// Replaces a kept picture's pixels.
    pub fn replace(&mut self, id: u64, picture: Picture) {
        // One that was deleted while it was decoded stays so.
        if let Some(library) = self.library.as_ref().filter(|_| self.shelf.get(id).is_some()) {
            library.replace(id, picture);
        }
    }

    /// Whether anything of it is under way.
    pub fn is_busy(&self) -> bool {
        let opening = matches!(self.standing, Standing::Opening);
        opening || !self.keeping.is_empty() || self.reading.is_some() || !self.decoding.is_empty()
    }

    /// Asks for thumbnails, the most wanted last; those asked for before and not among them are no longer wanted.
    pub fn wish(&mut self, ids: Vec<u64>) {
        if ids != self.wished
            && let Some(library) = &self.library
        {
            library.request_thumbnails(ids.clone());
            self.wished = ids;
        }
    }

    /// Whether a picture is kept already, or on its way.
    pub fn has(&self, picture: &Picture) -> bool {
        self.keeping.iter().any(|rgb| Arc::ptr_eq(rgb, &picture.rgb)) || self.kept(picture).is_some()
    }

    pub(super) fn kept(&self, picture: &Picture) -> Option<u64> {
        Some(self.shelf.first(|entry| entry.is_of(picture))?.id)
    }

    /// Selects an entry and brings it into sight.
    pub fn select(&mut self, id: u64) {
        self.selected = Some(id);
        self.follow = true;
    }

    /// Opens the library again after that has failed.
    pub fn retry(&mut self) {
        if let Some(library) = &self.library {
            self.standing = Standing::Opening;
            library.open();
        }
    }

    /// Reads a picture to show it. While one is being read, only the latest request waits.
    pub(super) fn read(&mut self, id: u64) {
        match (&self.library, self.reading) {
            (Some(library), None) => {
                self.reading = Some(id);
                library.read(id, Purpose::Show);
            }
            _ => self.read_next = Some(id),
        }
    }

    /// A picture has been read, or not.
    pub(super) fn was_read(&mut self, id: u64) {
        if self.reading == Some(id) {
            self.reading = None;
            if let Some(next) = self.read_next.take() {
                self.read(next);
            }
        }
    }

    /// An entry is gone from the shelf: its neighbour is selected in its place.
    pub(super) fn take_away(&mut self, id: u64) {
        let place = self.shelf.place(id);
        self.shelf.remove(id);
        if self.selected == Some(id) {
            let neighbour = place.and_then(|at| self.shelf.at(at).or_else(|| self.shelf.at(at.checked_sub(1)?)));
            self.selected = neighbour.map(|entry| entry.id);
            self.follow = true;
        }
        if self.viewed.as_ref().is_some_and(|viewed| viewed.id == id) {
            self.viewed = None;
        }
    }
}
