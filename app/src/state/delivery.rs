//! Pictures on their way into a file or onto the clipboard. If the settings say so, what was drawn with the tiny decoder
//! is first decoded in full, from the latents it came from. The engine holds one such job at a time; the others wait
//! here. Add where a picture can go to [`Destination`].

use std::collections::VecDeque;
use std::path::PathBuf;

use instaflow_engine::protocol::{DecodeOutcome, Decoder, JobId, Picture, Request, Settings};

use super::App;
use super::jobs::targets::SaveAs;

/// Where a picture goes.
pub(super) enum Destination {
    /// To this path; whether a file there may be replaced, which the dialog has asked.
    SaveAs(PathBuf, bool),
    /// Into the output folder.
    SaveQuick,
    /// Onto the clipboard.
    Copy,
    /// Into the place of this kept picture, if it was decoded in full.
    Keep(u64),
}

/// What waits to be decoded.
#[derive(Default)]
pub(super) struct Deliveries {
    waiting: VecDeque<(Picture, Destination)>,
    /// The first of them, once it was sent.
    running: Option<JobId>,
}

impl Deliveries {
    /// How many wait, the one under way included.
    pub fn count(&self) -> usize {
        self.waiting.len()
    }

    /// Whether this kept picture is among them.
    pub fn keeps(&self, id: u64) -> bool {
        self.waiting.iter().any(|(_, then)| matches!(then, Destination::Keep(its) if *its == id))
    }
}

impl App {
    /// The decoder that files are made with.
    pub(crate) fn file_decoder(&self) -> Decoder {
        match self.controls.file_decoder {
            Decoder::Full => Decoder::Full,
            Decoder::Tiny => self.live_decoder(),
        }
    }

    /// The decoder of what is on screen: a tiny one only if there is one.
    pub(crate) fn live_decoder(&self) -> Decoder {
        let has_tiny = self.models.live_card().is_some_and(|card| card.has_tiny_decoder);
        if has_tiny { self.controls.recipe.decoder } else { Decoder::Full }
    }

    /// Sends a picture where it goes, decoded in full first if that is wanted.
    pub(super) fn deliver(&mut self, picture: Picture, then: Destination) {
        let lacks = self.controls.file_decoder == Decoder::Full && picture.settings.decoder == Decoder::Tiny;
        let is_open = self.models.drew(&picture);
        if lacks && is_open && picture.latents.is_some() && self.ready() {
            self.deliveries.waiting.push_back((picture, then));
            self.decode_next();
        } else {
            self.write(picture, then);
        }
    }

    /// Decodes a kept picture again, in full; whose model another took the place of while it was read stays as it was.
    pub(super) fn decode_kept(&mut self, ctx: &egui::Context, id: u64, picture: Picture) {
        if !self.ready() || !self.models.drew(&picture) {
            return self.notify(ctx, "It cannot be decoded again: the model that drew it is no longer open".to_owned());
        }
        self.deliveries.waiting.push_back((picture, Destination::Keep(id)));
        self.decode_next();
    }

    /// The decoding under way has ended.
    pub(super) fn end_decode(&mut self, ctx: &egui::Context, id: JobId, outcome: DecodeOutcome) {
        if self.deliveries.running.take_if(|running| *running == id).is_none() {
            return;
        }
        let Some((shown, then)) = self.deliveries.waiting.pop_front() else { return };
        match outcome {
            DecodeOutcome::Decoded(decoded) => {
                let Picture { timings, straightness, path, .. } = shown;
                self.write(Picture { timings, straightness, path, ..*decoded }, then);
            }
            DecodeOutcome::Failed(failure) => {
                let advice = match then {
                    Destination::Keep(_) => "The kept picture stays as it was.",
                    _ => "The picture was saved as it is on screen, from the tiny decoder.",
                };
                self.complain(failure, Some(advice));
                self.write(shown, then);
            }
            DecodeOutcome::Dropped => {
                self.deliveries.waiting.clear();
                self.notify(ctx, "Stopped: nothing was saved".to_owned());
            }
        }
        self.decode_next();
    }

    /// Writes what still waits as it is on screen: the model goes, or the window does.
    pub(super) fn write_undecoded(&mut self) {
        self.deliveries.running = None;
        while let Some((shown, then)) = self.deliveries.waiting.pop_front() {
            self.write(shown, then);
        }
    }

    fn decode_next(&mut self) {
        if self.deliveries.running.is_some() {
            return;
        }
        let Some((picture, _)) = self.deliveries.waiting.front() else { return };
        let Some(latents) = picture.latents.clone() else { return };
        let settings = Settings { decoder: Decoder::Full, ..picture.settings.clone() };
        let id = self.engine.new_id();
        self.deliveries.running = Some(id);
        self.engine.send(Request::Decode { id, settings, latents });
    }

    fn write(&mut self, picture: Picture, then: Destination) {
        let metadata = self.controls.metadata;
        match then {
            Destination::SaveAs(path, overwrite) => self.jobs.save(SaveAs { path, picture, metadata, overwrite }),
            Destination::SaveQuick => self.jobs.save_quick(picture, metadata),
            Destination::Copy => self.jobs.copy(picture),
            Destination::Keep(id) if picture.settings.decoder == Decoder::Full => {
                self.kept_pictures.replace(id, picture);
            }
            Destination::Keep(_) => {}
        }
    }
}
