//! The models: a list of those that can be downloaded, and one of those that are on this computer. What is asked before
//! something is fetched or removed takes the place of both.

mod catalogue;
mod found;
mod question;

use egui::{Align, Label, Layout, RichText, Ui};

use crate::state::{Action, List, Modal, ModelAction, View};
use crate::theme::palette;

/// Width of the whole, in points, and of the column with the buttons.
const WIDTH: f32 = 760.0;
const BUTTONS: f32 = 170.0;

/// The panel, while it is open.
pub fn show(view: &mut View<'_>, ctx: &egui::Context) {
    let app = view.app;
    if !matches!(app.modal, Some(Modal::Models)) {
        return;
    }
    let room = ctx.content_rect().size();
    let modal = super::over(ctx, "Models").show(ctx, |ui| {
        ui.set_width(WIDTH.min(room.x - 60.0));
        let height = (room.y - 220.0).clamp(140.0, 460.0);
        if let Some(question) = &app.model_library.question {
            question::show(view, ui, question);
            return false;
        }
        ui.heading("Models");
        ui.add_space(6.0);
        ui.horizontal(|ui| {
            ui.spacing_mut().item_spacing.x = 2.0;
            for (list, name) in [(List::Catalogue, "To download"), (List::Found, "On this computer")] {
                if super::selectable(ui, app.model_library.list == list, name).clicked() {
                    view.act(Action::Models(ModelAction::Turn(list)));
                }
            }
        });
        ui.add_space(2.0);
        ui.separator();
        match app.model_library.list {
            List::Catalogue => catalogue::show(view, ui, height),
            List::Found => found::show(view, ui, height),
        }
        ui.separator();
        ui.add_space(2.0);
        super::close_button(ui)
    });
    if modal.inner || modal.should_close() {
        let question = app.model_library.question.is_some();
        view.act(if question { Action::Models(ModelAction::Refuse) } else { Action::CloseModal });
    }
}

/// A model: what it is at the left, and what can be done with it at the right.
fn entry(ui: &mut Ui, words: impl FnOnce(&mut Ui), buttons: impl FnOnce(&mut Ui)) {
    ui.add_space(4.0);
    ui.horizontal_top(|ui| {
        let left = (ui.available_width() - BUTTONS - ui.spacing().item_spacing.x).max(120.0);
        ui.allocate_ui_with_layout(egui::vec2(left, 0.0), Layout::top_down(Align::Min), |ui| {
            ui.set_width(left);
            words(ui);
        });
        ui.allocate_ui_with_layout(egui::vec2(BUTTONS, 0.0), Layout::top_down(Align::Max), |ui| {
            ui.set_width(BUTTONS);
            buttons(ui);
        });
    });
    ui.add_space(4.0);
}

/// A name and what is short to say of it, in one line.
fn title(ui: &mut Ui, name: &str, more: &str) {
    ui.horizontal_wrapped(|ui| {
        ui.strong(name);
        ui.label(RichText::new(more).small().color(palette(ui).muted));
    });
}

fn small(ui: &mut Ui, text: impl Into<String>) {
    ui.add(Label::new(RichText::new(text).small().color(palette(ui).muted)).wrap());
}

fn fault(ui: &mut Ui, text: &str) {
    ui.add(Label::new(RichText::new(text).small().color(palette(ui).error)).wrap());
}
