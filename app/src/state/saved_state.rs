//! What the window remembers from one start to the next, so that it can be closed at any moment. Change what is
//! remembered in [`State`]; a file of another version may lack fields or have others.

use std::path::{Path, PathBuf};

use egui::{Rect, pos2, vec2};
use instaflow_engine::protocol::{Carry, OpenRequest, Source};
use serde::{Deserialize, Serialize};

use super::{App, Controls, Prompts};
use crate::folders;

/// Seconds without a change after which the state is written.
const REST: f64 = 0.5;
/// Seconds after which it is written although it changes all the time.
const LONGEST: f64 = 3.0;

/// All that is remembered.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct State {
    /// What the person has set.
    pub controls: Controls,
    /// The models that were open.
    pub open: OpenRequest,
    /// Where the window was.
    pub window: Option<Place>,
    /// Prompts that were drawn and rested on.
    pub prompts: Prompts,
}

/// A window's place on the screen, in points.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Place {
    /// Its inner size.
    pub size: [f32; 2],
    /// Its outer corner, if the system tells.
    pub position: Option<[f32; 2]>,
    /// Whether it fills the screen.
    pub maximized: bool,
}

/// When the state was last written, and what has changed since.
#[derive(Default)]
pub(super) struct Memory {
    file: Option<PathBuf>,
    seen: State,
    changed_at: f64,
    stale_since: Option<f64>,
}

impl State {
    /// Reads a state. The second is a sentence for the person if there was a file that could not be used: it is set
    /// aside under another name, so that nothing in it is lost.
    pub fn load(file: &Path) -> (Self, Option<String>) {
        let text = match std::fs::read_to_string(file) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return (Self::default(), None),
            Err(error) => {
                let sentence = format!("The window's last state could not be read from {}: {error}", file.display());
                return (Self::default(), Some(sentence));
            }
        };
        match serde_json::from_str::<Self>(&text) {
            Ok(state) => (Self { controls: state.controls.clamped(), prompts: state.prompts.clamped(), ..state }, None),
            Err(error) => {
                let aside = file.with_extension("json.unreadable");
                // Where even that fails, the next write replaces the file.
                let moved = std::fs::rename(file, &aside).is_ok();
                let place = if moved { aside } else { file.to_owned() };
                let sentence =
                    format!("The window's last state is damaged ({error}); the file is kept as {}", place.display());
                (Self::default(), Some(sentence))
            }
        }
    }

    /// The same without models and files that are gone; tells whether one was.
    pub(super) fn without_lost_folders(self) -> (Self, bool) {
        self.without_paths(|path| !path.exists())
    }

    /// The same without paths whose names are no Unicode, which is all that JSON holds.
    fn without_unwritable_folders(mut self) -> Self {
        let unwritable = |path: &Path| path.to_str().is_none();
        self.controls.output = self.controls.output.filter(|folder| !unwritable(folder));
        self.without_paths(unwritable).0
    }

    fn without_paths(mut self, is_out: impl Fn(&Path) -> bool) -> (Self, bool) {
        let out = |source: &Source| matches!(source, Source::Folder(path) | Source::File(path) if is_out(path));
        let carried = |carry: &Carry| out(&carry.finetune) || out(&carry.base);
        let open = &self.open;
        let parts = [&open.config, &open.vae, &open.tiny_decoder];
        if out(&open.model)
            || open.teacher.as_ref().is_some_and(out)
            || open.carry.as_ref().is_some_and(carried)
            || parts.into_iter().flatten().any(|path| is_out(path))
        {
            self.open = open.pocket();
            return (self, true);
        }
        let open = &mut self.open;
        let count = |open: &OpenRequest| (open.baseline.is_some(), open.embeddings.len(), open.lora_folders.len());
        let before = count(open);
        open.baseline = open.baseline.take().filter(|baseline| !out(baseline));
        open.embeddings.retain(|file| !is_out(file));
        open.lora_folders.retain(|folder| !is_out(folder));
        let lost = count(open) != before;
        (self, lost)
    }
}

impl Place {
    /// A place that a screen could have.
    pub fn is_sensible(&self) -> bool {
        let numbers = self.size.iter().chain(self.position.iter().flatten());
        numbers.clone().all(|number| number.is_finite() && number.abs() < 32_768.0)
            && self.size.iter().all(|side| *side >= 200.0)
    }
}

impl Memory {
    /// Nothing has changed yet.
    pub fn new(file: Option<PathBuf>, state: State) -> Self {
        Self { file, seen: state, ..Self::default() }
    }
}

/// Where the state is kept.
pub fn default_file() -> Option<PathBuf> {
    Some(folders::state()?.join("window.json"))
}

/// Where the window last was, as far as the file tells; what is wrong with it the window itself will say.
pub fn last_place(file: &Path) -> Option<Place> {
    let state: State = serde_json::from_str(&std::fs::read_to_string(file).ok()?).ok()?;
    state.window.filter(Place::is_sensible)
}

impl App {
    /// Writes the state a moment after it has changed.
    pub(super) fn remember(&mut self, ctx: &egui::Context) {
        let now = ctx.time();
        let window = self.place(ctx);
        let seen = &self.memory.seen;
        let same = (&seen.controls, &seen.open, &seen.window, &seen.prompts)
            == (&self.controls, &self.models.opened, &window, &self.prompt.earlier);
        if !same {
            self.memory.seen = State {
                controls: self.controls.clone(),
                open: self.models.opened.clone(),
                window,
                prompts: self.prompt.earlier.clone(),
            };
            self.memory.changed_at = now;
            self.memory.stale_since.get_or_insert(now);
        }
        let Some(stale_since) = self.memory.stale_since else { return };
        let due = (self.memory.changed_at + REST).min(stale_since + LONGEST);
        if now >= due {
            self.write_state();
        } else {
            ctx.request_repaint_after(std::time::Duration::from_secs_f64(due - now));
        }
    }

    /// Writes the state if it has changed since it was last written.
    pub(super) fn write_state(&mut self) {
        if self.memory.stale_since.take().is_none() {
            return;
        }
        if let Some(file) = self.memory.file.clone() {
            let state = self.memory.seen.clone().without_unwritable_folders();
            let text = serde_json::to_string_pretty(&state).expect("plain data with string keys is JSON");
            self.jobs.remember(file, text);
        }
    }

    /// Where the window is.
    fn place(&self, ctx: &egui::Context) -> Option<Place> {
        let place = ctx.input(|input| {
            let viewport = input.viewport();
            let maximized = viewport.maximized.unwrap_or(false) || viewport.fullscreen.unwrap_or(false);
            (viewport.inner_rect, viewport.outer_rect, maximized)
        });
        let before = self.memory.seen.window;
        match place {
            // What a maximized window shrinks back to is what it was before.
            (_, _, true) => before.map(|place| Place { maximized: true, ..place }).or(Some(Place {
                size: [1180.0, 760.0],
                position: None,
                maximized: true,
            })),
            (Some(inner), outer, false) => {
                let whole = |value: f32| value.round();
                let position = outer.map(|outer: Rect| [whole(outer.min.x), whole(outer.min.y)]);
                // In points of the system, whatever the window's own scale is.
                let size = inner.size() * ctx.zoom_factor();
                let position = position.map(|at| pos2(at[0], at[1]) * ctx.zoom_factor()).map(|at| [at.x, at.y]);
                Some(Place { size: vec2(whole(size.x), whole(size.y)).into(), position, maximized: false })
            }
            (None, ..) => before,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Recipe;
    use super::*;

    #[test]
    fn a_state_survives_its_file_and_a_damaged_file_is_set_aside() {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let file = folder.path().join("window.json");
        assert_eq!(State::load(&file), (State::default(), None), "the first start");

        let state = State {
            controls: Controls {
                recipe: Recipe { prompt: "lake \"at\"\nnight".to_owned(), seed: u64::MAX, ..Recipe::default() },
                ..Controls::default()
            },
            open: OpenRequest { model: Source::Folder("/models/a b".into()), ..OpenRequest::default() },
            window: Some(Place { size: [900.0, 600.0], position: Some([-20.0, 10.0]), maximized: false }),
            prompts: Prompts::default(),
        };
        let text = serde_json::to_string(&state).expect("JSON");
        std::fs::write(&file, &text).expect("a folder that can be written");
        assert_eq!(State::load(&file), (state, None));

        std::fs::write(&file, &text[..text.len() / 2]).expect("a folder that can be written");
        let (state, sentence) = State::load(&file);
        assert_eq!(state, State::default());
        assert!(sentence.is_some_and(|sentence| sentence.contains("window.json.unreadable")));
        assert!(folder.path().join("window.json.unreadable").exists() && !file.exists());
    }

    #[test]
    fn a_folder_that_is_gone_is_not_opened() {
        let here = std::env::temp_dir();
        let file = tempfile::NamedTempFile::new().expect("a file for the test");
        for (model, teacher, lost) in [
            (Source::Folder("/no/such/model".into()), None, true),
            (Source::Folder(here.clone()), Some(Source::Folder("/no/such/model".into())), true),
            (Source::Folder(here), None, false),
            (Source::File("/no/such/model.safetensors".into()), None, true),
            (Source::File(file.path().to_owned()), None, false),
            (Source::Pocket, None, false),
        ] {
            let open = OpenRequest { model, teacher, ..OpenRequest::default() };
            let (state, any) = State { open: open.clone(), ..State::default() }.without_lost_folders();
            assert_eq!(any, lost, "{open:?}");
            assert_eq!(state.open == open, !lost);
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_folder_whose_name_is_no_unicode_is_not_written() {
        use std::os::unix::ffi::OsStringExt as _;

        let odd = PathBuf::from(std::ffi::OsString::from_vec(b"mod\xe8le".to_vec()));
        let open = OpenRequest { model: Source::Folder(odd.clone()), ..OpenRequest::default() };
        let recipe = Recipe { prompt: "lake".to_owned(), ..Recipe::default() };
        let controls = Controls { recipe, output: Some(odd), ..Controls::default() };
        let state = State { controls, open, ..State::default() };
        serde_json::to_string(&state).expect_err("JSON holds Unicode alone");
        let state = state.without_unwritable_folders();
        assert_eq!((&state.open, &state.controls.output), (&OpenRequest::default(), &None));
        assert_eq!(state.controls.recipe.prompt, "lake", "all else is");
        serde_json::to_string(&state).expect("JSON");
    }

    #[test]
    fn a_place_off_every_screen_is_not_taken() {
        let place = Place { size: [900.0, 600.0], position: Some([10.0, 20.0]), maximized: false };
        assert!(place.is_sensible());
        for wrong in [
            Place { size: [f32::NAN, 600.0], ..place },
            Place { size: [10.0, 600.0], ..place },
            Place { position: Some([1e9, 0.0]), ..place },
        ] {
            assert!(!wrong.is_sensible(), "{wrong:?}");
        }
    }
}
