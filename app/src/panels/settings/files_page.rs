//! Where pictures go, under which names, and what they carry.

use std::path::Path;

use egui::{Button, Label, RichText, TextEdit, Ui};
use instaflow_engine::png::{DEFAULT_PATTERN, Pattern, TOKENS};

use super::setting;
use crate::panels::number_field::{self, Said};
use crate::panels::outlined;
use crate::state::{Action, Controls, PaneId, View};
use crate::theme::palette;

const FOLDER: &str = "Quick save puts pictures here. It never overwrites a file.";
const PATTERN: &str = "How quick save names pictures. A '/' makes a folder. If a name is taken, -2, -3 … is added.";
const METADATA: &str = "Saved PNGs carry prompt, seed and settings. Drop one on the window to get them back.";
const ANIMATION: &str = "Number of frames from one end to the other, and frames per second. The animation then plays \
                         back to the start.";

pub fn show(view: &mut View<'_>, ui: &mut Ui) {
    folder(view, ui);
    pattern(view, ui);
    let defaults = Controls::default();
    let controls = &mut view.controls;
    let reset = setting(ui, "Metadata", METADATA, controls.metadata != defaults.metadata, |ui| {
        outlined(ui, |ui| ui.checkbox(&mut controls.metadata, "Write settings into PNGs"));
    });
    if reset {
        controls.metadata = defaults.metadata;
    }
    let said = Said::default();
    let changed = (controls.frames, controls.frame_rate) != (defaults.frames, defaults.frame_rate);
    let reset = setting(ui, "Animation", ANIMATION, changed, |ui| {
        ui.add(number_field::drag(&mut controls.frames, 2..=120, &said).suffix(" frames")).accessible_name("Frames");
        ui.add(number_field::drag(&mut controls.frame_rate, 1..=60, &said).suffix(" per second"))
            .accessible_name("Frames per second");
    });
    if reset {
        (controls.frames, controls.frame_rate) = (defaults.frames, defaults.frame_rate);
    }
    said.tell(view);
}

fn folder(view: &mut View<'_>, ui: &mut Ui) {
    let app = view.app;
    let folder = app.output_folder().to_owned();
    let (mut ask, mut shown) = (false, false);
    let reset = setting(ui, "Output folder", FOLDER, app.controls.output.is_some(), |ui| {
        ask = ui.button("Choose…").clicked();
        shown = ui.button("Show").on_hover_text("Open the folder with the desktop's file manager.").clicked();
        ui.add(Label::new(RichText::new(short(&folder)).monospace()).truncate())
            .on_hover_text(folder.display().to_string());
    });
    if reset {
        view.act(Action::ResetOutput);
    }
    if ask {
        view.act(Action::AskOutput);
    }
    if shown {
        view.act(Action::ShowOutside(folder));
    }
}

fn pattern(view: &mut View<'_>, ui: &mut Ui) {
    let app = view.app;
    let understood = Pattern::parse(&app.widgets.pattern_typed);
    let example = understood.as_ref().map(|pattern| match app.picture(PaneId::Live) {
        Some(picture) => pattern.example(&picture.settings, &picture.model),
        None => pattern.example(&app.wanted(PaneId::Live), "model"),
    });
    let changed = app.widgets.pattern_typed.trim() != DEFAULT_PATTERN;
    let mut typed = app.widgets.pattern_typed.clone();
    let reset = setting(ui, "File name pattern", PATTERN, changed, |ui| {
        ui.vertical(|ui| {
            let edit = TextEdit::singleline(&mut typed).font(egui::TextStyle::Monospace).desired_width(f32::INFINITY);
            ui.add(edit).accessible_name("File name pattern");
            let (ink, text) = match &example {
                Ok(name) => (palette(ui).text(), format!("Example: {name}")),
                Err(sentence) => (palette(ui).error, format!("{sentence} The previous pattern stays in use.")),
            };
            ui.add(Label::new(RichText::new(text).small().color(ink)).wrap());
            ui.horizontal_wrapped(|ui| {
                ui.spacing_mut().item_spacing = egui::vec2(3.0, 3.0);
                for (name, meaning) in TOKENS {
                    let token = format!("{{{name}}}");
                    let button = ui.add(Button::new(RichText::new(&token).small().monospace()));
                    let button = button.accessible_name(format!("Insert {token}"));
                    if button.on_hover_text(format!("Add to the end: {meaning}")).clicked() {
                        typed.push_str(&token);
                    }
                }
            });
        });
    });
    if reset {
        DEFAULT_PATTERN.clone_into(&mut typed);
    }
    if typed != app.widgets.pattern_typed {
        view.act(Action::TypePattern(typed));
    }
}

/// The last parts of a path, as many as fit a line.
fn short(path: &Path) -> String {
    const LETTERS: usize = 34;
    let whole = path.display().to_string();
    let count = whole.chars().count();
    if count <= LETTERS { whole } else { format!("…{}", whole.chars().skip(count - LETTERS).collect::<String>()) }
}
