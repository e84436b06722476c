//! How a model is led from noise to an image, and what each kind of model draws with where nothing else is asked for.
//! Add a sampler here, and give it its steps in [`flow`](crate::flow) or [`diffusion`](crate::diffusion).

use serde::{Deserialize, Serialize};

use super::{ModelCard, Role, Settings};

/// How a run steps from noise to an image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Sampler {
    /// Euler steps along a rectified flow's velocity, or along a piecewise rectified flow's (PeRFlow).
    #[default]
    #[serde(rename = "flow")]
    Flow,
    /// DPM-Solver++ of second order, multistep.
    #[serde(rename = "dpmpp-2m")]
    DpmPlusPlus2M,
    /// DDIM without noise on the way.
    #[serde(rename = "ddim")]
    Ddim,
    /// Euler steps in the noise's standard deviation.
    #[serde(rename = "euler")]
    Euler,
    /// Euler steps that go too far and add noise again.
    #[serde(rename = "euler-a")]
    EulerAncestral,
    /// UniPC of second order: each step is corrected with the prediction that follows it.
    #[serde(rename = "unipc")]
    UniPc,
    /// Heun's method: two predictions a step.
    #[serde(rename = "heun")]
    Heun,
    /// Linear multistep of fourth order.
    #[serde(rename = "lms")]
    Lms,
    /// For latent consistency models: predict the image, and add noise again.
    #[serde(rename = "lcm")]
    Lcm,
    /// For models distilled by trajectory consistency (TCD, Hyper-SD).
    #[serde(rename = "tcd")]
    Tcd,
}

/// Which noise levels the steps of a diffusion model visit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NoiseSchedule {
    /// Those of Karras et al. (2022, arXiv 2206.00364, eq. 5).
    Karras,
    /// Evenly spaced times that begin at the noisiest (arXiv 2305.08891, table 2).
    Trailing,
    /// Evenly spaced times from the first to the last (the same table).
    Linspace,
}

impl NoiseSchedule {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Karras, Self::Trailing, Self::Linspace];

    /// What it is called on the command line.
    pub fn option(self) -> &'static str {
        match self {
            Self::Karras => "karras",
            Self::Trailing => "trailing",
            Self::Linspace => "linspace",
        }
    }
}

impl Sampler {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Flow,
        Self::DpmPlusPlus2M,
        Self::Ddim,
        Self::Euler,
        Self::EulerAncestral,
        Self::UniPc,
        Self::Heun,
        Self::Lms,
        Self::Lcm,
        Self::Tcd,
    ];

    /// What AUTOMATIC1111's program and those after it call it; "Euler flow" is ours, as they have none.
    pub fn name(self) -> &'static str {
        match self {
            Self::Flow => "Euler flow",
            Self::DpmPlusPlus2M => "DPM++ 2M",
            Self::Ddim => "DDIM",
            Self::Euler => "Euler",
            Self::EulerAncestral => "Euler a",
            Self::UniPc => "UniPC",
            Self::Heun => "Heun",
            Self::Lms => "LMS",
            Self::Lcm => "LCM",
            Self::Tcd => "TCD",
        }
    }

    /// What it is called on the command line.
    pub fn option(self) -> &'static str {
        match self {
            Self::Flow => "flow",
            Self::DpmPlusPlus2M => "dpmpp-2m",
            Self::Ddim => "ddim",
            Self::Euler => "euler",
            Self::EulerAncestral => "euler-a",
            Self::UniPc => "unipc",
            Self::Heun => "heun",
            Self::Lms => "lms",
            Self::Lcm => "lcm",
            Self::Tcd => "tcd",
        }
    }

    /// Whether it steps with what a diffusion model predicts, not with a velocity.
    pub fn is_diffusion(self) -> bool {
        self != Self::Flow
    }

    /// Whether it visits times of its own, so that no schedule can be chosen for it.
    pub fn has_own_times(self) -> bool {
        matches!(self, Self::Flow | Self::Lcm | Self::Tcd)
    }

    /// The guidance scale that suits a model of many steps: 1.5 for a 2-rectified flow, 5 for Stable Diffusion
    /// (InstaFlow, appendix).
    pub fn guidance(self) -> f32 {
        if self.is_diffusion() { 5.0 } else { 1.5 }
    }
}

/// What a picture is drawn with unless asked otherwise.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Defaults {
    /// How to step.
    pub sampler: Sampler,
    /// Steps; `None` is one for a flow that plays the student, and 25 otherwise.
    pub steps: Option<u32>,
    /// Guidance scale; `None` is none for a flow that plays the student, and [`Sampler::guidance`] otherwise.
    pub guidance: Option<f32>,
}

impl From<Sampler> for Defaults {
    /// Those of a model of which no more is known.
    fn from(sampler: Sampler) -> Self {
        Self { sampler, steps: None, guidance: None }
    }
}

impl From<&ModelCard> for Defaults {
    fn from(card: &ModelCard) -> Self {
        Self { sampler: card.sampler, steps: Some(card.steps), guidance: Some(card.guidance) }
    }
}

impl ModelCard {
    /// The defaults if this sampler is asked for: the model's own unless it is drawn as another kind of model.
    pub fn defaults(&self, asked: Option<Sampler>) -> Defaults {
        match asked {
            Some(asked) if asked.is_diffusion() != self.sampler.is_diffusion() => asked.into(),
            _ => self.into(),
        }
    }
}

impl Settings {
    /// The defaults of a model that plays this part: those of its [`ModelCard`], or of a sampler alone.
    pub fn of(role: Role, defaults: impl Into<Defaults>, prompt: impl Into<String>) -> Self {
        let Defaults { sampler, steps, guidance } = defaults.into();
        let student = Self { role, ..Self::student(prompt) };
        let one_step = role == Role::Student && !sampler.is_diffusion();
        Self {
            steps: steps.unwrap_or(if one_step { student.steps } else { 25 }),
            guidance: guidance.unwrap_or(if one_step { student.guidance } else { sampler.guidance() }),
            ..student
        }
    }
}
