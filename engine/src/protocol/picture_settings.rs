//! What decides a picture: plain data, written into PNGs and kept with pictures. A field that is new here needs a
//! serde default, so that files of earlier versions can be read.

use serde::{Deserialize, Serialize};

use super::Sampler;

/// Which of the models that are open draws.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The distilled one-step model.
    Student,
    /// The 2-rectified flow that it was distilled from.
    Teacher,
    /// A third model to compare both with: the base flow, or Stable Diffusion.
    Baseline,
}

/// Which decoder turns latents into pixels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Decoder {
    /// The model's own `vae/`.
    #[default]
    Full,
    /// An AutoencoderTiny beside it.
    Tiny,
}

/// Everything that decides a picture, apart from the weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// Who draws.
    pub role: Role,
    /// What to draw.
    pub prompt: String,
    /// What to avoid; applied only where `guidance` > 1.
    pub negative_prompt: String,
    /// Seed of the noise, the same numbers as `torch.manual_seed(seed)` gives on a CPU.
    pub seed: u32,
    /// Pixels; `None` takes the model's own size.
    pub size: Option<(u32, u32)>,
    /// Steps of the sampler, 1 … 50.
    pub steps: u32,
    /// Guidance scale; only > 1 is applied.
    pub guidance: f32,
    /// How to step; `None` is the model's own way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sampler: Option<Sampler>,
    /// Which decoder makes the final picture.
    pub decoder: Decoder,
    /// A second prompt and seed to lie between.
    #[serde(default, skip_serializing_if = "Blend::is_none")]
    pub blend: Blend,
}

/// What a picture lies between, where it is not of one prompt and one seed alone.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Blend {
    /// The text embedding is interpolated linearly from the prompt's to this one's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt: Option<Toward<String>>,
    /// The noise is interpolated spherically from the seed's to this one's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<Toward<u32>>,
}

impl Blend {
    /// Whether the picture is of its own prompt and seed alone.
    pub fn is_none(&self) -> bool {
        self.prompt.is_none() && self.seed.is_none()
    }
}

/// The other end of an interpolation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Toward<T> {
    /// Where it leads.
    pub to: T,
    /// How far: 0 is where it comes from, 1 is `to`.
    pub by: f32,
}

impl Settings {
    /// The student's defaults: one step, no guidance.
    pub fn student(prompt: impl Into<String>) -> Self {
        Self {
            role: Role::Student,
            prompt: prompt.into(),
            negative_prompt: String::new(),
            seed: 0,
            size: None,
            steps: 1,
            guidance: 1.0,
            sampler: None,
            decoder: Decoder::Full,
            blend: Blend::default(),
        }
    }

    /// The teacher's defaults: 25 steps, guidance 1.5 (paper, appendix; authors' pipeline).
    pub fn teacher(prompt: impl Into<String>) -> Self {
        Self::of(Role::Teacher, Sampler::Flow, prompt)
    }
}
