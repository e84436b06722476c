//! What is to be written, and where it goes.

use std::path::PathBuf;

use instaflow_engine::protocol::Picture;

/// A picture and where the person wants it.
pub(crate) struct SaveAs {
    pub path: PathBuf,
    pub picture: Picture,
    pub metadata: bool,
    /// Whether a file there may be replaced, which the dialog has asked.
    pub overwrite: bool,
}

/// Where a file goes.
pub(crate) enum Target {
    /// To this path; whether a file there may be replaced, which the dialog has asked.
    Path(PathBuf, bool),
    /// Into the output folder, under a name of its own.
    Output,
    /// As a folder of pictures of this name, or one like it that is free, in this one or the output folder.
    Frames { folder: Option<PathBuf>, name: String },
}

/// The frames of an animation and where it goes.
pub(crate) struct Animation {
    pub frames: Vec<Picture>,
    pub rate: u32,
    pub metadata: bool,
    pub target: Target,
}
