//! How a model is led from noise to an image, and what each kind of model draws with where nothing else is asked for.
//! Add a sampler here, and give it its steps in [`flow`](crate::flow) or [`diffusion`](crate::diffusion).

use serde::{Deserialize, Serialize};

use super::{Role, Settings};

/// How a run steps from noise to an image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Sampler {
    /// Euler steps along a rectified flow's velocity.
    #[default]
    #[serde(rename = "flow")]
    Flow,
    /// DPM-Solver++ of second order, multistep, on Stable Diffusion's noise prediction.
    #[serde(rename = "dpmpp-2m")]
    DpmPlusPlus2M,
    /// DDIM without noise on the way, on Stable Diffusion's noise prediction.
    #[serde(rename = "ddim")]
    Ddim,
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

impl Sampler {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Flow, Self::DpmPlusPlus2M, Self::Ddim];

    /// What AUTOMATIC1111's program and those after it call it; "Euler flow" is ours, as they have none.
    pub fn name(self) -> &'static str {
        match self {
            Self::Flow => "Euler flow",
            Self::DpmPlusPlus2M => "DPM++ 2M",
            Self::Ddim => "DDIM",
        }
    }

    /// What it is called on the command line.
    pub fn option(self) -> &'static str {
        match self {
            Self::Flow => "flow",
            Self::DpmPlusPlus2M => "dpmpp-2m",
            Self::Ddim => "ddim",
        }
    }

    /// Whether it steps with the noise that a diffusion model predicts, not with a velocity.
    pub fn is_diffusion(self) -> bool {
        self != Self::Flow
    }

    /// The guidance scale that suits a model of many steps: 1.5 for a 2-rectified flow, 5 for Stable Diffusion
    /// (InstaFlow, appendix).
    pub fn guidance(self) -> f32 {
        if self.is_diffusion() { 5.0 } else { 1.5 }
    }
}

impl Settings {
    /// The defaults of a model that plays this part and is drawn with this sampler: a student's one step without
    /// guidance, else 25 steps with [`Sampler::guidance`].
    pub fn of(role: Role, sampler: Sampler, prompt: impl Into<String>) -> Self {
        let student = Self::student(prompt);
        if role == Role::Student && !sampler.is_diffusion() {
            return student;
        }
        Self { role, steps: 25, guidance: sampler.guidance(), ..student }
    }
}
