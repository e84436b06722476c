//! What decides a picture: plain data, written into PNGs and kept with pictures. A field that is new here needs a
//! serde default, so that files of earlier versions can be read.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{NoiseSchedule, Sampler};

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

/// Whose rules say what brackets and the like mean in a prompt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PromptSyntax {
    /// AUTOMATIC1111's: `(word:1.3)` multiplies, `[word]` divides, `BREAK` ends a chunk.
    #[default]
    A1111,
    /// ComfyUI's: `(word:1.3)` sets the weight.
    ComfyUi,
    /// None: every character is part of the text. Files of earlier versions have no other.
    Off,
}

impl PromptSyntax {
    fn off() -> Self {
        Self::Off
    }

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
    fn is_off(&self) -> bool {
        *self == Self::Off
    }
}

/// A LoRA, or another adapter of its family, added to a model's weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Lora {
    /// The safetensors file.
    pub file: PathBuf,
    /// How much of it the U-Net takes; may be negative.
    pub weight: f32,
    /// How much of it the text encoder takes; may be negative.
    pub text_weight: f32,
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
    /// Seed of the noise, the same numbers as `torch.manual_seed(seed)` gives on a CPU: only the low 32 bits count there.
    pub seed: u64,
    /// Pixels; `None` takes the model's own size.
    pub size: Option<(u32, u32)>,
    /// Steps of the sampler, 1 … 50.
    pub steps: u32,
    /// Guidance scale; only > 1 is applied.
    pub guidance: f32,
    /// How to step; `None` is the model's own way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sampler: Option<Sampler>,
    /// Which noise levels a diffusion model's steps visit; `None` is what the model's own files say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<NoiseSchedule>,
    /// How the prompts are read.
    #[serde(default = "PromptSyntax::off", skip_serializing_if = "PromptSyntax::is_off")]
    pub prompt_syntax: PromptSyntax,
    /// Which layer of the text encoder counts, from the end: 1 is the last (A1111's counting).
    #[serde(default = "last_layer", skip_serializing_if = "is_last_layer")]
    pub clip_skip: u32,
    /// What is added to the weights of the model that draws, in this order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub loras: Vec<Lora>,
    /// Which decoder makes the final picture.
    pub decoder: Decoder,
    /// A second prompt and seed to lie between.
    #[serde(default, skip_serializing_if = "Blend::is_none")]
    pub blend: Blend,
}

fn last_layer() -> u32 {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
fn is_last_layer(clip_skip: &u32) -> bool {
    *clip_skip == 1
}

/// What a picture lies between, where it is not of one prompt and one seed alone.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Blend {
    /// The text embedding is interpolated linearly from the prompt's to this one's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt: Option<Toward<String>>,
    /// The noise is interpolated spherically from the seed's to this one's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<Toward<u64>>,
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
            schedule: None,
            prompt_syntax: PromptSyntax::default(),
            clip_skip: 1,
            loras: Vec::new(),
            decoder: Decoder::Full,
            blend: Blend::default(),
        }
    }

    /// The teacher's defaults: 25 steps, guidance 1.5 (paper, appendix; authors' pipeline).
    pub fn teacher(prompt: impl Into<String>) -> Self {
        Self::of(Role::Teacher, Sampler::Flow, prompt)
    }
}
