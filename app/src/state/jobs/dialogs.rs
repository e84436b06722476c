//! The system's dialogs. They are opened on threads that may wait, by [`Jobs`](super::Jobs).

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What to ask the person for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// A folder to open.
    Folder {
        /// The dialog's title.
        title: &'static str,
    },
    /// A safetensors file to open.
    Safetensors {
        /// The dialog's title.
        title: &'static str,
    },
    /// Where to save a picture, in any form.
    SavePicture {
        /// The suggested file name.
        name: String,
    },
    /// Where to save an animation.
    SavePng {
        /// The suggested file name.
        name: String,
    },
}

/// What the person answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// This file or folder; the dialog has asked before an existing file is replaced.
    Path(PathBuf),
    /// Nothing.
    Cancelled,
    /// There was no dialog to show.
    Unavailable,
}

/// Asks the person; called on a thread that may wait.
pub type Dialog = Arc<dyn Fn(&Ask) -> Answer + Send + Sync>;

/// The system's own dialogs: on Linux through the desktop portal.
pub fn system_dialog(ask: &Ask) -> Answer {
    let began = Instant::now();
    let chosen = match ask {
        Ask::Folder { title } => rfd::FileDialog::new().set_title(*title).pick_folder(),
        Ask::Safetensors { title } => {
            rfd::FileDialog::new().set_title(*title).add_filter("safetensors", &["safetensors"]).pick_file()
        }
        Ask::SavePicture { name } => {
            let dialog = rfd::FileDialog::new().set_title("Save picture").set_file_name(name);
            let dialog = dialog.add_filter("Pictures", &["png", "jpg", "jpeg", "webp"]);
            let dialog = dialog.add_filter("PNG picture", &["png"]).add_filter("JPEG picture", &["jpg", "jpeg"]);
            dialog.add_filter("WebP picture, without loss", &["webp"]).save_file()
        }
        Ask::SavePng { name } => {
            let dialog = rfd::FileDialog::new().set_title("Save animation").set_file_name(name);
            dialog.add_filter("PNG picture", &["png"]).save_file()
        }
    };
    match chosen {
        Some(path) => Answer::Path(path),
        // rfd answers a missing portal like a cancelled dialog, only faster than a person can cancel.
        None if cfg!(target_os = "linux") && began.elapsed() < Duration::from_millis(250) => Answer::Unavailable,
        None => Answer::Cancelled,
    }
}
