//! Several pictures beside the live one: variations of it, or the teacher in few and in many steps. Change which
//! pictures these are in [`App::wanted_batch`].

use std::time::Instant;

use instaflow_engine::protocol::{Blend, JobId, Lane, Picture, Request, Settings, Toward};

use super::{App, Pane, PaneId, Show};

/// The teacher's Euler steps of the row.
pub const STEPS: [u32; 5] = [1, 2, 4, 8, 25];

/// What the sheet lane shows; the live picture stands before it.
#[derive(Default)]
pub struct Batch {
    /// One for each picture, drawn or not.
    pub cells: Vec<Pane>,
    /// Which cell is being drawn.
    pub drawing: Option<usize>,
    /// Since when the first of them is.
    pub began: Option<Instant>,
    /// What the cells show or wait for.
    pub wanted: Vec<Settings>,
    /// The last request's number.
    pub latest: Option<JobId>,
    /// When a pause is long enough to draw, in egui's time.
    pub due: Option<f64>,
}

impl Batch {
    /// Takes a picture in.
    pub fn show(&mut self, ctx: &egui::Context, index: usize, picture: Picture) {
        if let Some(cell) = self.cells.get_mut(index) {
            cell.show(ctx, picture);
        }
        self.drawing = Some(index + 1).filter(|next| *next < self.cells.len());
    }

    /// Whether the picture in a cell is what is wanted there.
    pub fn is_current(&self, index: usize) -> bool {
        let (Some(cell), Some(wanted)) = (self.cells.get(index), self.wanted.get(index)) else { return false };
        cell.sent.as_ref() == Some(wanted) && cell.picture.is_some()
    }
}

impl App {
    /// The pictures of the batch, without the live one; empty if no batch is shown.
    pub(crate) fn wanted_batch(&self) -> Vec<Settings> {
        let controls = &self.controls;
        match controls.show {
            Show::Variations => (1..controls.recipe.variations).map(|k| self.variation(k)).collect(),
            Show::Steps if self.models.no_teacher().is_none() => {
                let teacher = self.wanted(PaneId::Teacher);
                STEPS.iter().map(|steps| Settings { steps: *steps, ..teacher.clone() }).collect()
            }
            _ => Vec::new(),
        }
    }

    /// Variation `k` of the live picture: seed + k, or some of the way there.
    fn variation(&self, k: u32) -> Settings {
        let live = self.wanted(PaneId::Live);
        let seed = live.seed.wrapping_add(u64::from(k));
        if self.controls.recipe.spread >= 1.0 || live.blend.seed.is_some() {
            return Settings { seed, ..live };
        }
        let toward = Toward { to: seed, by: self.controls.recipe.spread };
        Settings { blend: Blend { seed: Some(toward), ..live.blend.clone() }, ..live }
    }

    /// Sends the sheet's pictures when what is wanted has changed.
    pub(super) fn follow_batch(&mut self, ctx: &egui::Context) {
        let now = ctx.time();
        let before = self.batch.wanted.len();
        if self.want_batch() {
            let begins = self.batch.wanted.len() != before;
            let follows = self.controls.live;
            // Variations of a live picture are as live as it is; the teacher's many steps wait for a pause.
            let wait = if self.controls.show == Show::Steps { f64::from(self.controls.pause) } else { 0.0 };
            self.engine.send(Request::Stop(Lane::Batch));
            self.batch.due = match (begins, follows) {
                _ if self.batch.wanted.is_empty() => None,
                (true, _) => Some(now),
                (false, true) => Some(now + wait),
                (false, false) => None,
            };
        }
        match self.batch.due {
            Some(due) if now >= due => self.send_batch(),
            Some(due) => ctx.request_repaint_after(std::time::Duration::from_secs_f64(due - now)),
            None => {}
        }
    }

    /// Takes over what is wanted now; returns whether it has changed.
    pub(super) fn want_batch(&mut self) -> bool {
        let wanted = self.wanted_batch();
        let changed = wanted != self.batch.wanted;
        self.batch.cells.resize_with(wanted.len(), || Pane::new("sheet"));
        self.batch.wanted = wanted;
        if changed {
            // What still comes of the last request is not of these.
            (self.batch.latest, self.batch.drawing) = (None, None);
        }
        changed
    }

    fn send_batch(&mut self) {
        self.batch.due = None;
        let id = self.engine.new_id();
        let asked = Instant::now();
        self.engine.under_way.insert(id, (Lane::Batch, asked));
        self.batch.latest = Some(id);
        let series = self.batch.wanted.clone();
        self.engine.send(Request::DrawSeries { id, lane: Lane::Batch, series, asked });
    }

    /// A picture of the sheet has come.
    pub(super) fn take_batch(&mut self, ctx: &egui::Context, id: JobId, index: usize, picture: Picture) {
        if self.batch.latest != Some(id) {
            return;
        }
        if let (Some(cell), Some(wanted)) = (self.batch.cells.get_mut(index), self.batch.wanted.get(index)) {
            cell.sent = Some(wanted.clone());
        }
        self.batch.show(ctx, index, picture);
    }

    /// Makes a picture of the sheet the live one: its seed becomes the person's.
    pub(crate) fn take_over(&mut self, index: usize) {
        let Some(settings) = self.batch.wanted.get(index).cloned() else { return };
        self.controls.recipe.seed = settings.seed;
        if let Some(toward) = settings.blend.seed {
            self.controls.recipe.second_seed = toward.to;
            self.controls.recipe.seed_mix = toward.by;
        }
        self.controls.show = Show::Picture;
    }
}
