//! Dialogs, files and the clipboard, away from the window's thread.
//!
//! One thread writes, reads and copies, in order; it is waited for when the window closes, so that a picture just saved
//! is saved. Each dialog has a thread of its own, because a person may leave it open.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, unbounded};
use instaflow_engine::png::{self, Restored};
use instaflow_engine::protocol::{Failure, Picture};

use super::Outside;
use super::measure::{Distance, distance};
use crate::theme;

/// What to ask the person for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// A folder to open.
    Folder {
        /// The dialog's title.
        title: &'static str,
    },
    /// Where to save a picture.
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
        Ask::SavePng { name } => {
            let dialog = rfd::FileDialog::new().set_title("Save picture").set_file_name(name);
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

/// What a job brought.
pub(super) enum Done {
    /// A folder to open as a model.
    Folder { path: PathBuf, as_teacher: bool },
    /// Where to write the picture.
    SaveAs(Box<SaveAs>),
    /// The picture was written.
    Saved(PathBuf),
    /// The picture is on the clipboard.
    Copied,
    /// A dropped PNG's settings.
    Settings { file: String, restored: Box<Restored> },
    /// How far two pictures are apart.
    Measured(Box<Measured>),
    /// It failed.
    Failed { failure: Failure, advice: Option<&'static str> },
}

/// How far a student's and a teacher's picture are apart.
pub(super) struct Measured {
    /// Whose bytes were measured.
    pub student: Arc<[u8]>,
    /// Against whose.
    pub teacher: Arc<[u8]>,
    /// `None` where their sizes differ.
    pub distance: Option<Distance>,
    /// The map in colours.
    pub map: Option<egui::ColorImage>,
}

/// A picture and where the person wants it.
pub(super) struct SaveAs {
    path: PathBuf,
    picture: Picture,
    metadata: bool,
    overwrite: bool,
}

enum Job {
    Save(SaveAs),
    SaveQuick { picture: Picture, metadata: bool },
    Copy(Picture),
    Dropped(PathBuf),
}

/// The threads and their channels.
pub(super) struct Jobs {
    work: Option<Sender<Job>>,
    worker: Option<JoinHandle<()>>,
    results: Receiver<Done>,
    report: Report,
    dialog: Dialog,
    dialog_open: Arc<AtomicBool>,
}

/// Sends a result to the window and wakes it.
#[derive(Clone)]
struct Report {
    results: Sender<Done>,
    wake: Arc<dyn Fn() + Send + Sync>,
}

impl Jobs {
    /// Starts the file thread.
    pub fn new(outside: Outside) -> Self {
        let (work, jobs) = unbounded();
        let (sender, results) = unbounded();
        let report = Report { results: sender, wake: outside.wake };
        let worker = {
            let report = report.clone();
            std::thread::spawn(move || run(&jobs, &outside.output, &report))
        };
        Self {
            work: Some(work),
            worker: Some(worker),
            results,
            report,
            dialog: outside.dialog,
            dialog_open: Arc::default(),
        }
    }

    /// The next result, if there is one.
    pub fn next(&self) -> Option<Done> {
        self.results.try_recv().ok()
    }

    /// Asks for a model folder; `false` where a dialog is open already.
    pub fn ask_folder(&self, as_teacher: bool) -> bool {
        let title = if as_teacher { "Open a model folder as teacher" } else { "Open a model folder or a pair" };
        self.ask(Ask::Folder { title }, move |path| Done::Folder { path, as_teacher })
    }

    /// Asks where to save, to be answered with [`Jobs::save`]; `false` where a dialog is open already.
    pub fn ask_where(&self, picture: Picture, metadata: bool) -> bool {
        let name = format!("{}_{}.png", file_stem(&picture.settings.prompt), picture.settings.seed);
        self.ask(Ask::SavePng { name }, move |chosen| {
            // Where the ending is added here, the dialog has not asked about that name.
            let has_ending = chosen.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("png"));
            let path = if has_ending { chosen } else { with_png(&chosen) };
            Done::SaveAs(Box::new(SaveAs { path, picture, metadata, overwrite: has_ending }))
        })
    }

    /// Saves where the person said.
    pub fn save(&self, save: SaveAs) {
        self.push(Job::Save(save));
    }

    /// Saves into the output folder.
    pub fn save_quick(&self, picture: Picture, metadata: bool) {
        self.push(Job::SaveQuick { picture, metadata });
    }

    /// Copies to the clipboard.
    pub fn copy(&self, picture: Picture) {
        self.push(Job::Copy(picture));
    }

    /// Measures how far two pictures are apart, on a thread of its own: that of the files may wait for a disk.
    pub fn measure(&self, student: Picture, teacher: Picture) {
        let report = self.report.clone();
        std::thread::spawn(move || {
            let distance = distance(&student, &teacher);
            let map = distance.as_ref().map(|distance| {
                let size = [student.width as usize, student.height as usize];
                let scale = f32::from(distance.scale);
                let colours = distance.map.iter().map(|value| theme::heat(f32::from(*value) / scale)).collect();
                egui::ColorImage::new(size, colours)
            });
            let (student, teacher) = (student.rgb, teacher.rgb);
            report.send(Done::Measured(Box::new(Measured { student, teacher, distance, map })));
        });
    }

    /// Looks at what was dropped on the window: a PNG's settings, or a model folder.
    pub fn read_dropped(&self, path: PathBuf) {
        self.push(Job::Dropped(path));
    }

    fn push(&self, job: Job) {
        if self.work.as_ref().is_none_or(|work| work.send(job).is_err()) {
            self.report.fail("Files can no longer be written: start InstaFlow again.", None);
        }
    }

    /// Shows one dialog at a time; `then` makes the result of what was chosen. `false` where one is open already.
    fn ask(&self, ask: Ask, then: impl FnOnce(PathBuf) -> Done + Send + 'static) -> bool {
        if self.dialog_open.swap(true, Ordering::Relaxed) {
            return false;
        }
        let (dialog, open, report) = (self.dialog.clone(), self.dialog_open.clone(), self.report.clone());
        std::thread::spawn(move || {
            let answer = dialog(&ask);
            open.store(false, Ordering::Relaxed);
            match (answer, ask) {
                (Answer::Path(path), _) => report.send(then(path)),
                (Answer::Cancelled, _) => {}
                (Answer::Unavailable, Ask::SavePng { .. }) => report.fail(
                    "The desktop has no file dialog (no xdg-desktop-portal answered).",
                    Some(
                        "Quick save (Ctrl+Shift+S) needs none. For the dialog, install the Debian packages \
                         xdg-desktop-portal and xdg-desktop-portal-gtk.",
                    ),
                ),
                (Answer::Unavailable, Ask::Folder { .. }) => report.fail(
                    "The desktop has no file dialog (no xdg-desktop-portal answered).",
                    Some(
                        "Drop the model folder on this window, or start with --model FOLDER. For the dialog, install \
                         the Debian packages xdg-desktop-portal and xdg-desktop-portal-gtk.",
                    ),
                ),
            }
        });
        true
    }
}

impl Drop for Jobs {
    fn drop(&mut self) {
        self.work = None;
        if let Some(worker) = self.worker.take() {
            // A panic there was already shown; there is nobody left to tell.
            worker.join().ok();
        }
    }
}

impl Report {
    fn send(&self, done: Done) {
        // Nobody listens any more only where the window is gone.
        self.results.send(done).ok();
        (self.wake)();
    }

    fn fail(&self, message: &str, advice: Option<&'static str>) {
        self.send(Done::Failed { failure: Failure { message: message.to_owned(), causes: Vec::new() }, advice });
    }
}

fn run(jobs: &Receiver<Job>, output: &Path, report: &Report) {
    // On X11 and Wayland the program that copied must live to answer; this keeps the answer.
    let mut clipboard = None;
    for job in jobs {
        report.send(match job {
            Job::Save(SaveAs { path, picture, metadata, overwrite }) => {
                match png::save(&path, &picture, metadata, overwrite) {
                    Ok(()) => Done::Saved(path),
                    Err(error) => save_failed(&error),
                }
            }
            Job::SaveQuick { picture, metadata } => match png::save_quick(output, &picture, metadata) {
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
            Job::Dropped(path) if path.is_dir() => Done::Folder { path, as_teacher: false },
            Job::Dropped(path) => match png::read_settings(&path) {
                Ok(restored) => {
                    let file = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
                    Done::Settings { file, restored: Box::new(restored) }
                }
                Err(error) => Done::Failed {
                    failure: Failure::from(&error),
                    advice: Some(
                        "Drop a PNG that InstaFlow or a program of the A1111 family saved, or a model folder.",
                    ),
                },
            },
        });
    }
}

fn save_failed(error: &instaflow_engine::Error) -> Done {
    let advice = "The picture is still on screen: save it under another name or in another folder.";
    Done::Failed { failure: Failure::from(error), advice: Some(advice) }
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

/// The first words of a prompt as a file name that every system takes.
fn file_stem(prompt: &str) -> String {
    let words: String = prompt.chars().map(|c| if c.is_alphanumeric() { c } else { ' ' }).take(48).collect();
    let stem = words.split_whitespace().collect::<Vec<_>>().join("-");
    if stem.is_empty() { "picture".to_owned() } else { stem }
}

/// The path with `.png` after whatever name it has.
fn with_png(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".png");
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_prompt_gives_a_file_name() {
        for (prompt, expected) in [
            ("a snowy mountain, at sunset", "a-snowy-mountain-at-sunset"),
            ("", "picture"),
            ("../../etc/passwd", "etc-passwd"),
            ("🦊 \"fox\"\n<|endoftext|>", "fox-endoftext"),
            ("été 雪", "été-雪"),
        ] {
            assert_eq!(file_stem(prompt), expected);
        }
        assert!(file_stem(&"wort ".repeat(9000)).chars().count() <= 48);
    }

    #[test]
    fn the_ending_is_added_not_exchanged() {
        assert_eq!(with_png(Path::new("a/v1.2")), Path::new("a/v1.2.png"));
    }
}
