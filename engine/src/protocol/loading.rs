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
    /// An AutoencoderTiny folder for all of them; a baseline with other latents goes without.
    pub tiny_decoder: Option<PathBuf>,
    /// Where to compute.
    pub device: DeviceChoice,
    /// In which arithmetic; `None` is the device's own: f32 on a CPU, bf16 on CUDA.
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
    /// How it is drawn unless asked otherwise: what its folder says it is.
    pub sampler: Sampler,
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
