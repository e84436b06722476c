//! How drawing follows the keyboard.

use egui::Ui;

use super::setting;
use crate::panels::number_field::{self, Said};
use crate::panels::outlined;
use crate::state::{Controls, View};

const LIVE: &str = "Every change draws. A model that takes more than 1.5 seconds per picture waits for the end of a \
                    word, but draws after three seconds of typing without a pause. If this is off, Enter draws.";
const PAUSE: &str = "How long you must stop typing before the teacher starts. The student never waits for this.";
const SEED: &str = "Each Draw now uses a new seed. If this is off, the seed stays until you change it.";

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
    said.tell(view);
}
