//! The filmstrip's state and what is done with kept pictures. What they are on disk is [`crate::library`]'s, how they
//! look is [`crate::panels`]'. Add something that can be done with one to [`Act`].

use std::path::PathBuf;
use std::sync::Arc;

use instaflow_engine::png::Restored;
use instaflow_engine::protocol::{Decoder, Failure, Lane, Picture, Role, Settings};

use super::decodes::Then;
use super::thumbnails::Thumbnails;
use super::{App, Pane, Show};
use crate::library::{Entry, Library, News, Purpose, Query, Shelf};

/// Seconds in which a deletion can be taken back.
const OFFER: f64 = 30.0;

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
            Self::Open => "Show it large in the place of the live picture (Enter).",
            Self::Restore => "Take over the prompt, the seed and everything else that made it.",
            Self::Star => "Mark it, to find it with 'Starred' (Space).",
            Self::DecodeAgain => {
                "It was drawn with the tiny decoder: decode its latents with the full one, without drawing again."
            }
            Self::Copy => "Copy it to the clipboard.",
            Self::Save => "Save it as a PNG wherever you say.",
            Self::Reveal => "Show its file in the file manager, from where it can be dragged anywhere.",
            Self::Delete => "Delete it (Del). For half a minute it can be brought back.",
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
    before: (Show, Settings),
}

/// The filmstrip.
pub(crate) struct Film {
    library: Option<Library>,
    pub standing: Standing,
    pub shelf: Shelf,
    pub selected: Option<u64>,
    /// Whether the selected one is to be scrolled into sight.
    pub follow: bool,
    pub viewed: Option<Viewed>,
    pub thumbnails: Thumbnails,
    /// Whether the search field is to get the keyboard.
    pub find: bool,
    /// Thumbnails that were asked for.
    wished: Vec<u64>,
    /// Pictures on their way to the disk.
    keeping: Vec<Arc<[u8]>>,
    /// The picture that is being read to be shown, and the one to read then.
    reading: Option<u64>,
    read_next: Option<u64>,
    /// What can be brought back, the latest last, and until when, in egui's time.
    deleted: Vec<u64>,
    offer_until: f64,
    /// Those whose latents are being read.
    decoding: Vec<u64>,
}

impl Film {
    /// The pictures kept in a folder, which are read from now on.
    pub fn new(folder: Option<PathBuf>, wake: Arc<dyn Fn() + Send + Sync>) -> Self {
        let standing = if folder.is_some() {
            Standing::Opening
        } else {
            let message = "Pictures cannot be kept: the system names no folder for a program's data".to_owned();
            Standing::Closed(Failure { message, causes: Vec::new() })
        };
        Self {
            library: folder.map(|folder| Library::spawn(folder, wake)),
            standing,
            shelf: Shelf::default(),
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
            library.wish(ids.clone());
            self.wished = ids;
        }
    }

    /// Whether a picture is kept already, or on its way.
    pub fn has(&self, picture: &Picture) -> bool {
        self.keeping.iter().any(|rgb| Arc::ptr_eq(rgb, &picture.rgb)) || self.kept(picture).is_some()
    }

    fn kept(&self, picture: &Picture) -> Option<u64> {
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

    /// Reads a picture to show it; the latest that was asked for, where one is being read.
    fn read(&mut self, id: u64) {
        match (&self.library, self.reading) {
            (Some(library), None) => {
                self.reading = Some(id);
                library.read(id, Purpose::Show);
            }
            _ => self.read_next = Some(id),
        }
    }

    /// A picture has been read, or not.
    fn was_read(&mut self, id: u64) {
        if self.reading == Some(id) {
            self.reading = None;
            if let Some(next) = self.read_next.take() {
                self.read(next);
            }
        }
    }

    /// An entry is gone from the shelf: its neighbour is selected in its place.
    fn take_away(&mut self, id: u64) {
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

impl App {
    /// How many pictures are kept, and how many of them the search finds.
    pub fn kept(&self) -> (usize, usize) {
        (self.film.shelf.len(), self.film.shelf.found())
    }

    /// The kept picture that stands in the place of the live one.
    pub fn viewed(&self) -> Option<&Picture> {
        self.film.picture()
    }

    /// How many thumbnails are held for drawing.
    pub fn thumbnails(&self) -> usize {
        self.film.thumbnails.len()
    }

    /// Why the chosen picture cannot be kept, or `None` where it can.
    pub(crate) fn why_not_keep(&self) -> Option<&'static str> {
        let pane = self.pane(self.chosen_lane());
        match (&self.film.standing, &pane.picture) {
            _ if self.film.viewed.is_some() => Some("This picture is kept already."),
            (Standing::Closed(_), _) => Some("Pictures cannot be kept now: the line under the picture says why."),
            (_, None) => Some("There is no picture yet."),
            _ if !pane.finished => Some("The picture is still being drawn: wait for its last step."),
            _ => None,
        }
    }

    /// Keeps the chosen picture.
    pub(super) fn keep(&mut self, ctx: &egui::Context) {
        let Some(picture) = self.pane(self.chosen_lane()).picture.clone() else { return };
        if let Some(id) = self.film.kept(&picture) {
            self.film.select(id);
            self.notify(ctx, "This picture is kept already".to_owned());
        } else if !self.film.has(&picture)
            && let Some(library) = &self.film.library
        {
            self.film.keeping.push(picture.rgb.clone());
            library.keep(picture);
        }
    }

    /// Looks for other kept pictures.
    pub(crate) fn find_kept(&mut self, query: Query) {
        self.film.shelf.set_query(query);
        self.film.follow = true;
    }

    /// Why something cannot be done with a kept picture, or `None` where it can.
    pub(crate) fn why_not_act(&self, act: Act, entry: &Entry) -> Option<&'static str> {
        let open = self.model.as_ref().and_then(|model| match entry.settings.role {
            Role::Student => model.student.as_ref(),
            Role::Teacher => model.teacher.as_ref(),
            Role::Baseline => model.baseline.as_ref(),
        });
        let same = open.is_some_and(|card| card.hash == entry.model_hash);
        match act {
            Act::DecodeAgain if entry.settings.decoder == Decoder::Full => {
                Some("The full decoder has made it already.")
            }
            Act::DecodeAgain if !entry.has_latents => Some("Its latents were not kept: restore its settings instead."),
            Act::DecodeAgain if !same => Some("Open the model that drew it first."),
            Act::DecodeAgain if self.is_decoding(entry.id) => Some("It is being decoded."),
            _ => None,
        }
    }

    /// Whether a kept picture is being decoded, or waits for it.
    pub(crate) fn is_decoding(&self, id: u64) -> bool {
        self.film.decoding.contains(&id) || self.decodes.keeps(id)
    }

    /// Does something with a kept picture.
    pub(crate) fn act(&mut self, ctx: &egui::Context, act: Act, id: u64) {
        let Some(entry) = self.film.shelf.get(id).cloned() else { return };
        let Some(library) = self.film.library.as_ref().filter(|_| self.why_not_act(act, &entry).is_none()) else {
            return;
        };
        match act {
            Act::Open => {
                self.film.selected = Some(id);
                self.film.read(id);
            }
            Act::Restore => {
                let model = Some(entry.model).filter(|name| !name.is_empty());
                let model_hash = Some(entry.model_hash).filter(|hash| !hash.is_empty());
                self.offer(
                    ctx,
                    "The kept picture".to_owned(),
                    Restored { settings: entry.settings, model, model_hash },
                );
            }
            Act::Star => library.star(id, !entry.starred),
            Act::DecodeAgain => {
                library.read(id, Purpose::Decode);
                self.film.decoding.push(id);
            }
            Act::Copy => library.read(id, Purpose::Copy),
            Act::Save => library.read(id, Purpose::Save),
            Act::Reveal => library.find(id),
            Act::Delete => library.delete(id, true),
        }
    }

    /// Shows the selected picture large, where one is shown large.
    pub(crate) fn view_selected(&mut self) {
        if let Some(id) = self.film.selected.filter(|_| self.film.viewed.is_some()) {
            self.film.read(id);
        }
    }

    /// Brings the picture that was deleted last back.
    pub(super) fn undelete(&mut self) {
        if let (Some(library), Some(id)) = (&self.film.library, self.film.deleted.pop()) {
            library.delete(id, false);
        }
    }

    /// Takes in what the library has to tell.
    pub(super) fn take_news(&mut self, ctx: &egui::Context) {
        while let Some(news) = self.film.library.as_ref().and_then(Library::news) {
            self.take_one(ctx, news);
        }
    }

    fn take_one(&mut self, ctx: &egui::Context, news: News) {
        let film = &mut self.film;
        match news {
            News::Opened { entries, remarks } => {
                let query = film.shelf.query().clone();
                film.shelf = Shelf::new(entries);
                film.shelf.set_query(query);
                film.standing = Standing::Open;
                for remark in remarks {
                    self.complain(remark, None);
                }
            }
            News::Closed(failure) => film.standing = Standing::Closed(failure),
            News::Kept { entry, rgb } => {
                film.keeping.retain(|other| !Arc::ptr_eq(other, &rgb));
                film.select(entry.id);
                film.shelf.put(*entry);
                self.notify(ctx, "Picture kept".to_owned());
            }
            News::NotKept { failure, rgb } => {
                film.keeping.retain(|other| !Arc::ptr_eq(other, &rgb));
                // Said once, however often it is tried on a full disk.
                self.messages.retain(|message| message.failure.message != failure.message);
                self.complain(
                    failure,
                    Some("The picture is still on screen: make room, or save it elsewhere (Ctrl+S)."),
                );
            }
            News::Changed(entry) if entry.deleted => {
                film.take_away(entry.id);
                film.deleted.push(entry.id);
                film.offer_until = ctx.time() + OFFER;
            }
            News::Changed(entry) => {
                if film.shelf.get(entry.id).is_none() {
                    film.select(entry.id);
                }
                film.shelf.put(*entry);
            }
            News::Replaced(entry) => {
                let id = entry.id;
                film.thumbnails.forget(id);
                film.wished.clear();
                film.shelf.put(*entry);
                if film.viewed.as_ref().is_some_and(|viewed| viewed.id == id) {
                    film.read(id);
                }
                self.notify(ctx, "Decoded again in full".to_owned());
            }
            News::Purged(ids) => ids.into_iter().for_each(|id| film.thumbnails.forget(id)),
            News::Thumbnail { id, image } => film.thumbnails.insert(ctx, id, image),
            News::Read { id, purpose: Purpose::Show, picture } => {
                film.was_read(id);
                self.view(ctx, id, *picture);
            }
            News::Read { purpose: Purpose::Copy, picture, .. } => self.deliver(*picture, Then::Copy),
            News::Read { id, purpose: Purpose::Decode, picture } => {
                film.decoding.retain(|other| *other != id);
                self.decode_kept(id, *picture);
            }
            News::Read { purpose: Purpose::Save, picture, .. } => {
                if !self.jobs.ask_where(*picture, self.controls.metadata) {
                    self.notify(ctx, super::actions::DIALOG_OPEN.to_owned());
                }
            }
            News::Place(path) => self.jobs.reveal(path),
            News::Failed { id, failure } => {
                film.was_read(id);
                film.decoding.retain(|other| *other != id);
                self.complain(failure, None);
            }
        }
    }

    fn view(&mut self, ctx: &egui::Context, id: u64, picture: Picture) {
        // It may have been deleted while it was read.
        if self.film.shelf.get(id).is_none() {
            return;
        }
        let before = (self.controls.show, self.wanted(Lane::Live));
        let viewed = self.film.viewed.get_or_insert_with(|| Viewed { id, pane: Pane::new("kept"), before });
        viewed.id = id;
        viewed.pane.show(ctx, picture);
    }

    /// Leads back to the live picture where that has been changed, and lets go what was deleted long enough ago.
    pub(super) fn follow_film(&mut self, ctx: &egui::Context) {
        if self.film.viewed.is_some() {
            let now = (self.controls.show, self.wanted(Lane::Live));
            self.film.viewed.take_if(|viewed| viewed.before != now);
        }
        if self.film.deleted.is_empty() {
            return;
        }
        let left = self.film.offer_until - ctx.time();
        if left > 0.0 {
            ctx.request_repaint_after(std::time::Duration::from_secs_f64(left));
        } else if let Some(library) = &self.film.library {
            library.purge(std::mem::take(&mut self.film.deleted));
        }
    }
}
