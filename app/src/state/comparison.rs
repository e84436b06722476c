//! The student beside teacher and baseline: which of them are drawn and shown, with which the student is compared, and
//! what the baseline is asked for.

use std::collections::HashMap;
use std::sync::Arc;

use egui::TextureHandle;
use instaflow_engine::protocol::{Decoder, ModelCard, ModelSummary, OpenRequest, Picture, Role, Sampler, Settings};

use super::{Against, App, Distance, Estimate, PaneId};

/// What the comparison remembers beside the pictures.
pub(crate) struct SideBySide {
    /// Which of the teacher's and the baseline's estimates are looked at, instead of their pictures.
    pub scrub: Option<usize>,
    /// Which pane's picture 'Save' and 'Copy' mean.
    pub chosen: PaneId,
    /// How far the student and each of the others are apart.
    pub measured: HashMap<PaneId, Comparison>,
    /// Whether a measurement is under way.
    pub measuring: bool,
}

impl Default for SideBySide {
    fn default() -> Self {
        Self { scrub: None, chosen: PaneId::Live, measured: HashMap::new(), measuring: false }
    }
}

/// How far student and another are apart, and of which pictures that is true.
pub(crate) struct Comparison {
    pub student: Arc<[u8]>,
    pub other: Arc<[u8]>,
    /// `None` if the pictures' sizes differ.
    pub distance: Option<Distance>,
    /// The map in colours, on the GPU.
    pub map: Option<TextureHandle>,
}

impl Comparison {
    /// Whether it is true of these two.
    pub fn is_of(&self, student: &Picture, other: &Picture) -> bool {
        Arc::ptr_eq(&self.student, &student.rgb) && Arc::ptr_eq(&self.other, &other.rgb)
    }
}

impl App {
    /// Whether this pane's picture stands beside the student's. A baseline without a teacher is all that there is to
    /// compare with.
    pub(crate) fn beside(&self, pane_id: PaneId) -> bool {
        let teacher = self.models.no_teacher().is_none();
        let baseline = self.models.no_baseline().is_none() && (self.controls.show_baseline || !teacher);
        self.comparing() && ((pane_id == PaneId::Teacher && teacher) || (pane_id == PaneId::Baseline && baseline))
    }

    /// The lanes whose pictures stand beside the student's, from left to right.
    pub(crate) fn others(&self) -> Vec<PaneId> {
        [PaneId::Teacher, PaneId::Baseline].into_iter().filter(|pane_id| self.beside(*pane_id)).collect()
    }

    /// "Student", "Teacher" or "Baseline".
    pub(crate) fn pane_name(&self, pane: PaneId) -> &'static str {
        match (pane, self.models.live_role()) {
            (PaneId::Baseline, _) => "Baseline",
            (PaneId::Live, Role::Student) => "Student",
            (PaneId::Live, Role::Teacher | Role::Baseline) | (PaneId::Teacher, _) => "Teacher",
        }
    }

    /// Whether a pane's picture is still to come.
    pub(crate) fn waits(&self, pane_id: PaneId) -> bool {
        self.pane(pane_id).due.is_some() || self.engine.works_in(pane_id.lane())
    }

    /// Which pane the student is compared with when only two have room.
    pub(crate) fn rival(&self) -> PaneId {
        let prefers_baseline = self.controls.against == Against::Baseline && self.beside(PaneId::Baseline);
        if prefers_baseline || !self.beside(PaneId::Teacher) { PaneId::Baseline } else { PaneId::Teacher }
    }

    /// The baseline's guidance scale: the person's, or what suits its kind.
    pub(crate) fn baseline_guidance(&self) -> f32 {
        let suits = self.models.baseline_card().map_or(Sampler::default().guidance(), |card| card.guidance);
        self.controls.recipe.baseline_guidance.unwrap_or(suits)
    }

    /// Where the teacher's guidance, or the steps of teacher or baseline, are what suits the model that was open, takes
    /// what suits the new one.
    pub(super) fn suit_guidance(&mut self, model: &ModelSummary) {
        let suits = |model: &ModelSummary| Some(model.teacher.as_ref()?.guidance);
        let before = self.models.open.as_ref().and_then(suits).unwrap_or(Sampler::Flow.guidance());
        let untouched = (self.controls.recipe.guidance - before).abs() < f32::EPSILON;
        if let Some(now) = suits(model).filter(|_| untouched) {
            self.controls.recipe.guidance = now;
        }
        let many = Settings::teacher("").steps;
        let suit_steps = |role: Role, steps: &mut u32| {
            let suits = |model: &ModelSummary| model.card(role).map(|card| card.steps);
            let before = self.models.open.as_ref().and_then(suits).unwrap_or(many);
            if let Some(now) = suits(model).filter(|_| *steps == before) {
                *steps = now;
            }
        };
        suit_steps(Role::Teacher, &mut self.controls.recipe.steps);
        suit_steps(Role::Baseline, &mut self.controls.recipe.baseline_steps);
    }

    /// The sampler that the person has chosen for a model of this kind; flows have one alone.
    pub(super) fn sampler(&self, card: Option<&ModelCard>) -> Option<Sampler> {
        let card = card.filter(|card| card.sampler.is_diffusion())?;
        self.controls.recipe.sampler.filter(|sampler| card.samplers.contains(sampler))
    }

    /// What the baseline makes of the same prompt and noise.
    pub(super) fn baselines(&self, plain: Settings) -> Settings {
        let has_tiny_decoder = self.models.baseline_card().is_some_and(|card| card.has_tiny_decoder);
        Settings {
            role: Role::Baseline,
            negative_prompt: self.controls.recipe.negative_prompt.clone(),
            steps: self.controls.recipe.baseline_steps,
            guidance: self.baseline_guidance(),
            sampler: self.sampler(self.models.baseline_card()),
            decoder: if has_tiny_decoder { plain.decoder } else { Decoder::Full },
            ..plain
        }
    }

    /// Takes the baseline out of the comparison and out of memory.
    pub(crate) fn close_baseline(&mut self) {
        let request = OpenRequest { baseline: None, ..self.models.request().clone() };
        self.open(request);
    }

    /// The estimate of a pane's run that is looked at; a run of fewer steps stays at its last.
    pub(crate) fn scrubbed(&self, pane_id: PaneId) -> Option<&Estimate> {
        let trail = &self.pane(pane_id).trail;
        trail.get(self.side_by_side.scrub?.min(trail.len().checked_sub(1)?)).filter(|_| pane_id != PaneId::Live)
    }

    /// A pane's picture, or its estimate that is looked at.
    pub fn seen(&self, pane_id: PaneId) -> Option<&Picture> {
        self.scrubbed(pane_id).map(|estimate| &estimate.picture).or(self.pane(pane_id).picture.as_ref())
    }

    /// Whether a pane's picture cannot have begun at the student's noise: its latents have another shape.
    pub(crate) fn has_other_noise(&self, pane_id: PaneId) -> bool {
        let shape = |pane_id| Some(self.pane(pane_id).picture.as_ref()?.latents.as_ref()?.shape);
        shape(PaneId::Live).zip(shape(pane_id)).is_some_and(|(student, other)| student != other)
    }

    /// How far student and a pane's picture are apart, if that is known of what is on screen.
    pub(crate) fn comparison(&self, pane_id: PaneId) -> Option<&Comparison> {
        let (student, other) = (self.panes.live.picture.as_ref()?, self.seen(pane_id)?);
        self.side_by_side.measured.get(&pane_id).filter(|apart| apart.is_of(student, other))
    }
}
