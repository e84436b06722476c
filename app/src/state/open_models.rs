//! Which models are open or on their way in, and what follows from that alone.

use instaflow_engine::protocol::{ModelCard, ModelSummary, OpenRequest, Picture, Role};

use super::Opening;

/// The models.
pub(crate) struct OpenModels {
    /// What is open; `None` until the first has opened.
    pub open: Option<ModelSummary>,
    /// What is on its way in.
    pub opening: Option<Opening>,
    /// The request for what is open, for 'Open as teacher…'.
    pub opened: OpenRequest,
}

impl OpenModels {
    /// Who draws in the live lane: the student, or the teacher if that is all there is.
    pub fn live_role(&self) -> Role {
        match &self.open {
            Some(ModelSummary { student: None, .. }) => Role::Teacher,
            _ => Role::Student,
        }
    }

    /// The model that draws in the live lane.
    pub fn live_card(&self) -> Option<&ModelCard> {
        let model = self.open.as_ref()?;
        model.student.as_ref().or(model.teacher.as_ref())
    }

    /// Why there is nothing to compare with, or `None` if there is.
    pub fn no_comparison(&self) -> Option<&'static str> {
        match &self.open {
            Some(ModelSummary { student: None, .. }) => {
                Some("Only a teacher is open. Open a pair, or a student, with File, Open model or pair.")
            }
            _ if self.no_baseline().is_none() => None,
            _ => self.no_teacher(),
        }
    }

    /// Why the teacher cannot draw, or `None` if it can.
    pub fn no_teacher(&self) -> Option<&'static str> {
        match &self.open {
            None => Some("No model is open."),
            Some(ModelSummary { teacher: None, .. }) => {
                Some("No teacher is open. Add one with File, Open as teacher, or open a pair.")
            }
            Some(_) => None,
        }
    }

    /// What is open, or was asked for.
    pub fn request(&self) -> &OpenRequest {
        self.opening.as_ref().map_or(&self.opened, |opening| &opening.request)
    }

    /// Why the baseline cannot draw, or `None` if it can.
    pub fn no_baseline(&self) -> Option<&'static str> {
        match self.baseline_card() {
            Some(_) => None,
            None => Some("No baseline is open. Add the base flow or Stable Diffusion with File, Open as baseline."),
        }
    }

    /// The baseline that is open.
    pub fn baseline_card(&self) -> Option<&ModelCard> {
        self.open.as_ref()?.baseline.as_ref()
    }

    /// Whether the model that drew a picture is open: another's decoder would make another picture of its latents.
    pub fn drew(&self, picture: &Picture) -> bool {
        self.open.as_ref().is_some_and(|model| model.cards().any(|card| card.hash == picture.model_hash))
    }
}
