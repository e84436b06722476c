//! What the jobs bring back to the window, and the way there.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use crossbeam_channel::Sender;
use instaflow_engine::png::Restored;
use instaflow_engine::protocol::{Failure, Picture, Role};

use super::targets::{SaveAs, Target};
use crate::state::image_metrics::Distance;
use crate::state::pane::PaneId;

/// What a job brought.
pub(crate) enum Done {
    /// The end of the log.
    Log { path: PathBuf, text: String },
    /// A folder to open as a model that plays this part; a student may be a pair.
    Folder { path: PathBuf, role: Role },
    /// A folder to look for models in.
    ModelFolder(PathBuf),
    /// A LoRA to add.
    Lora(PathBuf),
    /// A textual inversion, whose words prompts may use from now on.
    Embedding(PathBuf),
    /// A checkpoint in one file to open.
    Checkpoint(PathBuf),
    /// Where to write the picture.
    SaveAs(Box<SaveAs>),
    /// Where to write the animation that is to be drawn now.
    Animate(Target),
    /// The picture was written.
    Saved(PathBuf),
    /// The picture is on the clipboard.
    Copied,
    /// A picture to write into the output folder.
    SaveQuick(Box<Picture>),
    /// Where quick save shall write.
    Output(PathBuf),
    /// A dropped PNG's settings.
    Settings { file: String, restored: Box<Restored> },
    /// How far two pictures are apart.
    Measured(Box<Measured>),
    /// It failed.
    Failed { failure: Failure, advice: Option<&'static str> },
}

/// How far a student's picture and another are apart.
pub(crate) struct Measured {
    /// Whose the other is.
    pub pane: PaneId,
    /// Whose bytes were measured.
    pub student: Arc<[u8]>,
    /// Against whose.
    pub other: Arc<[u8]>,
    /// `None` if their sizes differ.
    pub distance: Option<Distance>,
    /// The map in colours.
    pub map: Option<egui::ColorImage>,
}

/// Sends a result to the window and wakes it.
#[derive(Clone)]
pub(crate) struct Report {
    pub(super) results: Sender<Done>,
    /// Files that are yet to be written.
    pub writing: Arc<AtomicUsize>,
    pub(super) wake: Arc<dyn Fn() + Send + Sync>,
}

impl Report {
    pub fn send(&self, done: Done) {
        // Fails only if the window is gone, and then nobody needs the result.
        self.results.send(done).ok();
        (self.wake)();
    }

    pub fn fail(&self, message: &str, advice: Option<&'static str>) {
        self.send(Done::Failed { failure: Failure { message: message.to_owned(), causes: Vec::new() }, advice });
    }
}
