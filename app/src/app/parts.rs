//! What the window's state is made of, beside what the person has set and what the lanes show.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use egui::TextureHandle;
use instaflow_engine::png::Restored;
use instaflow_engine::protocol::{Failure, JobId, LoadProgress, OpenRequest, Picture, Settings};

use super::Distance;

/// How far student and another are apart, and of which pictures that is true.
pub(crate) struct Apart {
    pub student: Arc<[u8]>,
    pub other: Arc<[u8]>,
    /// `None` where the pictures' sizes differ.
    pub distance: Option<Distance>,
    /// The map in colours, on the GPU.
    pub map: Option<TextureHandle>,
}

impl Apart {
    /// Whether it is true of these two.
    pub fn is_of(&self, student: &Picture, other: &Picture) -> bool {
        Arc::ptr_eq(&self.student, &student.rgb) && Arc::ptr_eq(&self.other, &other.rgb)
    }
}

/// A window over the window: one at a time, and nothing else takes keys while it is open.
pub(crate) enum Modal {
    /// Asked before anything of the person's is replaced.
    Question(Question),
    /// All commands with their keys.
    Shortcuts,
    /// The program's settings.
    Settings,
    /// The command palette.
    Palette(Palette),
    /// The end of the log.
    Log(LogView),
    /// How to get the published weights.
    Weights,
}

/// What was typed to find a command, and which of those found is marked.
#[derive(Clone, Default, PartialEq)]
pub(crate) struct Palette {
    pub typed: String,
    pub marked: usize,
}

/// What live drawing is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LiveState {
    /// It is switched off.
    Off,
    /// Nothing has changed.
    Rests,
    /// Something has changed; the engine waits for the end of a word, or for the picture before.
    Waits,
    /// The engine draws.
    Draws,
}

/// A model on its way in.
pub(crate) struct Opening {
    pub id: JobId,
    pub request: OpenRequest,
    /// Since when weights are read, and how far that is.
    pub progress: Option<(Instant, LoadProgress)>,
}

/// Something that went wrong; stays until dismissed.
pub(crate) struct Message {
    pub failure: Failure,
    /// What to do next, where the failure's own sentence cannot know.
    pub advice: Option<&'static str>,
    /// When, in local time.
    pub at: String,
    /// What was set then.
    pub settings: Settings,
}

/// The end of the log, as it was when it was asked for.
pub(crate) struct LogView {
    pub path: PathBuf,
    pub lines: Vec<String>,
}

/// A short remark that goes away by itself.
pub(crate) struct Notice {
    pub text: String,
    /// In egui's time.
    pub until: f64,
}

/// Whether to replace the prompt in the field by that of a file.
pub(crate) struct Question {
    pub file: String,
    pub restored: Restored,
}

/// Who can be given the keyboard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Focus {
    Prompt,
    Picture,
}

/// A page of the settings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Page {
    #[default]
    Drawing,
    Live,
    Files,
    Looks,
}
