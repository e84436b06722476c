//! The windows over the window, and what each of them holds while it is open. Add one to [`Modal`].

use std::path::PathBuf;

use instaflow_engine::png::Restored;
use instaflow_engine::protocol::{OpenRequest, Prediction};

/// A window over the window: one at a time, and nothing else takes keys while it is open.
pub(crate) enum Modal {
    /// Asked before anything of the person's is replaced.
    Question(Question),
    /// What a model's U-Net predicts, asked because nothing says it.
    Recipe(RecipeQuestion),
    /// All commands with their keys.
    Shortcuts,
    /// The program's settings.
    Settings,
    /// The command palette.
    Palette(Palette),
    /// The end of the log.
    Log(LogView),
    /// The models that are here and that can be had.
    Models,
}

/// What was typed to find a command, and which of those found is marked.
#[derive(Clone, Default, PartialEq)]
pub(crate) struct Palette {
    pub typed: String,
    pub marked: usize,
}

/// The end of the log, as it was when it was asked for.
pub(crate) struct LogView {
    pub path: PathBuf,
    pub lines: Vec<String>,
}

/// Whether to replace the prompt in the field by that of a file.
pub(crate) struct Question {
    pub file: String,
    pub restored: Restored,
}

/// What a model's U-Net predicts.
pub(crate) struct RecipeQuestion {
    /// What did not open.
    pub request: OpenRequest,
    /// What the engine said.
    pub sentence: String,
    pub choices: &'static [Prediction],
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
