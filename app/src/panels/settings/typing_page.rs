//! How drawing follows the keyboard, and how a prompt is read.

use egui::Ui;
use instaflow_engine::protocol::PromptSyntax;

use super::{choice, setting};
use crate::panels::number_field::{self, Said};
use crate::panels::outlined;
use crate::state::{Controls, View};

const LIVE: &str = "Every change draws. A model that takes more than 1.5 seconds per picture waits for the end of a \
                    word, but draws after three seconds of typing without a pause. If this is off, Enter draws.";
const PAUSE: &str = "How long you must stop typing before the teacher starts. The student never waits for this.";
const SEED: &str = "Each Draw now uses a new seed. If this is off, the seed stays until you change it.";

const SYNTAX: &str = "What brackets and the like in a prompt mean. A1111: (word:1.3) multiplies, [word] weakens, BREAK \
                      begins a new chunk. ComfyUI: (word:1.3) sets the weight. Plain words: all of it is text.";
const CLIP_SKIP: &str =
    "Which layer of the text encoder counts, from the end: 1 is the last. Some models were trained with 2.";

pub fn show(view: &mut View<'_>, ui: &mut Ui) {
    let defaults = Controls::default();
    let controls = &mut view.controls;
    let reset = setting(ui, "Live drawing", LIVE, controls.live != defaults.live, |ui| {
        outlined(ui, |ui| ui.checkbox(&mut controls.live, "Draw while typing"));
    });
    if reset {
        controls.live = defaults.live;
    }
    let said = Said::default();
    let changed = (controls.pause - defaults.pause).abs() > f32::EPSILON;
    let reset = setting(ui, "Pause for the teacher", PAUSE, changed, |ui| {
        let slider = number_field::slider(&mut controls.pause, 0.0..=5.0, &said).fixed_decimals(1).suffix(" s");
        ui.add(slider).accessible_name("Pause for the teacher");
    });
    if reset {
        controls.pause = defaults.pause;
    }
    let reset = setting(ui, "New seeds", SEED, controls.seed_locked != defaults.seed_locked, |ui| {
        let mut fresh = !controls.seed_locked;
        outlined(ui, |ui| ui.checkbox(&mut fresh, "A new seed for each drawing"));
        controls.seed_locked = !fresh;
    });
    if reset {
        controls.seed_locked = defaults.seed_locked;
    }
    let recipe = &mut controls.recipe;
    let default = defaults.recipe.prompt_syntax;
    let reset = setting(ui, "Prompt syntax", SYNTAX, recipe.prompt_syntax != default, |ui| {
        let ways =
            [(PromptSyntax::A1111, "A1111"), (PromptSyntax::ComfyUi, "ComfyUI"), (PromptSyntax::Off, "Plain words")];
        recipe.prompt_syntax = choice(ui, recipe.prompt_syntax, &ways).unwrap_or(recipe.prompt_syntax);
    });
    if reset {
        recipe.prompt_syntax = default;
    }
    let default = defaults.recipe.clip_skip;
    let reset = setting(ui, "Clip skip", CLIP_SKIP, recipe.clip_skip != default, |ui| {
        ui.add(number_field::drag(&mut recipe.clip_skip, 1..=12, &said)).accessible_name("Clip skip");
    });
    if reset {
        recipe.clip_skip = default;
    }
    said.tell(view);
}
