//! The way between two prompts or two seeds as an animation: which frames it has, and what happens when they arrive.
//! They are written in [`super::jobs`].

use std::time::Instant;

use instaflow_engine::protocol::{Blend, DrawOutcome, JobId, Lane, Picture, Request, Settings, Toward};

use super::jobs::targets::{Animation, Target};
use super::{App, PaneId};

/// An animation whose frames are being drawn.
pub struct Export {
    id: JobId,
    target: Target,
    frames: Vec<Picture>,
    total: usize,
    began: Instant,
}

impl Export {
    /// Frames drawn, frames in all, and the seconds left once one was measured.
    pub fn progress(&self) -> (usize, usize, Option<f64>) {
        let (done, left) = (self.frames.len(), self.total - self.frames.len());
        let left = (done > 0).then(|| self.began.elapsed().as_secs_f64() / done as f64 * left as f64);
        (done, self.total, left)
    }
}

impl App {
    /// Why there is no way to animate, or `None` if there is.
    pub(crate) fn no_way(&self) -> Option<&'static str> {
        if self.models.open.is_none() {
            return Some("No model is open.");
        }
        if self.export.is_some() {
            return Some("An animation is being drawn: wait for it, or stop it with Esc.");
        }
        let controls = &self.controls;
        let has_way = !controls.recipe.second_prompt.trim().is_empty() || controls.recipe.seed_mix > 0.0;
        (!has_way).then_some("First type a second prompt, or move the slider toward a second seed.")
    }

    /// The frames from the beginning of each way that is in use to its end.
    fn frames(&self) -> Vec<Settings> {
        let live = Settings { decoder: self.file_decoder(), ..self.wanted(PaneId::Live) };
        let controls = &self.controls;
        let words = Some(controls.recipe.second_prompt.clone()).filter(|words| !words.trim().is_empty());
        let seed = (controls.recipe.seed_mix > 0.0).then_some(controls.recipe.second_seed);
        let last = controls.frames.max(2) - 1;
        let frame = |k: u32| {
            let by = k as f32 / last as f32;
            // The beginning of a way is no way at all.
            let prompt = words.clone().filter(|_| k > 0).map(|to| Toward { to, by });
            let seed = seed.filter(|_| k > 0).map(|to| Toward { to, by });
            Settings { blend: Blend { prompt, seed }, ..live.clone() }
        };
        (0..=last).map(frame).collect()
    }

    /// Begins to draw the frames.
    pub(super) fn animate(&mut self, target: Target) {
        if self.no_way().is_some() {
            return;
        }
        let series = self.frames();
        let (id, asked) = (self.engine.new_id(), Instant::now());
        self.engine.under_way.insert(id, (Lane::Background, asked));
        self.export = Some(Export { id, target, frames: Vec::new(), total: series.len(), began: asked });
        self.engine.send(Request::DrawSeries { id, lane: Lane::Background, series, asked });
    }

    /// A frame has come.
    pub(super) fn take_frame(&mut self, id: JobId, picture: Picture) {
        if let Some(export) = self.export.as_mut().filter(|export| export.id == id) {
            export.frames.push(picture);
        }
    }

    /// The last frame has come, or none will.
    pub(super) fn end_export(&mut self, ctx: &egui::Context, id: JobId, outcome: DrawOutcome) {
        let Some(mut export) = self.export.take_if(|export| export.id == id) else { return };
        match outcome {
            DrawOutcome::Drawn { picture, .. } => {
                export.frames.push(*picture);
                let Export { frames, target, .. } = export;
                let (rate, metadata) = (self.controls.frame_rate, self.controls.metadata);
                self.jobs.animate(Animation { frames, rate, metadata, target });
            }
            DrawOutcome::Failed(failure) => {
                self.complain(failure, Some("Nothing was written. Export the animation again."));
            }
            DrawOutcome::Dropped | DrawOutcome::Unchanged => {
                self.notify(ctx, "The animation was stopped; nothing was written".to_owned());
            }
        }
    }
}
