//! What the window says on its own: errors, which stay until they are dismissed, and remarks, which go away.

use instaflow_engine::protocol::{Failure, Settings};

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

/// A short remark that goes away by itself.
pub(crate) struct Notice {
    pub text: String,
    /// In egui's time.
    pub until: f64,
}
