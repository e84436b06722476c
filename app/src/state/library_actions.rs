//! What can be done with kept pictures, and what follows from the library's news. Carry out a new [`Act`] in
//! [`App::act`].

use std::sync::Arc;

use instaflow_engine::png::Restored;
use instaflow_engine::protocol::{Decoder, Picture};

use super::delivery::Destination;
use super::kept_pictures::{Act, Standing, Viewed};
use super::{About, App, Pane, PaneId};
use crate::library::{Catalog, Entry, Library, News, Purpose, Query};

/// Seconds in which a deletion can be taken back.
const OFFER: f64 = 30.0;

impl App {
    /// How many pictures are kept, and how many of them the search finds.
    pub fn kept(&self) -> (usize, usize) {
        (self.kept_pictures.shelf.len(), self.kept_pictures.shelf.found())
    }

    /// The kept picture that stands in the place of the live one.
    pub fn viewed(&self) -> Option<&Picture> {
        self.kept_pictures.picture()
    }

    /// How many thumbnails are held for drawing.
    pub fn thumbnails(&self) -> usize {
        self.kept_pictures.thumbnails.len()
    }

    /// Why the chosen picture cannot be kept, or `None` if it can.
    pub(crate) fn why_not_keep(&self) -> Option<&'static str> {
        let pane = self.pane(self.chosen_pane());
        match (&self.kept_pictures.standing, &pane.picture) {
            _ if self.kept_pictures.viewed.is_some() => Some("This picture is already kept."),
            (Standing::Closed(_), _) => Some("Pictures cannot be kept now: the line under the picture says why."),
            (_, None) => Some("There is no picture yet."),
            _ if !pane.finished => Some(self.why_unfinished(self.chosen_pane())),
            _ => None,
        }
    }

    /// Keeps the chosen picture.
    pub(super) fn keep(&mut self, ctx: &egui::Context) {
        let Some(picture) = self.pane(self.chosen_pane()).picture.clone() else { return };
        if let Some(id) = self.kept_pictures.kept(&picture) {
            self.kept_pictures.select(id);
            self.notify(ctx, "This picture is already kept".to_owned());
        } else if !self.kept_pictures.has(&picture)
            && let Some(library) = &self.kept_pictures.library
        {
            self.kept_pictures.keeping.push(picture.rgb.clone());
            library.keep(picture);
        }
    }

    /// Looks for other kept pictures.
    pub(crate) fn find_kept(&mut self, query: Query) {
        self.kept_pictures.shelf.set_query(query);
        self.kept_pictures.follow = true;
    }

    /// Why something cannot be done with a kept picture, or `None` if it can.
    pub(crate) fn why_not_act(&self, act: Act, entry: &Entry) -> Option<&'static str> {
        let open = self.models.open.as_ref().and_then(|model| model.card(entry.settings.role));
        let same = open.is_some_and(|card| card.hash == entry.model_hash);
        match act {
            Act::DecodeAgain if entry.settings.decoder == Decoder::Full => Some("The full decoder already made it."),
            Act::DecodeAgain if !entry.has_latents => Some("Its latents were not kept: restore its settings instead."),
            Act::DecodeAgain if !same => Some("Open the model that drew it first."),
            Act::DecodeAgain if self.is_decoding(entry.id) => Some("It is being decoded."),
            _ => None,
        }
    }

    /// Whether a kept picture is being decoded, or waits for it.
    pub(crate) fn is_decoding(&self, id: u64) -> bool {
        self.kept_pictures.decoding.contains(&id) || self.deliveries.keeps(id)
    }

    /// Does something with a kept picture.
    pub(crate) fn act(&mut self, ctx: &egui::Context, act: Act, id: u64) {
        let Some(entry) = self.kept_pictures.shelf.get(id).cloned() else { return };
        let Some(library) = self.kept_pictures.library.as_ref().filter(|_| self.why_not_act(act, &entry).is_none())
        else {
            return;
        };
        match act {
            Act::Open => {
                self.kept_pictures.selected = Some(id);
                self.kept_pictures.read(id);
            }
            Act::Restore => {
                let model = Some(entry.model).filter(|name| !name.is_empty());
                let model_hash = Some(entry.model_hash).filter(|hash| !hash.is_empty());
                self.offer(
                    ctx,
                    "The kept picture".to_owned(),
                    Restored { settings: entry.settings, model, model_hash, bf16_products: None, remarks: Vec::new() },
                );
            }
            Act::Star => library.star(id, !entry.starred),
            Act::DecodeAgain => {
                library.read(id, Purpose::Decode);
                self.kept_pictures.decoding.push(id);
            }
            Act::Copy => library.read(id, Purpose::Copy),
            Act::Save => library.read(id, Purpose::Save),
            Act::Reveal => library.locate(id),
            Act::Delete => library.delete(id, true),
        }
    }

    /// Shows the selected picture large, if one is shown large.
    pub(crate) fn view_selected(&mut self) {
        if let Some(id) = self.kept_pictures.selected.filter(|_| self.kept_pictures.viewed.is_some()) {
            self.kept_pictures.read(id);
        }
    }

    /// Brings the picture that was deleted last back.
    pub(super) fn undelete(&mut self) {
        if let (Some(library), Some(id)) = (&self.kept_pictures.library, self.kept_pictures.deleted.pop()) {
            library.delete(id, false);
        }
    }

    /// Takes in what the library has to tell.
    pub(super) fn take_news(&mut self, ctx: &egui::Context) {
        while let Some(news) = self.kept_pictures.library.as_ref().and_then(Library::news) {
            self.take_one(ctx, news);
        }
    }

    fn take_one(&mut self, ctx: &egui::Context, news: News) {
        let film = &mut self.kept_pictures;
        match news {
            News::Opened { entries, remarks } => {
                let query = film.shelf.query().clone();
                film.shelf = Catalog::new(entries);
                film.shelf.set_query(query);
                film.standing = Standing::Open;
                self.settle(About::Library);
                for remark in remarks {
                    self.complain_of(About::Library, remark, None);
                }
            }
            News::Closed(failure) => film.standing = Standing::Closed(failure),
            News::Kept { entry, rgb } => {
                self.notices.settle(About::Library);
                film.keeping.retain(|other| !Arc::ptr_eq(other, &rgb));
                film.select(entry.id);
                film.shelf.put(*entry);
                self.notify(ctx, "Picture kept".to_owned());
            }
            News::NotKept { failure, rgb } => {
                film.keeping.retain(|other| !Arc::ptr_eq(other, &rgb));
                // Said once, however often it is tried on a full disk.
                self.notices.settle(About::Library);
                self.complain_of(
                    About::Library,
                    failure,
                    Some("The picture is still on screen: make room, or save it elsewhere (Ctrl+S)."),
                );
            }
            News::Changed(entry) if entry.deleted => {
                film.take_away(entry.id);
                // The key may have been pressed again before the first answer came.
                film.deleted.retain(|other| *other != entry.id);
                film.deleted.push(entry.id);
                film.offer_until = ctx.time() + OFFER;
            }
            News::Changed(entry) => {
                film.deleted.retain(|other| *other != entry.id);
                if film.shelf.get(entry.id).is_none() {
                    film.select(entry.id);
                }
                film.shelf.put(*entry);
            }
            News::Replaced(entry) => {
                let id = entry.id;
                film.thumbnails.forget(id);
                film.wished.clear();
                if entry.deleted {
                    return;
                }
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
            News::Read { purpose: Purpose::Copy, picture, .. } => self.deliver(*picture, Destination::Copy),
            News::Read { id, purpose: Purpose::Decode, picture } => {
                film.decoding.retain(|other| *other != id);
                self.decode_kept(ctx, id, *picture);
            }
            News::Read { purpose: Purpose::Save, picture, .. } => {
                if !self.jobs.ask_where(*picture, self.controls.metadata) {
                    self.notify(ctx, super::perform::DIALOG_OPEN.to_owned());
                }
            }
            News::Located(path) => self.jobs.reveal(path),
            News::Failed { id, failure } => {
                film.was_read(id);
                film.decoding.retain(|other| *other != id);
                self.complain(failure, None);
            }
        }
    }

    fn view(&mut self, ctx: &egui::Context, id: u64, picture: Picture) {
        // It may have been deleted while it was read.
        if self.kept_pictures.shelf.get(id).is_none() {
            return;
        }
        let before = (self.controls.show, self.wanted(PaneId::Live));
        let viewed = self.kept_pictures.viewed.get_or_insert_with(|| Viewed { id, pane: Pane::new("kept"), before });
        viewed.id = id;
        viewed.pane.show(ctx, picture);
    }

    /// Leads back to the live picture once that has been changed, and lets go what was deleted long enough ago.
    pub(super) fn follow_kept_pictures(&mut self, ctx: &egui::Context) {
        if self.kept_pictures.viewed.is_some() {
            let now = (self.controls.show, self.wanted(PaneId::Live));
            self.kept_pictures.viewed.take_if(|viewed| viewed.before != now);
        }
        if self.kept_pictures.deleted.is_empty() {
            return;
        }
        let left = self.kept_pictures.offer_until - ctx.time();
        if left > 0.0 {
            ctx.request_repaint_after(std::time::Duration::from_secs_f64(left));
        } else if let Some(library) = &self.kept_pictures.library {
            library.purge(std::mem::take(&mut self.kept_pictures.deleted));
        }
    }
}
