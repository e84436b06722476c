//! Which models to open and on what, how far their loading is, and what is open afterwards.

use std::fmt::{self, Display};
use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Failure, Role, Sampler, Words};

/// Where a model comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// The pair inside the binary.
    Pocket,
    /// A model folder, or a pair (a folder with `student/` and `teacher/`).
    Folder(PathBuf),
    /// A checkpoint in one safetensors file.
    File(PathBuf),
}

/// What a U-Net predicts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Prediction {
    /// A rectified flow's velocity, image − noise.
    Flow,
    /// The noise ε in x, as Stable Diffusion 1.x does.
    Epsilon,
    /// v = α·ε − σ·x₀ (Salimans & Ho 2022, arXiv 2202.00512), as some of Stable Diffusion 2.x do.
    V,
    /// The image x₀ itself.
    Sample,
}

impl Prediction {
    /// All of them, the most likely first.
    pub const ALL: [Self; 4] = [Self::Epsilon, Self::Flow, Self::V, Self::Sample];

    /// What it is called on the command line.
    pub fn option(self) -> &'static str {
        match self {
            Self::Flow => "flow",
            Self::Epsilon => "epsilon",
            Self::V => "v",
            Self::Sample => "sample",
        }
    }

    /// What it is called in a sentence.
    pub fn name(self) -> &'static str {
        match self {
            Self::Flow => "a flow's velocity",
            Self::Epsilon => "the noise",
            Self::V => "v",
            Self::Sample => "the image",
        }
    }
}

/// What a fine-tune of Stable Diffusion adds to a flow of the same shape: W += weight·(W_finetune − W_base) in the U-Net,
/// with the fine-tune's text encoder and decoder (InstaFlow's own recipe).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Carry {
    /// The fine-tune.
    pub finetune: Source,
    /// What it was tuned from.
    pub base: Source,
    /// How much of the difference: 1 is all of it.
    pub weight: f32,
}

/// Which device computes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeviceChoice {
    /// CUDA where it is built in and present, else the CPU.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// The first CUDA device, or an error.
    Cuda,
}

/// Which arithmetic the networks use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// 32-bit floating point.
    F32,
    /// bfloat16.
    Bf16,
    /// IEEE half.
    F16,
}

/// What to open. Parts that do not change stay loaded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OpenRequest {
    /// A pair, or the student.
    pub model: Source,
    /// A single model folder as teacher; overrides a pair's own.
    pub teacher: Option<Source>,
    /// A third model folder, to compare both with.
    #[serde(default)]
    pub baseline: Option<Source>,
    /// Take a single folder in `model` as the teacher, not as the student.
    pub as_teacher: bool,
    /// The configs and the tokenizer of this folder, for a checkpoint in one file; `None` goes by its keys and shapes.
    #[serde(default)]
    pub config: Option<PathBuf>,
    /// Take the averaged weights (`model_ema.*`) of a checkpoint in one file.
    #[serde(default)]
    pub ema: bool,
    /// What a model's U-Net predicts, if neither its files nor the table of known models say so.
    #[serde(default)]
    pub prediction: Option<Prediction>,
    /// A folder or a file whose autoencoder replaces the student's and the teacher's own.
    #[serde(default)]
    pub vae: Option<PathBuf>,
    /// What a fine-tune adds to the student and the teacher.
    #[serde(default)]
    pub carry: Option<Carry>,
    /// Textual inversions: safetensors files, each with tokens that prompts may name, or folders of such files.
    #[serde(default)]
    pub embeddings: Vec<PathBuf>,
    /// Folders in which `<lora:NAME:WEIGHT>` in a prompt is looked for.
    #[serde(default)]
    pub lora_folders: Vec<PathBuf>,
    /// An AutoencoderTiny, a folder or a file, for all of them; a baseline with other latents goes without.
    pub tiny_decoder: Option<PathBuf>,
    /// Where to compute.
    pub device: DeviceChoice,
    /// In which arithmetic; `None` is the device's own: bf16 on CUDA, and on a CPU that was measured to multiply it faster
    /// if the model is large; otherwise f32.
    pub precision: Option<Precision>,
}

impl OpenRequest {
    /// Pocket and nothing beside it, computed as this would be.
    #[must_use]
    pub fn pocket(&self) -> Self {
        Self { device: self.device, precision: self.precision, ..Self::default() }
    }
}

impl Default for OpenRequest {
    fn default() -> Self {
        Self {
            model: Source::Pocket,
            teacher: None,
            baseline: None,
            as_teacher: false,
            config: None,
            ema: false,
            prediction: None,
            vae: None,
            carry: None,
            embeddings: Vec::new(),
            lora_folders: Vec::new(),
            tiny_decoder: None,
            device: DeviceChoice::Auto,
            precision: None,
        }
    }
}

/// What is loaded.
#[derive(Clone, Debug)]
pub struct ModelSummary {
    /// The student, or `None` if only a teacher is open.
    pub student: Option<ModelCard>,
    /// The teacher, or `None`.
    pub teacher: Option<ModelCard>,
    /// The baseline, or `None`.
    pub baseline: Option<ModelCard>,
    /// For example "CPU, 2 threads" or "CUDA 0".
    pub device: String,
    /// In which arithmetic.
    pub precision: Precision,
    /// What is wrong with a folder although its model can draw.
    pub remarks: Vec<Failure>,
}

/// One loaded model.
#[derive(Clone, Debug)]
pub struct ModelCard {
    /// The folder's name, or "Pocket".
    pub name: String,
    /// First ten hex digits of the weights' digest.
    pub hash: String,
    /// How it is drawn unless asked otherwise.
    pub sampler: Sampler,
    /// In how many steps, unless asked otherwise.
    pub steps: u32,
    /// With which guidance scale, unless asked otherwise; at most 1 is none.
    pub guidance: f32,
    /// The samplers that it can be drawn with, the order that of [`Sampler::ALL`].
    pub samplers: Vec<Sampler>,
    /// Its own picture size, width and height in pixels.
    pub size: (u32, u32),
    /// Both sides must be multiples of this.
    pub size_multiple: u32,
    /// Parameters of the denoiser.
    pub unet_parameters: u64,
    /// 1, or the number of U-Nets in series.
    pub num_stacks: u32,
    /// Whether there is a tiny decoder to choose beside the model's own.
    pub has_tiny_decoder: bool,
    /// Tokens that fit.
    pub token_limit: usize,
    /// The words that it knows, if they are few enough to name; `None` if it may know any.
    pub words: Option<Arc<Words>>,
}

impl ModelSummary {
    /// The model that plays this part, if one is open.
    pub fn card(&self, role: Role) -> Option<&ModelCard> {
        match role {
            Role::Student => self.student.as_ref(),
            Role::Teacher => self.teacher.as_ref(),
            Role::Baseline => self.baseline.as_ref(),
        }
    }

    /// All models that are open.
    pub fn cards(&self) -> impl Iterator<Item = &ModelCard> {
        [&self.student, &self.teacher, &self.baseline].into_iter().flatten()
    }
}

/// How far the loading of models is; reported before each part and while a part is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoadProgress {
    /// What is being read.
    pub part: ModelPart,
    /// Mebibytes of weights that have been read.
    pub done: u32,
    /// Mebibytes of weights to read in all.
    pub total: u32,
}

/// One network of one model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ModelPart {
    /// Whose.
    pub role: Role,
    /// Which.
    pub network: Network,
}

/// The networks that a model consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    /// Prompt to embedding.
    TextEncoder,
    /// The denoiser.
    UNet,
    /// The model's own decoder.
    Decoder,
    /// The AutoencoderTiny beside it.
    TinyDecoder,
}

impl Display for ModelPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let role = match self.role {
            Role::Student => "student",
            Role::Teacher => "teacher",
            Role::Baseline => "baseline",
        };
        let network = match self.network {
            Network::TextEncoder => "text encoder",
            Network::UNet => "U-Net",
            Network::Decoder => "decoder",
            Network::TinyDecoder => "tiny decoder",
        };
        write!(f, "{role}: {network}")
    }
}
