//! What the engine draws: a picture with what made it, and the latents that it was decoded from.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Settings;

/// Seconds spent in each stage of one picture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Timings {
    /// Tokenizer and text encoder; 0 where the embedding was cached.
    pub text_encoder: f64,
    /// All network evaluations of all steps.
    pub unet: f64,
    /// Latents to RGB.
    pub decoder: f64,
    /// From the start of the job to RGB pixels.
    pub total: f64,
}

/// Latents of one picture or several, as f32.
#[derive(Clone, Debug, PartialEq)]
pub struct Latents {
    /// (N, C, h, w): pictures, channels, rows, columns.
    pub shape: [usize; 4],
    /// The values, last dimension fastest.
    pub values: Vec<f32>,
}

/// How a CPU multiplies numbers of bf16. The engine measures which way is faster, once per process. The two round
/// differently, so this is part of what decides a picture's last bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Bf16Products {
    /// Two at a time, by the processor's instruction for that.
    Pairs,
    /// Widened to f32.
    Widened,
}

/// A drawn picture with what made it.
#[derive(Clone, Debug)]
pub struct Picture {
    /// Pixels across.
    pub width: u32,
    /// Pixels down.
    pub height: u32,
    /// `width * height * 3` bytes, rows from the top, RGB.
    pub rgb: Arc<[u8]>,
    /// What made it; `size` and `sampler` are filled in.
    pub settings: Settings,
    /// The model's name: its folder, or "Pocket".
    pub model: String,
    /// First ten hex digits of the weights' digest, as other programs show a model hash.
    pub model_hash: String,
    /// How its numbers were multiplied, if it was drawn in bf16 on a CPU.
    pub bf16_products: Option<Bf16Products>,
    /// How long it took.
    pub timings: Timings,
    /// Straightness S of the path (paper, eq. for S(Z)); `None` for a single step.
    pub straightness: Option<f64>,
    /// The path step by step; empty for a single step.
    pub path: Arc<[PathPoint]>,
    /// What it was decoded from, as the sampler left it; `None` for estimates and for what was put together.
    pub latents: Option<Arc<Latents>>,
    /// What is to be said about how it was made, such as keys of a LoRA that match nothing: plain sentences.
    pub remarks: Vec<String>,
    /// The LoRAs that were in the weights, by their names, each with the first twelve hex digits of the sha256 of its tensors,
    /// by which other programs know it.
    pub lora_hashes: Vec<(String, String)>,
}

impl Picture {
    /// A picture of which nothing is known except its pixels and settings.
    pub fn new(width: u32, height: u32, rgb: Arc<[u8]>, settings: Settings) -> Self {
        Self {
            width,
            height,
            rgb,
            settings,
            model: String::new(),
            model_hash: String::new(),
            bf16_products: None,
            timings: Timings::default(),
            straightness: None,
            path: [].into(),
            latents: None,
            remarks: Vec::new(),
            lora_hashes: Vec::new(),
        }
    }
}

/// One step of a run of several, seen from its end. Those of a diffusion model are in the coordinates of a rectified
/// flow (see [`diffusion::rectified`](crate::diffusion::rectified)), and begin a little after its noise.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PathPoint {
    /// Time at the step's beginning, 0 = noise.
    pub t: f32,
    /// Root mean square of the velocity over the latent's values: ‖v‖/√d.
    pub speed: f32,
    /// ‖(z_N − z_0) − v‖², summed over the latent's values: its mean over time is the straightness S.
    pub deviation: f32,
}
