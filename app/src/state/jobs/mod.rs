//! What runs on other threads: dialogs, files, the clipboard, and comparing pictures. The results come back as
//! [`results::Done`].
//!
//! One thread writes, reads and copies, in order ([`files`]). The window waits for it when it closes, so that a picture
//! just saved is on disk. Each dialog has a thread of its own, because a person may leave it open.

pub(super) mod dialogs;
pub(super) mod files;
pub(super) mod results;
pub(super) mod targets;

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, unbounded};
use instaflow_engine::picture_file::Format;
use instaflow_engine::png::Pattern;
use instaflow_engine::protocol::{Failure, Picture, Role};

use dialogs::{Answer, Ask, Dialog};
use files::Job;
use results::{Done, Measured, Report};
use targets::{Animation, SaveAs, Target};

use super::image_metrics::distance;
use super::pane::PaneId;
use super::{Platform, Reveal};
use crate::{desktop, theme};

/// Files that are written sooner are not worth a word.
const WORTH_TELLING: Duration = Duration::from_millis(300);

/// The threads and their channels.
pub(super) struct Jobs {
    work: Option<Sender<Job>>,
    worker: Option<JoinHandle<()>>,
    results: Receiver<Done>,
    report: Report,
    /// Since when files are being written.
    writing_since: Cell<Option<Instant>>,
    dialog: Dialog,
    reveal: Reveal,
    dialog_open: Arc<AtomicBool>,
}

impl Jobs {
    /// Starts the file thread.
    pub fn new(platform: Platform) -> Self {
        let (work, jobs) = unbounded();
        let (sender, results) = unbounded();
        let report = Report { results: sender, writing: Arc::default(), wake: platform.wake };
        let worker = {
            let report = report.clone();
            let builder = std::thread::Builder::new().name("files".to_owned());
            let work = move || files::run(&jobs, &platform.output, &report);
            builder.spawn(work).expect("the system gives a thread, without which nothing works")
        };
        Self {
            work: Some(work),
            worker: Some(worker),
            results,
            report,
            writing_since: Cell::new(None),
            dialog: platform.dialog,
            reveal: platform.reveal,
            dialog_open: Arc::default(),
        }
    }

    /// The next result, if there is one.
    pub fn next(&self) -> Option<Done> {
        self.results.try_recv().ok()
    }

    /// Asks for a model folder; `false` if a dialog is open already.
    pub fn ask_folder(&self, role: Role) -> bool {
        let title = match role {
            Role::Student => "Open a model folder or a pair",
            Role::Teacher => "Open a model folder as teacher",
            Role::Baseline => "Open a model folder as baseline",
        };
        self.ask(Ask::Folder { title }, move |path| Some(Done::Folder { path: path?, role }))
    }

    /// Asks for a LoRA to add. `false` if another dialog is open.
    pub fn ask_lora(&self) -> bool {
        self.ask(Ask::Safetensors { title: "Add a LoRA" }, |file| Some(Done::Lora(file?)))
    }

    /// Asks for a folder to look for models in; `false` if a dialog is open already.
    pub fn ask_model_folder(&self) -> bool {
        self.ask(Ask::Folder { title: "Choose a folder with models" }, |path| Some(Done::ModelFolder(path?)))
    }

    /// Asks for the folder that quick save writes to; `false` if a dialog is open already.
    pub fn ask_output(&self) -> bool {
        self.ask(Ask::Folder { title: "Choose the output folder" }, |path| Some(Done::Output(path?)))
    }

    /// Asks where to save, to be answered with [`Jobs::save`]; `false` if a dialog is open already.
    pub fn ask_where(&self, picture: Picture, metadata: bool) -> bool {
        let name = format!("{}_{}.png", file_stem(&picture.settings.prompt), picture.settings.seed);
        self.ask(Ask::SavePicture { name }, move |chosen| {
            let (path, overwrite) = picture_path(chosen?);
            Some(Done::SaveAs(Box::new(SaveAs { path, picture, metadata, overwrite })))
        })
    }

    /// Asks where to save a picture that is made once that is known; without a dialog it goes into the output folder.
    pub fn ask_where_to_make(
        &self,
        name: &str,
        metadata: bool,
        make: impl FnOnce() -> Picture + Send + 'static,
    ) -> bool {
        let name = format!("{}_comparison.png", file_stem(name));
        self.ask(Ask::SavePicture { name }, move |chosen| {
            let picture = make();
            Some(match chosen.map(picture_path) {
                Some((path, overwrite)) => Done::SaveAs(Box::new(SaveAs { path, picture, metadata, overwrite })),
                None => Done::SaveQuick(Box::new(picture)),
            })
        })
    }

    /// Asks where to save an animation, before it is drawn; without a dialog it goes into the output folder.
    pub fn ask_where_to_animate(&self, prompt: &str) -> bool {
        let name = format!("{}_animation.png", file_stem(prompt));
        self.ask(Ask::SavePng { name }, |chosen| {
            let target = chosen.map(png_path).map_or(Target::Output, |(path, overwrite)| Target::Path(path, overwrite));
            Some(Done::Animate(target))
        })
    }

    /// Asks for the folder that gets a folder of frames, before they are drawn; without a dialog it is the output
    /// folder.
    pub fn ask_where_to_put_frames(&self, prompt: &str) -> bool {
        let name = format!("{}_frames", file_stem(prompt));
        self.ask(Ask::Folder { title: "Choose where to save the folder of frames" }, |folder| {
            Some(Done::Animate(Target::Frames { folder, name }))
        })
    }

    /// Writes an animation.
    pub fn animate(&self, animation: Animation) {
        self.push(Job::Animation(animation));
    }

    /// Sends what is saved from now on to another folder.
    pub fn set_output(&self, folder: PathBuf) {
        self.push(Job::Output(folder));
    }

    /// Names what is saved from now on otherwise.
    pub fn set_pattern(&self, pattern: Pattern) {
        self.push(Job::Pattern(pattern));
    }

    /// Reads the end of the log.
    pub fn read_log(&self, path: PathBuf) {
        self.push(Job::Log(path));
    }

    /// Shows a file or folder with what the desktop has for it.
    pub fn show_outside(&self, path: PathBuf) {
        let report = self.report.clone();
        std::thread::spawn(move || {
            if let Err(error) = desktop::open(&path) {
                let message = format!("No other program could be started to show {}.", path.display());
                let causes = vec![error.to_string()];
                let advice = Some("Open it yourself. On Debian, install the package xdg-utils.");
                report.send(Done::Failed { failure: Failure { message, causes }, advice });
            }
        });
    }

    /// How many files are being written, if that takes long enough to be told.
    pub fn writing(&self) -> usize {
        let count = self.report.writing.load(Ordering::Relaxed);
        if count == 0 {
            self.writing_since.set(None);
        }
        let long = self.writing_since.get().is_some_and(|since| since.elapsed() > WORTH_TELLING);
        if long { count } else { 0 }
    }

    /// Whether anything is being written.
    pub fn is_writing(&self) -> bool {
        self.report.writing.load(Ordering::Relaxed) > 0
    }

    /// Writes the window's state.
    pub fn remember(&self, path: PathBuf, state: String) {
        self.push(Job::Remember { path, state });
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
    pub fn measure(&self, pane: PaneId, student: Picture, other: Picture) {
        let report = self.report.clone();
        std::thread::spawn(move || {
            let _span = tracing::info_span!("measure").entered();
            let distance = distance(&student, &other);
            let map = distance.as_ref().map(|distance| {
                let size = [student.width as usize, student.height as usize];
                let scale = f32::from(distance.scale);
                let colours = distance.map.iter().map(|value| theme::heat(f32::from(*value) / scale)).collect();
                egui::ColorImage::new(size, colours)
            });
            let (student, other) = (student.rgb, other.rgb);
            report.send(Done::Measured(Box::new(Measured { pane, student, other, distance, map })));
        });
    }

    /// Shows a file in the file manager, on a thread of its own: that may take its time to start.
    pub fn reveal(&self, path: PathBuf) {
        let (reveal, report) = (self.reveal.clone(), self.report.clone());
        std::thread::spawn(move || {
            if let Err(sentence) = reveal(&path) {
                report.fail(&sentence, None);
            }
        });
    }

    /// Looks at what was dropped on the window: a PNG's settings, or a model folder.
    pub fn read_dropped(&self, path: PathBuf) {
        self.push(Job::Dropped(path));
    }

    fn push(&self, job: Job) {
        if job.writes() {
            self.report.writing.fetch_add(1, Ordering::Relaxed);
            self.writing_since.set(Some(self.writing_since.get().unwrap_or_else(Instant::now)));
        }
        if self.work.as_ref().is_none_or(|work| work.send(job).is_err()) {
            self.report.fail("Files can no longer be written: start InstaFlow again.", None);
        }
    }

    /// Shows one dialog at a time; `then` makes the result of what was chosen, or of there being no dialog, where it can
    /// do without. `false` if one is open already.
    fn ask(&self, ask: Ask, then: impl FnOnce(Option<PathBuf>) -> Option<Done> + Send + 'static) -> bool {
        if self.dialog_open.swap(true, Ordering::Relaxed) {
            return false;
        }
        let (dialog, open, report) = (self.dialog.clone(), self.dialog_open.clone(), self.report.clone());
        std::thread::spawn(move || {
            let answer = dialog(&ask);
            open.store(false, Ordering::Relaxed);
            let path = match answer {
                Answer::Path(path) => Some(path),
                Answer::Cancelled => return,
                Answer::Unavailable => None,
            };
            let advice = match ask {
                Ask::SavePicture { .. } | Ask::SavePng { .. } => {
                    "Quick save (Ctrl+Shift+S) works without it. For the dialog, install the Debian packages \
                     xdg-desktop-portal and xdg-desktop-portal-gtk."
                }
                Ask::Safetensors { .. } => {
                    "Drop the file on this window. For the dialog, install the Debian packages xdg-desktop-portal and \
                     xdg-desktop-portal-gtk."
                }
                Ask::Folder { .. } => {
                    "Drop the model folder on this window, or start with --model FOLDER. For the dialog, install the \
                     Debian packages xdg-desktop-portal and xdg-desktop-portal-gtk."
                }
            };
            match then(path) {
                Some(done) => report.send(done),
                None => {
                    report.fail("The desktop has no file dialog (no xdg-desktop-portal answered).", Some(advice));
                }
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

/// The first words of a prompt as a file name that every system takes.
fn file_stem(prompt: &str) -> String {
    let words: String = prompt.chars().map(|c| if c.is_alphanumeric() { c } else { ' ' }).take(48).collect();
    let stem = words.split_whitespace().collect::<Vec<_>>().join("-");
    if stem.is_empty() { "picture".to_owned() } else { stem }
}

/// What was chosen with its ending, and whether a file there may be replaced: where the ending is added here, the dialog
/// has not asked about that name.
fn picture_path(chosen: PathBuf) -> (PathBuf, bool) {
    if Format::of(&chosen).is_some() { (chosen, true) } else { (with_png(&chosen), false) }
}

/// The same for animations, which are PNGs.
fn png_path(chosen: PathBuf) -> (PathBuf, bool) {
    if Format::of(&chosen) == Some(Format::Png) { (chosen, true) } else { (with_png(&chosen), false) }
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
