//! What the window says on its own: errors, which stay until they are dismissed, and remarks, which go away.

use instaflow_engine::protocol::{Failure, Settings};

use super::PaneId;

/// Everything that it says now.
#[derive(Default)]
pub(crate) struct Notices {
    /// Errors, the oldest first.
    pub messages: Vec<Message>,
    pub remark: Option<Notice>,
    /// Whether an error's details are copied with the prompt.
    pub details_with_prompt: bool,
}

impl Notices {
    /// See [`App::settle`](super::App::settle).
    pub fn settle(&mut self, about: About) {
        self.messages.retain(|message| message.about != about);
    }
}

/// Something that went wrong; stays until it is dismissed, or until what it is about has gone well.
pub(crate) struct Message {
    pub failure: Failure,
    pub about: About,
    /// What to do next, if the failure's own sentence cannot say.
    pub advice: Option<&'static str>,
    /// When, in local time.
    pub at: String,
    /// What was set then.
    pub settings: Settings,
}

/// What a message is about. The next success in the same takes it away, and so does the next failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum About {
    /// The picture of a pane.
    Pane(PaneId),
    /// Variations, or pictures in few steps.
    Batch,
    /// A model that did not open.
    Opening,
    /// What is to be said of the models that are open.
    Models,
    /// The kept pictures.
    Library,
    /// Something of which no success can be expected: it stays until it is dismissed.
    Itself,
}

/// A short remark that goes away by itself.
pub(crate) struct Notice {
    pub text: String,
    /// In egui's time.
    pub until: f64,
}
