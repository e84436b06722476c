//! Everything that the person has set: plain data that is remembered between two starts. What decides the picture is the
//! [`Recipe`] in it. A new control needs a default in [`Controls::default`] and, if a file could hold nonsense, a bound in
//! [`Controls::clamped`].

use std::collections::BTreeMap;
use std::path::PathBuf;

use instaflow_engine::png::{DEFAULT_PATTERN, Pattern};
use instaflow_engine::protocol::{Decoder, Prediction};
use serde::{Deserialize, Serialize};

use super::Page;
use super::recipe::{Recipe, clamp};

/// What stands on the canvas.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Show {
    /// The live picture.
    #[default]
    Picture,
    /// Student and teacher.
    Compare,
    /// The live picture and others around it.
    Variations,
    /// The student, and the teacher in few and in many Euler steps.
    Steps,
}

/// How student and teacher are compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum CompareAs {
    /// One beside the other.
    #[default]
    SideBySide,
    /// One over the other, parted by a line that can be dragged.
    Split,
    /// One in the place of the other while a key is held.
    Blink,
    /// Where they differ, and by how much.
    Difference,
}

/// Which other model the student is compared with when only two have room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Against {
    /// The teacher.
    #[default]
    Teacher,
    /// The baseline.
    Baseline,
}

/// Light or dark.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Theme {
    /// As the desktop is.
    #[default]
    System,
    /// Dark words on light ground.
    Light,
    /// Light words on dark ground.
    Dark,
}

impl From<Theme> for egui::ThemePreference {
    fn from(theme: Theme) -> Self {
        match theme {
            Theme::System => Self::System,
            Theme::Light => Self::Light,
            Theme::Dark => Self::Dark,
        }
    }
}

/// What the person has set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[expect(clippy::struct_excessive_bools, reason = "independent switches, each a control of its own")]
pub struct Controls {
    /// What decides the picture.
    #[serde(flatten)]
    pub recipe: Recipe,
    /// Whether 'Draw now' keeps the seed.
    pub seed_locked: bool,
    /// Draw on every change.
    pub live: bool,
    /// What stands on the canvas.
    pub show: Show,
    /// How student and teacher are compared.
    pub compare_as: CompareAs,
    /// Whether the baseline is drawn beside student and teacher, if one is open.
    pub show_baseline: bool,
    /// With which of the two the student is compared in one place.
    pub against: Against,
    /// Where the split view is parted, 0 … 1.
    pub split: f32,
    /// Whether the teacher's path is shown under the comparison.
    pub show_path: bool,
    /// Whether the live picture is drawn with the tiny decoder while the person types, if there is one.
    pub tiny_while_typing: bool,
    /// Which decoder makes pictures for files: the full one, or the one on screen.
    pub file_decoder: Decoder,
    /// Frames of an exported animation, there and back not counted.
    pub frames: u32,
    /// Frames a second of an exported animation.
    pub frame_rate: u32,
    /// Seconds without a change after which the teacher starts.
    pub pause: f32,
    /// Write the settings into saved PNGs.
    pub metadata: bool,
    /// What the U-Nets of models predict that do not say it themselves, as the person has answered, by their paths.
    pub predictions: BTreeMap<String, Prediction>,
    /// Folders to look for models in, beside those of other programs.
    pub model_folders: Vec<PathBuf>,
    /// Where quick save puts pictures; `None` is the pictures folder.
    pub output: Option<PathBuf>,
    /// The name that quick save gives a picture in there; see [`instaflow_engine::png::Pattern`].
    pub pattern: String,
    /// Whether the panel at the side is shown.
    pub show_side: bool,
    /// Whether the panel of what the model knows is shown.
    pub show_words: bool,
    /// Whether the filmstrip is unfolded.
    pub show_film: bool,
    /// Light or dark.
    pub theme: Theme,
    /// Size of everything but the pictures, 1 being the system's own.
    pub scale: f32,
}

impl Default for Controls {
    fn default() -> Self {
        Self {
            recipe: Recipe::default(),
            seed_locked: true,
            live: true,
            show: Show::Picture,
            compare_as: CompareAs::SideBySide,
            show_baseline: true,
            against: Against::Teacher,
            split: 0.5,
            show_path: true,
            tiny_while_typing: true,
            file_decoder: Decoder::Full,
            frames: 24,
            frame_rate: 12,
            pause: 0.4,
            metadata: true,
            predictions: BTreeMap::new(),
            model_folders: Vec::new(),
            output: None,
            pattern: DEFAULT_PATTERN.to_owned(),
            show_side: true,
            show_words: false,
            show_film: true,
            theme: Theme::System,
            scale: 1.0,
        }
    }
}

impl Controls {
    /// The same with a page of the program's settings as they were at the first start; prompts, seeds and views stay.
    #[must_use]
    pub(crate) fn with_defaults(&self, page: Page) -> Self {
        let default = Self::default();
        let mine = self.clone();
        match page {
            Page::Drawing => Self {
                recipe: Recipe { decoder: default.recipe.decoder, ..mine.recipe },
                tiny_while_typing: default.tiny_while_typing,
                file_decoder: default.file_decoder,
                ..mine
            },
            Page::Live => Self {
                live: default.live,
                pause: default.pause,
                seed_locked: default.seed_locked,
                recipe: Recipe {
                    prompt_syntax: default.recipe.prompt_syntax,
                    clip_skip: default.recipe.clip_skip,
                    ..mine.recipe
                },
                ..mine
            },
            Page::Files => Self {
                frames: default.frames,
                frame_rate: default.frame_rate,
                metadata: default.metadata,
                output: default.output,
                pattern: default.pattern,
                ..mine
            },
            Page::Looks => Self { theme: default.theme, scale: default.scale, ..mine },
        }
    }

    /// The same with every number where its control can put it; a file may hold others.
    #[must_use]
    pub(super) fn clamped(mut self) -> Self {
        let default = Self::default();
        self.recipe = self.recipe.clamped();
        self.split = clamp(self.split, 0.0, 1.0, default.split);
        self.pause = clamp(self.pause, 0.0, 5.0, default.pause);
        self.scale = clamp(self.scale, 0.5, 3.0, default.scale);
        self.frames = self.frames.clamp(2, 120);
        self.frame_rate = self.frame_rate.clamp(1, 60);
        if Pattern::parse(&self.pattern).is_err() {
            self.pattern = default.pattern;
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use instaflow_test_support::{Tolerance, assert_close};

    #[test]
    fn a_file_of_another_version_is_read_and_clamped() {
        let odd = r#"{ "prompt": "lake", "steps": 9000, "guidance": -3.0, "variations": 7, "pattern": "../{x}", "colour": "red" }"#;
        let controls: Controls = serde_json::from_str(odd).expect("unknown and absent fields are no error");
        let controls = controls.clamped();
        assert_eq!(
            (controls.recipe.prompt.as_str(), controls.recipe.steps, controls.recipe.variations),
            ("lake", 50, 9)
        );
        assert_eq!(controls.pattern, DEFAULT_PATTERN);
        assert_close(controls.recipe.guidance, 0.0, Tolerance::EXACT);
        assert_eq!(Controls::default().clamped(), Controls::default());
        let written = serde_json::to_value(Controls::default()).expect("plain data");
        assert!(written["steps"].is_u64() && written["recipe"].is_null(), "the file is as flat as it was: {written}");
    }
}
