//! The file thread: what it is given to do, in order, and how each thing is done. Nothing here asks a person or waits for
//! one. Add a kind of file to [`Job`].

use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use crossbeam_channel::Receiver;
use instaflow_engine::checkpoint::{self, FileKind, Kind};
use instaflow_engine::picture_file;
use instaflow_engine::png::{self, Pattern};
use instaflow_engine::protocol::{Failure, Picture, Role};
use instaflow_engine::{Error, atomic};

use super::results::{Done, Report};
use super::targets::{Animation, SaveAs, Target};
use crate::record;

/// Bytes of the log that are shown.
const LOG_SHOWN: u64 = 256 << 10;

/// One thing to do.
pub(super) enum Job {
    Save(SaveAs),
    SaveQuick { picture: Picture, metadata: bool },
    Animation(Animation),
    Output(PathBuf),
    Pattern(Pattern),
    Log(PathBuf),
    Remember { path: PathBuf, state: String },
    Copy(Picture),
    Dropped(PathBuf),
}

impl Job {
    /// Whether it writes what the person asked for.
    pub fn writes(&self) -> bool {
        matches!(self, Self::Save(_) | Self::SaveQuick { .. } | Self::Animation(_))
    }

    /// For the trace.
    fn name(&self) -> &'static str {
        match self {
            Self::Save(_) | Self::SaveQuick { .. } => "save",
            Self::Animation(_) => "save animation",
            Self::Output(_) | Self::Pattern(_) => "output folder",
            Self::Log(_) => "read the log",
            Self::Remember { .. } => "remember",
            Self::Copy(_) => "copy",
            Self::Dropped(_) => "read",
        }
    }
}

/// Works until nobody can give it more. `output` is where quick saves go until another folder is named.
pub(super) fn run(jobs: &Receiver<Job>, output: &Path, report: &Report) {
    // On X11 and Wayland the program that copied must live to answer; this keeps the answer.
    let mut clipboard = None;
    let mut output = output.to_owned();
    let mut pattern = Pattern::default();
    for job in jobs {
        let writes = job.writes();
        let _span = tracing::info_span!("file", job = job.name()).entered();
        report.send(match job {
            Job::Output(folder) => {
                output = folder;
                continue;
            }
            Job::Pattern(chosen) => {
                pattern = chosen;
                continue;
            }
            Job::Log(path) => match record::tail(&path, LOG_SHOWN) {
                Ok(text) => Done::Log { path, text },
                Err(error) => Done::Failed {
                    failure: Failure {
                        message: format!("The log could not be read from {}.", path.display()),
                        causes: vec![error.to_string()],
                    },
                    advice: Some("The log starts when the window opens: start InstaFlow again to have one."),
                },
            },
            Job::Remember { path, state } => match write_state(&path, &state) {
                Ok(()) => continue,
                Err(error) => Done::Failed {
                    failure: Failure {
                        message: format!("The window's state could not be written to {}.", path.display()),
                        causes: std::iter::once(error.to_string()).chain(error.causes()).collect(),
                    },
                    advice: Some("The window works on, but the next start will not restore what is in it now."),
                },
            },
            Job::Animation(animation) => match save_animation(&output, &pattern, &animation) {
                Ok(path) => Done::Saved(path),
                Err(error) => Done::Failed {
                    failure: Failure::from(&error),
                    advice: Some("Export the animation again, under another name or in another folder."),
                },
            },
            Job::Save(SaveAs { path, picture, metadata, overwrite }) => {
                match picture_file::save(&path, &picture, metadata, picture_file::DEFAULT_QUALITY, overwrite) {
                    Ok(()) => Done::Saved(path),
                    Err(error) => save_failed(&error),
                }
            }
            Job::SaveQuick { picture, metadata } => match png::save_quick(&output, &pattern, &picture, metadata) {
                Ok(path) => Done::Saved(path),
                Err(error) => save_failed(&error),
            },
            Job::Copy(picture) => match copy(&mut clipboard, &picture) {
                Ok(()) => Done::Copied,
                Err(error) => Done::Failed {
                    failure: Failure {
                        message: "The picture could not be copied to the clipboard.".to_owned(),
                        causes: vec![error.to_string()],
                    },
                    advice: Some("Save it instead: Ctrl+S, or Ctrl+Shift+S for quick save."),
                },
            },
            // The file may be anyone's. Whatever reading it does, later files must still be saved.
            Job::Dropped(path) => catch_unwind(|| dropped(path)).unwrap_or_else(|_| Done::Failed {
                failure: Failure {
                    message: "The file that was dropped could not be read: it brought this program to a fault."
                        .to_owned(),
                    causes: Vec::new(),
                },
                advice: Some("Everything else goes on. The log says where it happened (Help, Show log)."),
            }),
        });
        if writes {
            report.writing.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// What a file or folder is that was dropped on the window.
fn dropped(path: PathBuf) -> Done {
    let failed = |failure| Done::Failed {
        failure,
        advice: Some("Drop a picture with its settings (PNG, JPEG or WebP), a model folder, or a safetensors file."),
    };
    if path.is_dir() {
        return Done::Folder { path, role: Role::Student };
    }
    if path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("safetensors")) {
        let file = path.display();
        let other = |what: String| Failure { message: format!("{file} {what}"), causes: Vec::new() };
        return match checkpoint::classify(&path) {
            Err(error) => failed(Failure::from(&error)),
            Ok(FileKind { kind: Kind::Lora(_), unusable: None, .. }) => Done::Lora(path),
            Ok(FileKind { kind: Kind::TextualInversion, unusable: None, .. }) => Done::Embedding(path),
            Ok(FileKind { kind: Kind::Checkpoint | Kind::UNet, unusable: None, .. }) => Done::Checkpoint(path),
            Ok(FileKind { unusable: Some(why), .. }) => failed(other(why)),
            Ok(FileKind { kind, .. }) => failed(other(format!("is a {}: it cannot be opened by itself", kind.name()))),
        };
    }
    match png::read_settings(&path) {
        Ok(restored) => {
            let file = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
            Done::Settings { file, restored: Box::new(restored) }
        }
        Err(error) => failed(Failure::from(&error)),
    }
}

fn save_failed(error: &instaflow_engine::Error) -> Done {
    let advice = "The picture is still on screen: save it under another name or in another folder.";
    Done::Failed { failure: Failure::from(error), advice: Some(advice) }
}

fn save_animation(output: &Path, pattern: &Pattern, animation: &Animation) -> instaflow_engine::Result<PathBuf> {
    let Animation { frames, rate, metadata, target } = animation;
    match target {
        Target::Path(path, overwrite) => {
            png::save_animation(path, &there_and_back(frames), *rate, *metadata, *overwrite).map(|()| path.clone())
        }
        Target::Output => png::save_animation_quick(output, pattern, &there_and_back(frames), *rate, *metadata),
        // Whoever cuts a film goes back by himself.
        Target::Frames { folder, name } => {
            png::save_frames(folder.as_deref().unwrap_or(output), name, frames, *metadata)
        }
    }
}

/// There and back again, without the ends twice: it runs on without a jump.
fn there_and_back(frames: &[Picture]) -> Vec<&Picture> {
    let back = frames.iter().rev().skip(1).take(frames.len().saturating_sub(2));
    frames.iter().chain(back).collect()
}

/// Writes the window's state, whole or not at all, and creates its folder if necessary.
fn write_state(path: &Path, state: &str) -> Result<(), Error> {
    if let Some(folder) = path.parent() {
        // If this fails, so does writing, which says why.
        std::fs::create_dir_all(folder).ok();
    }
    atomic::write(path, state.as_bytes(), true)
}

fn copy(clipboard: &mut Option<arboard::Clipboard>, picture: &Picture) -> Result<(), arboard::Error> {
    let clipboard = match clipboard {
        Some(clipboard) => clipboard,
        None => clipboard.insert(arboard::Clipboard::new()?),
    };
    let rgba: Vec<u8> = picture.rgb.chunks_exact(3).flat_map(|pixel| [pixel[0], pixel[1], pixel[2], 255]).collect();
    clipboard.set_image(arboard::ImageData {
        width: picture.width as usize,
        height: picture.height as usize,
        bytes: rgba.into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_windows_may_write_their_states_at_the_same_time() {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let path = folder.path().join("state").join("window.json");
        std::thread::scope(|scope| {
            for window in ["1", "2"] {
                let (path, state) = (&path, window.repeat(50_000));
                scope.spawn(move || {
                    for _ in 0..50 {
                        write_state(path, &state).expect("a folder that can be written");
                    }
                });
            }
        });
        let text = std::fs::read_to_string(&path).expect("a state");
        assert!(text.len() == 50_000 && (text.starts_with('1') != text.contains('2')), "half of each");
        assert_eq!(std::fs::read_dir(folder.path().join("state")).expect("a folder").count(), 1, "nothing else stays");
    }
}
