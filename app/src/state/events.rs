//! What arrives: the engine's events and finished jobs.

use std::time::Instant;

use crossbeam_channel::TryRecvError;
use instaflow_engine::protocol::{
    DecodeEvent, DrawEvent, DrawOutcome, Event, Failure, JobId, Lane, OpenEvent, OpenOutcome, Picture, Role, Source,
    Step,
};
use tracing::info_span;

use super::delivery::Destination;
use super::error_details::describe;
use super::jobs::results::Done;
use super::jobs::targets::SaveAs;
use super::{About, App, Batch, LogView, Modal, PaneId, RecipeQuestion, Run};
use crate::format;

impl App {
    /// Takes in everything the engine has said since the last frame.
    pub(super) fn take_events(&mut self, ctx: &egui::Context) {
        loop {
            match self.engine.events().try_recv() {
                Ok(event) => self.take_event(ctx, event),
                Err(TryRecvError::Empty) => return,
                Err(TryRecvError::Disconnected) if self.engine.ended => return,
                Err(TryRecvError::Disconnected) => {
                    self.engine.ended = true;
                    self.models.opening = None;
                    self.engine.under_way.clear();
                    self.write_undecoded();
                    self.complain(
                        Failure { message: "The drawing engine has ended.".to_owned(), causes: Vec::new() },
                        Some("Save what you need, then start InstaFlow again."),
                    );
                }
            }
        }
    }

    /// Takes in everything that dialogs and files have brought.
    pub(super) fn take_jobs(&mut self, ctx: &egui::Context) {
        while let Some(done) = self.jobs.next() {
            match done {
                Done::Folder { path, role } => self.open_folder(path, role),
                Done::ModelFolder(folder) => self.add_model_folder(folder),
                Done::Lora(file) => self.add_lora(ctx, file),
                Done::Embedding(file) => self.add_embedding(ctx, file),
                Done::Checkpoint(file) => self.open_model(Source::File(file), Role::Student),
                Done::SaveAs(save) => {
                    let SaveAs { path, picture, overwrite, .. } = *save;
                    self.deliver(picture, Destination::SaveAs(path, overwrite));
                }
                Done::Log { path, text } => {
                    // A question is not taken away before it is answered.
                    if !matches!(self.modal, Some(Modal::Question(_))) {
                        let lines = text.lines().map(str::to_owned).collect();
                        self.modal = Some(Modal::Log(LogView { path, lines }));
                    }
                }
                Done::Saved(path) => self.notify(ctx, format!("Saved {}", path.display())),
                Done::Copied => self.notify(ctx, "Picture copied".to_owned()),
                Done::Settings { file, restored } => self.offer(ctx, file, *restored),
                Done::SaveQuick(picture) => self.jobs.save_quick(*picture, self.controls.metadata),
                Done::Animate(target) => self.animate(target),
                Done::Output(folder) => self.set_output(Some(folder)),
                Done::Measured(found) => {
                    self.side_by_side.measuring = false;
                    self.show_distance(ctx, *found);
                }
                Done::Failed { failure, advice } => self.complain(failure, advice),
            }
        }
    }

    fn take_event(&mut self, ctx: &egui::Context, event: Event) {
        match event {
            Event::Open(_, OpenEvent::Begin) | Event::Decode(_, DecodeEvent::Begin) => {}
            Event::Open(id, OpenEvent::Progress(progress)) => {
                if let Some(opening) = self.models.opening.as_mut().filter(|opening| opening.id == id) {
                    let began = opening.progress.map_or_else(Instant::now, |(began, _)| began);
                    opening.progress = Some((began, progress));
                }
            }
            Event::Open(id, OpenEvent::End(outcome)) => self.end_opening(ctx, id, outcome),
            Event::Draw(id, Lane::Live, event) => self.take_pane_event(ctx, id, PaneId::Live, event),
            Event::Draw(id, Lane::Teacher, event) => self.take_pane_event(ctx, id, PaneId::Teacher, event),
            Event::Draw(id, Lane::Baseline, event) => self.take_pane_event(ctx, id, PaneId::Baseline, event),
            Event::Draw(id, Lane::Batch, event) => self.take_batch_event(ctx, id, event),
            Event::Draw(id, Lane::Background, event) => self.take_export_event(ctx, id, event),
            Event::Decode(id, DecodeEvent::End(outcome)) => self.end_decode(ctx, id, outcome),
            Event::Tokens(count) => self.prompt.tokens = count,
        }
    }

    fn take_pane_event(&mut self, ctx: &egui::Context, id: JobId, pane: PaneId, event: DrawEvent) {
        match event {
            DrawEvent::Begin => {
                let total = self.wanted(pane).steps;
                let pane = self.panes.get_mut(pane);
                pane.run = Some(Run { id, began: Instant::now(), done: 0, total });
                pane.trail.clear();
            }
            DrawEvent::Step(Step { done, total, estimate }) => {
                let keep = pane != PaneId::Live || self.models.live_role() == Role::Teacher;
                let pane = self.panes.get_mut(pane);
                if let Some(run) = pane.run.as_mut().filter(|run| run.id == id) {
                    (run.done, run.total) = (done, total);
                }
                // The estimate of a run that was overtaken would flicker past.
                if let Some(estimate) = estimate.filter(|_| keep && pane.latest == Some(id)) {
                    pane.show_estimate(ctx, done, total, *estimate);
                }
            }
            // These lanes are sent single pictures.
            DrawEvent::Part { .. } => {}
            DrawEvent::End(outcome) => self.end_pane(ctx, id, pane, outcome),
        }
    }

    fn end_pane(&mut self, ctx: &egui::Context, id: JobId, pane_id: PaneId, outcome: DrawOutcome) {
        let running = self.panes.get(pane_id).run.as_ref().map(|run| run.id);
        let asked = self.engine.forget(id, pane_id.lane(), running);
        let pane = self.panes.get_mut(pane_id);
        if pane.run.as_ref().is_some_and(|run| run.id == id) {
            pane.run = None;
        }
        match outcome {
            DrawOutcome::Drawn { picture, seconds } => {
                self.notices.settle(About::Pane(pane_id));
                if let Some(asked) = asked.filter(|_| pane_id == PaneId::Live) {
                    crate::record::mark("key to picture", asked, id.0);
                }
                info_span!("upload").in_scope(|| pane.show(ctx, *picture));
                // To the frame that shows it, which comes after the engine's own count.
                let latency = asked.map_or(seconds, |asked| asked.elapsed().as_secs_f64());
                pane.latency = Some(latency);
                if pane_id == PaneId::Live {
                    self.diagnostics.latency_stats.add(latency);
                    self.plan_refinement(ctx);
                }
            }
            DrawOutcome::Failed(failure) => {
                self.settle(About::Pane(pane_id));
                // It is worth a report, even if the next picture is drawn.
                let about = if failure.is_bug() { About::Itself } else { About::Pane(pane_id) };
                self.complain_of(about, failure, None);
            }
            DrawOutcome::Unchanged => {
                pane.show_last(ctx);
                if pane_id == PaneId::Live {
                    self.show_unrefined(ctx);
                    self.plan_refinement(ctx);
                }
            }
            DrawOutcome::Dropped => pane.restore_trail(),
        }
    }

    fn take_batch_event(&mut self, ctx: &egui::Context, id: JobId, event: DrawEvent) {
        match event {
            DrawEvent::Begin => {
                if self.batch.latest == Some(id) && self.batch.drawing.is_none() {
                    (self.batch.drawing, self.batch.began) = (Some(0), Some(Instant::now()));
                }
            }
            DrawEvent::Step(_) => {}
            DrawEvent::Part { index, picture } => self.take_batch(ctx, id, index as usize, *picture),
            DrawEvent::End(outcome) => {
                self.engine.forget(id, Lane::Batch, None);
                match outcome {
                    DrawOutcome::Drawn { picture, .. } => {
                        self.settle(About::Batch);
                        let last = self.batch.wanted.len().saturating_sub(1);
                        self.take_batch(ctx, id, last, *picture);
                    }
                    DrawOutcome::Failed(failure) => {
                        self.settle(About::Batch);
                        self.complain_of(About::Batch, failure, None);
                    }
                    DrawOutcome::Unchanged | DrawOutcome::Dropped => {}
                }
                if self.batch.latest == Some(id) {
                    self.batch.drawing = None;
                }
            }
        }
    }

    fn take_export_event(&mut self, ctx: &egui::Context, id: JobId, event: DrawEvent) {
        match event {
            DrawEvent::Begin | DrawEvent::Step(_) => {}
            DrawEvent::Part { picture, .. } => self.take_frame(id, *picture),
            DrawEvent::End(outcome) => {
                self.engine.forget(id, Lane::Background, None);
                self.end_export(ctx, id, outcome);
            }
        }
    }

    fn end_opening(&mut self, ctx: &egui::Context, id: JobId, outcome: OpenOutcome) {
        let Some(opening) = self.models.opening.take_if(|opening| opening.id == id) else { return };
        match outcome {
            OpenOutcome::Opened(model) => {
                self.diagnostics.latency_stats.log();
                for card in model.cards() {
                    tracing::info!(device = model.device, precision = ?model.precision, "open: {}", describe(card));
                }
                let native = model.student.as_ref().or(model.teacher.as_ref()).map(|card| card.size);
                self.controls.recipe.size = self.controls.recipe.size.filter(|size| Some(*size) != native);
                if self.models.open.is_some() {
                    // Another model may not know the old one's sizes.
                    self.controls.recipe.size = None;
                }
                if model.teacher.is_none() {
                    self.panes.teacher.clear();
                    self.side_by_side.chosen = PaneId::Live;
                }
                if model.baseline.is_none() {
                    self.panes.baseline.clear();
                }
                self.suit_guidance(&model);
                self.history.adopt(&self.controls.recipe);
                self.settle(About::Models);
                if !opening.instead {
                    self.settle(About::Opening);
                }
                // What was wrong with a picture may have been the model.
                for pane in [PaneId::Live, PaneId::Teacher, PaneId::Baseline] {
                    self.settle(About::Pane(pane));
                }
                for remark in &model.remarks {
                    self.complain_of(About::Models, remark.clone(), None);
                }
                self.models.open = Some(*model);
                self.models.opened = opening.request;
                self.panes.live.sent = None;
                self.panes.teacher.sent = None;
                self.panes.baseline.sent = None;
                self.batch = Batch::default();
                self.side_by_side.measured.clear();
                self.prompt.counted = None;
            }
            OpenOutcome::Asks { failure, choices } if self.modal.is_none() => {
                let instead = self.models.open.is_none();
                let request = opening.request;
                let pocket = request.pocket();
                self.modal = Some(Modal::Recipe(RecipeQuestion { request, sentence: failure.message, choices }));
                self.draw_on();
                if instead {
                    self.open_instead(pocket);
                }
            }
            OpenOutcome::Failed(failure) | OpenOutcome::Asks { failure, .. } => {
                let pocket = opening.request.pocket();
                let instead = self.models.open.is_none() && opening.request != pocket;
                let advice = match &self.models.open {
                    Some(_) => "The model that was open stays open.",
                    None if instead => {
                        "Pocket is opened instead. For another folder: File, Open model or pair (Ctrl+O); it must be in \
                         Diffusers layout."
                    }
                    None => "Open a model folder or a pair: File, Open model or pair (Ctrl+O).",
                };
                self.settle(About::Opening);
                self.complain_of(About::Opening, failure, Some(advice));
                self.draw_on();
                if instead {
                    self.open_instead(pocket);
                }
            }
            OpenOutcome::Dropped => {
                tracing::info!("opening a model was stopped");
                let what =
                    if self.models.open.is_some() { "the model that was open stays open" } else { "no model is open" };
                self.notify(ctx, format!("Loading was stopped: {what}"));
                self.draw_on();
            }
        }
    }

    /// Takes up again what was stopped for another model's sake.
    fn draw_on(&mut self) {
        self.panes.live.sent = None;
        self.panes.teacher.sent = None;
        self.panes.baseline.sent = None;
        self.batch = Batch::default();
    }
}

/// Milliseconds or seconds, as a person reads them.
pub(crate) fn duration(seconds: f64) -> String {
    if seconds < 1.0 { format!("{:.0} ms", seconds * 1000.0) } else { format!("{seconds:.1} s") }
}

/// One line on how a picture was drawn.
pub(crate) fn summary(picture: &Picture) -> String {
    format!("{}, {}", format::steps(picture.settings.steps), duration(picture.timings.total))
}
