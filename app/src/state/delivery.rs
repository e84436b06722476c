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
    /// Into the place of the live picture, which the tiny decoder drew while the person typed.
    Screen,
}

/// Seconds without a change after which the live picture is decoded in full.
const REST: f64 = 0.4;

/// What waits to be decoded.
#[derive(Default)]
pub(super) struct Deliveries {
    waiting: VecDeque<(Picture, Destination)>,
    /// The first of them, once it was sent.
    running: Option<JobId>,
    /// The live picture as the tiny decoder drew it, if the full one's stands there now: the engine knows only the former.
    unrefined: Option<Picture>,
    /// When the live picture is to be decoded in full, in egui's time.
    refine_at: Option<f64>,
}

impl Deliveries {
    /// How many wait on their way out of the window, the one under way included.
    pub fn count(&self) -> usize {
        self.waiting.iter().filter(|(_, then)| !matches!(then, Destination::Screen)).count()
    }

    /// Whether the live picture is being decoded in full, or will be.
    pub fn refines(&self) -> bool {
        self.refine_at.is_some() || self.waiting.iter().any(|(_, then)| matches!(then, Destination::Screen))
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

    /// The decoder that the live lane draws with while the person types.
    pub(super) fn typing_decoder(&self) -> Decoder {
        let has_tiny = self.models.live_card().is_some_and(|card| card.has_tiny_decoder);
        if has_tiny && self.controls.tiny_while_typing { Decoder::Tiny } else { self.live_decoder() }
    }

    /// Notes that the live picture has come, which is decoded in full if it rests.
    pub(super) fn plan_refinement(&mut self, ctx: &egui::Context) {
        let tiny = self.panes.live.picture.as_ref().filter(|picture| picture.settings.decoder == Decoder::Tiny);
        let lacks = tiny.is_some_and(|picture| picture.latents.is_some()) && self.live_decoder() == Decoder::Full;
        self.deliveries.refine_at = lacks.then(|| ctx.time() + REST);
    }

    /// Shows the tiny decoder's picture again if that is wanted, which the engine has drawn last.
    pub(super) fn show_unrefined(&mut self, ctx: &egui::Context) {
        let wanted = self.live_decoder() == Decoder::Tiny;
        let stands = self.panes.live.picture.as_ref().is_some_and(|picture| picture.settings.decoder == Decoder::Full);
        if let Some(tiny) = self.deliveries.unrefined.take_if(|_| wanted && stands) {
            self.panes.live.show(ctx, tiny);
        }
    }

    /// Forgets to decode the live picture in full, because another one is on its way.
    pub(super) fn forget_refinement(&mut self) {
        self.deliveries.refine_at = None;
        let runs = matches!(self.deliveries.waiting.front(), Some((_, Destination::Screen)));
        if runs && self.deliveries.running.is_some() {
            self.engine.send(Request::StopDecoding);
        } else {
            self.deliveries.waiting.retain(|(_, then)| !matches!(then, Destination::Screen));
        }
    }

    /// Decodes the live picture in full once nothing has changed for a while.
    pub(super) fn follow_refinement(&mut self, ctx: &egui::Context) {
        let Some(at) = self.deliveries.refine_at else { return };
        let left = at - ctx.time();
        if left > 0.0 {
            ctx.request_repaint_after(std::time::Duration::from_secs_f64(left));
            return;
        }
        self.deliveries.refine_at = None;
        if let Some(picture) = self.panes.live.picture.clone().filter(|_| self.panes.live.finished) {
            self.deliveries.waiting.push_back((picture, Destination::Screen));
            self.decode_next();
        }
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
                let Picture { timings, straightness, path, remarks, .. } = shown.clone();
                let decoded = Picture { timings, straightness, path, remarks, ..*decoded };
                match then {
                    // Unless another one has come in the meantime.
                    Destination::Screen if self.panes.live.picture.as_ref().is_some_and(|now| now.rgb == shown.rgb) => {
                        self.panes.live.show(ctx, decoded);
                        self.deliveries.unrefined = Some(shown);
                    }
                    Destination::Screen => {}
                    then => self.write(decoded, then),
                }
            }
            // The next live picture tries again.
            DecodeOutcome::Dropped | DecodeOutcome::Failed(_) if matches!(then, Destination::Screen) => {}
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
            Destination::Keep(_) | Destination::Screen => {}
        }
    }
}
