//! Everything that crosses the border of the engine's thread: plain data, no tensors.
//!
//! The window sends a [`Request`]; the engine answers with [`Event`]s. Every request that does work gets exactly one
//! `Begin`, any number of progress events and exactly one `End`. A request that a newer one replaces before it has begun
//! gets its `End` alone, as `Dropped`.
//!
//! What a request can end with has a type of its own for each kind of work, so that a drawing job cannot end with an
//! opened model.

use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

mod loading;
mod picture;
mod picture_settings;
mod sampler;
mod words;

pub use loading::{
    Carry, DeviceChoice, LoadProgress, ModelCard, ModelPart, ModelSummary, Network, OpenRequest, Precision, Prediction,
    Source,
};
pub use picture::{Bf16Products, Latents, PathPoint, Picture, Timings};
pub use picture_settings::{Blend, Decoder, Lora, PromptSyntax, Role, Settings, Toward};
pub use sampler::{Defaults, NoiseSchedule, Sampler};
pub use words::{WordClass, WordGroup, Words};

/// Numbers the requests of one engine; the sender chooses, ascending.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobId(pub u64);

/// The queues for drawing. Each holds one waiting job, the latest. They are listed in the order in which they are
/// served: a job gives way to one of an earlier lane, and starts again afterwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lane {
    /// Follows the keyboard: waits behind nothing else, and is throttled when the model is slow.
    Live,
    /// Several pictures that belong beside the live one.
    Batch,
    /// The teacher's picture, to compare with.
    Teacher,
    /// The baseline's picture, to compare with.
    Baseline,
    /// Long work that nobody watches; always drawn, even if the same was drawn before.
    Background,
}

impl Lane {
    /// All of them, first served first.
    pub const ALL: [Self; 5] = [Self::Live, Self::Batch, Self::Teacher, Self::Baseline, Self::Background];
}

/// What the window asks of the engine.
#[derive(Clone, Debug)]
pub enum Request {
    /// Load a model; all lanes are emptied first. If this fails, the model that was open stays open.
    Open(JobId, OpenRequest),
    /// Stop opening a model; the one that was open stays open.
    StopOpening,
    /// Draw one picture. Replaces whatever waits in its lane.
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
    /// Draw several pictures, one after the other. Replaces whatever waits in its lane. Each picture except the last is
    /// a [`DrawEvent::Part`]; a job that gave way continues with the first picture that it still lacks.
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
    /// Decode latents that a model has drawn before, with the decoder that the settings name; the other settings say
    /// how they were drawn. Served right after [`Lane::Live`], because somebody waits for the file, but nothing gives
    /// way to it: the teacher would have to begin anew. Replaces a decode that waits.
    Decode {
        /// The sender's number.
        id: JobId,
        /// What was drawn, and the decoder to take.
        settings: Settings,
        /// Of one picture.
        latents: Arc<Latents>,
    },
    /// Count the tokens of the settings' prompt, as their model would read it: answered at once with [`Event::Tokens`].
    CountTokens(Box<Settings>),
    /// Empty a lane and stop what runs in it.
    Stop(Lane),
    /// Stop decoding, and drop what waits for it.
    StopDecoding,
    /// End the thread.
    Shutdown,
}

/// What the engine tells the window.
#[derive(Clone, Debug)]
pub enum Event {
    /// About a model that is being opened.
    Open(JobId, OpenEvent),
    /// About pictures that are being drawn in a lane.
    Draw(JobId, Lane, DrawEvent),
    /// About latents that are being decoded.
    Decode(JobId, DecodeEvent),
    /// The answer to [`Request::CountTokens`].
    Tokens(TokenCount),
}

/// What happens to [`Request::Open`].
#[derive(Clone, Debug)]
pub enum OpenEvent {
    /// Work has begun.
    Begin,
    /// Weights are being read.
    Progress(LoadProgress),
    /// Work has ended.
    End(OpenOutcome),
}

/// How opening a model ended.
#[derive(Clone, Debug)]
pub enum OpenOutcome {
    /// It is open.
    Opened(Box<ModelSummary>),
    /// A newer request took its place, or it was stopped.
    Dropped,
    /// It failed; the model that was open stays open.
    Failed(Failure),
    /// It failed because nothing says what the U-Net predicts; the model that was open stays open. One of the `choices`
    /// belongs into [`OpenRequest::prediction`], and opening works.
    Asks {
        /// The sentence.
        failure: Failure,
        /// What can be chosen.
        choices: &'static [Prediction],
    },
}

/// What happens to [`Request::Draw`] and [`Request::DrawSeries`].
#[derive(Clone, Debug)]
pub enum DrawEvent {
    /// Work has begun, or has begun again after giving way.
    Begin,
    /// A step of the current picture is done.
    Step(Step),
    /// A picture of a series is done and more are to come; the last one comes with the `End`.
    Part {
        /// Which picture of the series, from 0.
        index: u32,
        /// The picture.
        picture: Box<Picture>,
    },
    /// Work has ended.
    End(DrawOutcome),
}

/// One step of a sampler is done.
#[derive(Clone, Debug)]
pub struct Step {
    /// Steps done.
    pub done: u32,
    /// Steps in all.
    pub total: u32,
    /// The model's prediction of the final picture; `None` in a run of one step, or if no preview can be made.
    pub estimate: Option<Box<Picture>>,
}

/// How a drawing job ended.
#[derive(Clone, Debug)]
pub enum DrawOutcome {
    /// Its last picture is done.
    Drawn {
        /// The picture.
        picture: Box<Picture>,
        /// Seconds from the request's `asked` to its pixels.
        seconds: f64,
    },
    /// The lane's last picture had the same input and still stands; nothing was drawn.
    Unchanged,
    /// A newer request took its place, or it was stopped.
    Dropped,
    /// It failed; the engine goes on with the next job.
    Failed(Failure),
}

/// What happens to [`Request::Decode`].
#[derive(Clone, Debug)]
pub enum DecodeEvent {
    /// Work has begun, or has begun again after giving way.
    Begin,
    /// Work has ended.
    End(DecodeOutcome),
}

/// How decoding ended.
#[derive(Clone, Debug)]
pub enum DecodeOutcome {
    /// The picture.
    Decoded(Box<Picture>),
    /// A newer request took its place, or it was stopped.
    Dropped,
    /// It failed; the engine goes on with the next job.
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

/// What the message of a panic says.
pub(crate) const BUG: &str = "failed because of a bug in this program";

impl Failure {
    /// Whether it was a panic: then trying again mends nothing, and it is worth a report.
    pub fn is_bug(&self) -> bool {
        self.message.contains(BUG)
    }
}

impl From<&crate::Error> for Failure {
    fn from(error: &crate::Error) -> Self {
        Self { message: error.to_string(), causes: error.causes() }
    }
}

/// How many tokens a prompt has, and what of it has no effect.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TokenCount {
    /// The prompt that was counted.
    pub prompt: String,
    /// Tokens of the prompt without start and end marks; a chunk that ended early counts in full.
    pub used: usize,
    /// How many fit into the chunks that the prompt takes: 75 each with CLIP.
    pub limit: usize,
    /// Byte offset in `prompt` after which nothing reaches the text encoder; its length if all of it fits.
    pub cut_at: usize,
    /// Where the words are, in bytes of `prompt`, that the model does not know; none if it may know any.
    pub unknown: Vec<Range<usize>>,
    /// What cannot be honoured, one sentence each.
    pub remarks: Vec<String>,
}
