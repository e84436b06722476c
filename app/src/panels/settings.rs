//! The settings of the program: each with a control, a sentence, and a way back to its default. What belongs to the
//! picture is at the side. Add a setting to [`Controls`] first.

use std::path::Path;

use egui::{Button, DragValue, Id, Modal, RichText, ScrollArea, Slider, Ui};
use instaflow_engine::protocol::{Decoder, DeviceChoice, OpenRequest, Precision};

use crate::app::{App, Controls, Page, Theme};
use crate::theme::palette;

/// Width of the whole list, in points.
const WIDTH: f32 = 560.0;

/// The settings, while they are open.
pub fn show(app: &mut App, ctx: &egui::Context) {
    if !app.show_settings {
        return;
    }
    let frame = egui::Frame::window(&ctx.global_style());
    let room = ctx.content_rect().size();
    let modal = Modal::new(Id::unique("program settings")).frame(frame).show(ctx, |ui| {
        ui.set_width(WIDTH.min(room.x - 60.0));
        ui.heading("Settings");
        ui.add_space(6.0);
        let pages = [(Page::Drawing, "Drawing"), (Page::Files, "Files"), (Page::Looks, "Looks")];
        app.settings_page = choice(ui, app.settings_page, &pages).unwrap_or(app.settings_page);
        ui.separator();
        ScrollArea::vertical().max_height(room.y - 180.0).show(ui, |ui| {
            // One height for all pages, so that the window does not jump.
            ui.set_min_height(260.0);
            match app.settings_page {
                Page::Drawing => drawing(app, ui),
                Page::Files => files(app, ui),
                Page::Looks => looks(app, ui),
            }
        });
        ui.add_space(10.0);
        ui.horizontal(|ui| {
            let close = ui.button("Close").clicked();
            if ui.button("Reset all settings").on_hover_text("Prompt, seeds and models stay as they are.").clicked() {
                app.reset_settings(ctx);
            }
            close
        })
        .inner
    });
    if modal.inner || modal.should_close() {
        app.show_settings = false;
    }
}

/// One setting: name, control, a way back, and a sentence under them. Returns whether the way back was taken.
fn setting(ui: &mut Ui, name: &str, meaning: &str, changed: bool, control: impl FnOnce(&mut Ui)) -> bool {
    let mut reset = false;
    ui.horizontal(|ui| {
        let (size, layout) = (egui::vec2(150.0, 24.0), egui::Layout::left_to_right(egui::Align::Center));
        ui.allocate_ui_with_layout(size, layout, |ui| {
            ui.set_min_width(150.0);
            ui.label(name)
        });
        control(ui);
        if changed {
            let button = Button::new(RichText::new("Reset").small()).frame(false);
            reset = ui.add(button).accessible_name(format!("Reset {}", name.to_lowercase())).clicked();
        }
    });
    let words = RichText::new(meaning).small().color(palette(ui).muted);
    ui.add(egui::Label::new(words).wrap());
    ui.add_space(10.0);
    reset
}

/// Several ways of which one is chosen; returns another that was clicked.
fn choice<T: Copy + PartialEq>(ui: &mut Ui, now: T, ways: &[(T, &str)]) -> Option<T> {
    let mut chosen = None;
    ui.horizontal(|ui| {
        ui.spacing_mut().item_spacing.x = 2.0;
        for (way, name) in ways {
            let button = Button::selectable(now == *way, *name).frame_when_inactive(true);
            if ui.add(button).clicked() && now != *way {
                chosen = Some(*way);
            }
        }
    });
    chosen
}

fn drawing(app: &mut App, ui: &mut Ui) {
    let request = app.open_request().clone();
    let default = OpenRequest::default();
    let mut wanted = request.clone();
    let ways = [(DeviceChoice::Auto, "Automatic"), (DeviceChoice::Cpu, "CPU"), (DeviceChoice::Cuda, "CUDA")];
    let meaning = "Where the networks compute. Automatic takes a CUDA device where there is one and this program is \
                   built for it. The models are opened again.";
    let reset = setting(ui, "Device", meaning, request.device != default.device, |ui| {
        wanted.device = choice(ui, request.device, &ways).unwrap_or(wanted.device);
    });
    if reset {
        wanted.device = default.device;
    }
    let ways = [
        (None, "The device's own"),
        (Some(Precision::F32), "f32"),
        (Some(Precision::Bf16), "bf16"),
        (Some(Precision::F16), "f16"),
    ];
    let meaning = "In which arithmetic. The device's own is f32 on a CPU and bf16 on CUDA; fewer bits are faster and a \
                   little less exact. The models are opened again.";
    let reset = setting(ui, "Precision", meaning, request.precision.is_some(), |ui| {
        wanted.precision = choice(ui, request.precision, &ways).unwrap_or(wanted.precision);
    });
    if reset {
        wanted.precision = None;
    }
    if wanted != request {
        app.open_with(wanted);
    }
    let defaults = Controls::default();
    let has_tiny = app.live_card().is_some_and(|card| card.has_tiny_decoder);
    let controls = &mut app.controls;
    let meaning = "Which decoder turns latents into pixels. The tiny one is faster, with a little less detail; it needs \
                   an AutoencoderTiny beside the model.";
    let reset = setting(ui, "Decoder", meaning, controls.decoder != defaults.decoder, |ui| {
        ui.add_enabled_ui(has_tiny, |ui| {
            let ways = [(Decoder::Full, "Full"), (Decoder::Tiny, "Tiny")];
            controls.decoder = choice(ui, controls.decoder, &ways).unwrap_or(controls.decoder);
        });
    });
    if reset {
        controls.decoder = defaults.decoder;
    }
    let changed = (controls.pause - defaults.pause).abs() > f32::EPSILON;
    let meaning = "Seconds without a key after which the teacher starts. The student never waits.";
    let reset = setting(ui, "Pause for the teacher", meaning, changed, |ui| {
        let slider = Slider::new(&mut controls.pause, 0.0..=5.0).fixed_decimals(1).suffix(" s");
        ui.add(slider).accessible_name("Pause for the teacher");
    });
    if reset {
        controls.pause = defaults.pause;
    }
}

fn files(app: &mut App, ui: &mut Ui) {
    let folder = app.output_folder().to_owned();
    let mut ask = false;
    let meaning = "Quick save puts pictures here, in a folder for each day, and never over an existing file.";
    let reset = setting(ui, "Output folder", meaning, app.controls.output.is_some(), |ui| {
        ask = ui.button("Choose…").clicked();
        let shown = short(&folder);
        ui.add(egui::Label::new(RichText::new(shown).monospace()).truncate())
            .on_hover_text(folder.display().to_string());
    });
    if reset {
        app.set_output(None);
    }
    if ask {
        app.ask_output(ui.ctx());
    }
    let defaults = Controls::default();
    let controls = &mut app.controls;
    let meaning = "A saved PNG then carries prompt, seed and settings; drop it on the window to get them back.";
    let reset = setting(ui, "Metadata", meaning, controls.metadata != defaults.metadata, |ui| {
        ui.checkbox(&mut controls.metadata, "Write settings into PNGs");
    });
    if reset {
        controls.metadata = defaults.metadata;
    }
    let changed = (controls.frames, controls.frame_rate) != (defaults.frames, defaults.frame_rate);
    let meaning = "Frames from one end of the way to the other, and how many are shown a second. The animation then goes \
                   back again.";
    let reset = setting(ui, "Animation", meaning, changed, |ui| {
        ui.add(DragValue::new(&mut controls.frames).range(2..=120).suffix(" frames")).accessible_name("Frames");
        ui.add(DragValue::new(&mut controls.frame_rate).range(1..=60).suffix(" a second"))
            .accessible_name("Frames a second");
    });
    if reset {
        (controls.frames, controls.frame_rate) = (defaults.frames, defaults.frame_rate);
    }
}

fn looks(app: &mut App, ui: &mut Ui) {
    let defaults = Controls::default();
    let controls = &mut app.controls;
    let ways = [(Theme::System, "System"), (Theme::Light, "Light"), (Theme::Dark, "Dark")];
    let meaning = "Light or dark; System follows the desktop.";
    let reset = setting(ui, "Theme", meaning, controls.theme != defaults.theme, |ui| {
        controls.theme = choice(ui, controls.theme, &ways).unwrap_or(controls.theme);
    });
    if reset {
        controls.theme = defaults.theme;
    }
    let scale = ui.ctx().zoom_factor();
    let meaning = "Size of everything but the pictures. Ctrl+Plus, Ctrl+Minus and Ctrl+0 change it, too.";
    let reset = setting(ui, "Scale", meaning, (scale - 1.0).abs() > 0.01, |ui| {
        for percent in [80, 100, 125, 150, 200] {
            let on = (scale - percent as f32 / 100.0).abs() < 0.01;
            if ui.add(Button::selectable(on, format!("{percent} %")).frame_when_inactive(true)).clicked() {
                ui.ctx().set_zoom_factor(percent as f32 / 100.0);
            }
        }
    });
    if reset {
        ui.ctx().set_zoom_factor(1.0);
    }
}

/// The last parts of a path, as many as fit a line.
fn short(path: &Path) -> String {
    const LETTERS: usize = 38;
    let whole = path.display().to_string();
    let count = whole.chars().count();
    if count <= LETTERS { whole } else { format!("…{}", whole.chars().skip(count - LETTERS).collect::<String>()) }
}
