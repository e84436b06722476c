//! What the window says on its own: errors, which stay until they are dismissed, and remarks, which go away.

use instaflow_engine::protocol::{Failure, Settings};

/// Everything that it says now.
#[derive(Default)]
pub(crate) struct Notices {
    /// Errors, the oldest first.
    pub messages: Vec<Message>,
    pub remark: Option<Notice>,
    /// Whether an error's details are copied with the prompt.
    pub details_with_prompt: bool,
}

/// Something that went wrong; stays until dismissed.
pub(crate) struct Message {
    pub failure: Failure,
    /// What to do next, if the failure's own sentence cannot say.
    pub advice: Option<&'static str>,
    /// When, in local time.
    pub at: String,
    /// What was set then.
    pub settings: Settings,
}

/// A short remark that goes away by itself.
pub(crate) struct Notice {
    pub text: String,
    /// In egui's time.
    pub until: f64,
}
