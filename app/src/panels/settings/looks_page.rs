//! How the window looks.

use egui::Ui;

use super::{choice, setting};
use crate::state::{Controls, Theme, View};

const THEME: &str = "Light or dark; System follows the desktop.";
const SCALE: &str = "Size of everything except the pictures. Ctrl+Plus, Ctrl+Minus and Ctrl+0 also change it.";

pub fn show(view: &mut View<'_>, ui: &mut Ui) {
    let defaults = Controls::default();
    let controls = &mut view.controls;
    let ways = [(Theme::System, "System"), (Theme::Light, "Light"), (Theme::Dark, "Dark")];
    let reset = setting(ui, "Theme", THEME, controls.theme != defaults.theme, |ui| {
        controls.theme = choice(ui, controls.theme, &ways).unwrap_or(controls.theme);
    });
    if reset {
        controls.theme = defaults.theme;
    }
    let scale = ui.ctx().zoom_factor();
    let reset = setting(ui, "Scale", SCALE, (scale - 1.0).abs() > 0.01, |ui| {
        ui.spacing_mut().item_spacing.x = 2.0;
        for percent in [80, 100, 125, 150, 200] {
            let on = (scale - percent as f32 / 100.0).abs() < 0.01;
            if super::super::selectable(ui, on, format!("{percent} %")).clicked() {
                ui.ctx().set_zoom_factor(percent as f32 / 100.0);
            }
        }
    });
    if reset {
        ui.ctx().set_zoom_factor(1.0);
    }
}
