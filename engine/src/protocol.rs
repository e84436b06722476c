//! Everything that crosses the border of the engine's thread: plain data, no tensors.
//!
//! The window sends a [`Request`]; the engine answers with [`Event`]s. Every request that does work gets exactly one
//! [`Event::Begin`], any number of [`Event::Progress`] and exactly one [`Event::End`], unless a newer request of the
//! same lane took its place before it began: then it gets [`Event::End`] alone, with [`Outcome::Dropped`].

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use serde::{Deserialize, Serialize};

mod sampler;
mod words;

pub use sampler::Sampler;
pub use words::{WordClass, WordGroup, Words};

/// Numbers the requests of one engine; the sender chooses, ascending.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobId(pub u64);

/// The queues of the engine. Each holds one waiting job, the latest. They stand in the order in which they are served:
/// a job gives way to one of a lane above it, and starts again after that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lane {
    /// Follows the keyboard; waits behind nothing else.
    Live,
    /// Latents that are decoded again, for a file that somebody waits for: served early, but nothing gives way to it,
    /// for the teacher would have to begin anew.
    Kept,
    /// Several pictures beside the live one: variations of it, or the teacher in few and in many steps.
    Sheet,
    /// The teacher's picture of the same prompt.
    Teacher,
    /// The baseline's picture of the same prompt.
    Baseline,
    /// Frames of an animation, and whatever else goes into a file.
    Export,
}

impl Lane {
    /// All of them, first served first.
    pub const ALL: [Self; 6] = [Self::Live, Self::Kept, Self::Sheet, Self::Teacher, Self::Baseline, Self::Export];
}

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
    /// How long it took.
    pub timings: Timings,
    /// Straightness S of the path (paper, eq. for S(Z)); `None` for a single step.
    pub straightness: Option<f64>,
    /// The path step by step; empty for a single step.
    pub path: Arc<[PathPoint]>,
    /// What it was decoded from, as the sampler left it; `None` for estimates and for what was put together.
    pub latents: Option<Arc<Latents>>,
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
            timings: Timings::default(),
            straightness: None,
            path: [].into(),
            latents: None,
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

/// What the window asks of the engine.
#[derive(Clone, Debug)]
pub enum Request {
    /// Load a model; all lanes are emptied first. The old one stays where this fails.
    Open(JobId, OpenRequest),
    /// Stop opening a model; the one that was open stays open.
    StopOpening,
    /// Draw one picture. Takes the place of whatever waits in its lane.
    Draw {
        /// The sender's number.
        id: JobId,
        /// Which queue.
        lane: Lane,
        /// What to draw.
        settings: Settings,
        /// When the person asked, so that latency is counted from the key press.
        asked: Instant,
    },
    /// Draw several pictures, one after the other. Takes the place of whatever waits in its lane. Each picture but the
    /// last is an [`Event::Part`]; a job that gave way goes on with the first picture that it still lacks.
    DrawSeries {
        /// The sender's number.
        id: JobId,
        /// Which queue.
        lane: Lane,
        /// What to draw, in this order.
        series: Vec<Settings>,
        /// When the person asked.
        asked: Instant,
    },
    /// Decode latents that a model has drawn before, in [`Lane::Kept`]: everything that settings say was done then but
    /// the decoding, which is done now with the decoder that they name.
    Decode {
        /// The sender's number.
        id: JobId,
        /// What was drawn, and the decoder to take.
        settings: Settings,
        /// Of one picture.
        latents: Arc<Latents>,
        /// When the person asked.
        asked: Instant,
    },
    /// Count a prompt's tokens: answered at once with [`Event::Tokens`].
    CountTokens(String),
    /// Empty a lane and stop what runs in it.
    Stop(Lane),
    /// End the thread.
    Shutdown,
}

/// What kind of work an event speaks of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    /// Loading a model.
    Open,
    /// Drawing in this lane.
    Draw(Lane),
}

/// What the engine tells the window.
#[derive(Clone, Debug)]
pub enum Event {
    /// Work has begun (for a teacher job that gave way: has begun again).
    Begin {
        /// Which request.
        id: JobId,
        /// What kind.
        task: Task,
    },
    /// A step is done.
    Progress {
        /// Which request.
        id: JobId,
        /// What kind.
        task: Task,
        /// Steps done (while loading: mebibytes of weights).
        done: u32,
        /// Steps in all.
        total: u32,
        /// While loading: which part. While drawing: empty.
        what: String,
        /// The flow's own prediction of the final picture, after each step of a run of several.
        estimate: Option<Picture>,
    },
    /// A picture of a series is done, and more are to come: the last one is the [`Event::End`]'s.
    Part {
        /// Which request.
        id: JobId,
        /// What kind.
        task: Task,
        /// Which picture of the series, from 0.
        index: u32,
        /// The picture.
        picture: Picture,
    },
    /// Work has ended.
    End {
        /// Which request.
        id: JobId,
        /// What kind.
        task: Task,
        /// How.
        outcome: Outcome,
    },
    /// The answer to [`Request::CountTokens`].
    Tokens(TokenCount),
}

/// How a piece of work ended.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// The picture, and the seconds from the request's `asked` to its pixels.
    Drawn(Picture, f64),
    /// The same input as the lane's last picture: nothing was drawn, that picture still stands.
    Unchanged,
    /// The model is loaded.
    Opened(ModelSummary),
    /// A newer request took its place, or it was stopped.
    Dropped,
    /// It failed; the engine goes on with the next.
    Failed(Failure),
}

/// An error for a person to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// One sentence: what was wrong and what to do.
    pub message: String,
    /// The causes under it, outermost first.
    pub causes: Vec<String>,
}

impl From<&crate::Error> for Failure {
    fn from(error: &crate::Error) -> Self {
        Self { message: error.to_string(), causes: error.causes() }
    }
}

/// How many of a prompt's tokens the text encoder sees.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TokenCount {
    /// The prompt that was counted.
    pub prompt: String,
    /// Tokens of the prompt, start and end marks included, before truncation.
    pub used: usize,
    /// How many fit (77 with CLIP), marks included.
    pub limit: usize,
    /// Byte offset in `prompt` from which on nothing reaches the text encoder; its length where all fits.
    pub cut_at: usize,
    /// Where the words are, in bytes of `prompt`, that the model does not know; none where it may know any.
    pub unknown: Vec<Range<usize>>,
}

/// What is loaded.
#[derive(Clone, Debug)]
pub struct ModelSummary {
    /// The student, or `None` where only a teacher is open.
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
    /// The words that it knows, where they are few enough to name; `None` where it may know any.
    pub words: Option<Arc<Words>>,
}
