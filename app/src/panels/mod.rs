//! What is drawn, area by area. Each panel shows the state and changes the controls; what takes longer it asks for with
//! a [`Command`].

mod canvas;
mod compare;
mod menu;
mod messages;
mod prompt;
mod question;
mod settings;
mod status;

use egui::{CentralPanel, Frame, Margin, Panel, Response, Ui};

use crate::app::{App, Command};
use crate::theme::{palette, tokens};

/// The whole window.
pub fn show(app: &mut App, ui: &mut Ui) {
    let padding = |x: i8, y: i8| Frame::new().fill(palette(ui).panel).inner_margin(Margin::symmetric(x, y));
    let (bar, field, side) = (padding(8, 2), padding(12, 8), padding(14, 12));
    let canvas = Frame::new().fill(palette(ui).canvas).inner_margin(Margin::same(tokens().spacing.gap as i8));

    // The order is that of Tab, too: menu, prompt, messages, settings, pictures.
    Panel::top("menu").frame(bar).show_separator_line(false).show(ui, |ui| menu::show(app, ui));
    Panel::top("prompt").frame(field).show(ui, |ui| prompt::show(app, ui));
    messages::show(app, ui);
    Panel::bottom("status").frame(bar).show(ui, |ui| status::show(app, ui));
    if app.controls.show_settings {
        let width = tokens().spacing.side + 28.0;
        let panel = Panel::right("settings").frame(side).resizable(false).exact_size(width);
        panel.show(ui, |ui| egui::ScrollArea::vertical().show(ui, |ui| settings::show(app, ui)));
    }
    CentralPanel::no_frame().frame(canvas).show(ui, |ui| compare::show(app, ui));
    question::show(app, ui.ctx());
    menu::show_shortcuts(app, ui.ctx());
}

/// A button for a command, with the command's own name and hint.
fn button(app: &mut App, ui: &mut Ui, command: Command, enabled: bool) -> Response {
    let response = ui.add_enabled(enabled, egui::Button::new(command.label()));
    if response.clicked() {
        app.asked.push(command);
    }
    let hint = command.hint(ui.ctx());
    response.on_hover_text(hint)
}

/// A command that is on or off, as a button that shows which.
fn toggle(app: &mut App, ui: &mut Ui, command: Command, on: bool, why_not: Option<&str>) -> Response {
    let response =
        ui.add_enabled(why_not.is_none(), egui::Button::selectable(on, command.label()).frame_when_inactive(true));
    if response.clicked() {
        app.asked.push(command);
    }
    let hint = command.hint(ui.ctx());
    response.on_hover_text(hint).on_disabled_hover_text(why_not.unwrap_or_default())
}
