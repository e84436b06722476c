//! The program's settings, page by page: each with a control, a sentence that explains it, and a button that resets it.
//! What belongs to the picture is at the side. Add a setting to [`Controls`](crate::state::Controls) first, then to its
//! page and to `with_defaults`.

mod drawing_page;

mod files_page;

mod typing_page;

mod looks_page;

use egui::{Align, Button, Label, Layout, RichText, ScrollArea, Ui, vec2};

use crate::state::{Action, Modal, Page, View};
use crate::theme::palette;

/// Width of the whole list, in points.
const WIDTH: f32 = 640.0;
/// Width of the names before the controls, and of the ways back behind them.
const NAME: f32 = 150.0;
const BACK: f32 = 52.0;

/// The pages in their order.
const PAGES: [(Page, &str); 4] =
    [(Page::Drawing, "Drawing"), (Page::Live, "Typing"), (Page::Files, "Files"), (Page::Looks, "Appearance")];

/// The settings, while they are open.
pub fn show(view: &mut View<'_>, ctx: &egui::Context) {
    let app = view.app;
    if !matches!(app.modal, Some(Modal::Settings)) {
        return;
    }
    let room = ctx.content_rect().size();
    let modal = super::over(ctx, "Program settings").show(ctx, |ui| {
        ui.set_width(WIDTH.min(room.x - 60.0));
        ui.heading("Settings");
        ui.add_space(6.0);
        if let Some(page) = choice(ui, app.widgets.settings_page, &PAGES) {
            view.act(Action::TurnTo(page));
        }
        ui.add_space(2.0);
        ui.separator();
        // One height for all pages, so that the window does not jump.
        let height = (room.y - 190.0).min(400.0);
        ScrollArea::vertical().max_height(height).auto_shrink([false, false]).show(ui, |ui| {
            ui.set_min_height(height);
            ui.add_space(4.0);
            match app.widgets.settings_page {
                Page::Drawing => drawing_page::show(view, ui),
                Page::Live => typing_page::show(view, ui),
                Page::Files => files_page::show(view, ui),
                Page::Looks => looks_page::show(view, ui),
            }
        });
        ui.separator();
        ui.add_space(2.0);
        ui.horizontal(|ui| {
            let close = super::close_button(ui);
            ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                let all = ui.button("Reset all settings").on_hover_text("Prompt, seeds and models stay as they are.");
                if all.clicked() {
                    view.act(Action::ResetSettings(PAGES.map(|(page, _)| page).to_vec()));
                }
                let page = ui.button("Reset this page").on_hover_text("The other pages stay as they are.");
                if page.clicked() {
                    view.act(Action::ResetSettings(vec![app.widgets.settings_page]));
                }
            });
            close
        })
        .inner
    });
    if modal.inner || modal.should_close() {
        view.act(Action::CloseModal);
    }
}

/// One setting: its name, its control with a sentence under it, and a way back unless it is at its default. Returns
/// whether that was taken.
fn setting(ui: &mut Ui, name: &str, meaning: &str, changed: bool, control: impl FnOnce(&mut Ui)) -> bool {
    let mut reset = false;
    let middle = (ui.available_width() - NAME - BACK - 2.0 * ui.spacing().item_spacing.x).max(120.0);
    ui.horizontal_top(|ui| {
        column(ui, NAME, |ui| {
            ui.add_space(3.0);
            ui.add(Label::new(name).wrap());
        });
        column(ui, middle, |ui| {
            ui.horizontal_wrapped(control);
            let words = RichText::new(meaning).small().color(palette(ui).muted);
            ui.add(Label::new(words).wrap());
        });
        column(ui, BACK, |ui| {
            if changed {
                ui.add_space(2.0);
                let button = Button::new(RichText::new("Reset").small());
                reset = ui.add(button).accessible_name(format!("Reset {}", name.to_lowercase())).clicked();
            }
        });
    });
    ui.add_space(12.0);
    reset
}

fn column(ui: &mut Ui, width: f32, content: impl FnOnce(&mut Ui)) {
    ui.allocate_ui_with_layout(vec2(width, 0.0), Layout::top_down(Align::Min), |ui| {
        ui.set_width(width);
        content(ui);
    });
}

/// Several ways of which one is chosen; returns another that was clicked.
fn choice<T: Copy + PartialEq>(ui: &mut Ui, now: T, ways: &[(T, &str)]) -> Option<T> {
    let mut chosen = None;
    ui.scope(|ui| {
        ui.spacing_mut().item_spacing.x = 2.0;
        ui.horizontal(|ui| {
            for (way, name) in ways {
                if super::selectable(ui, now == *way, *name).clicked() && now != *way {
                    chosen = Some(*way);
                }
            }
        });
    });
    chosen
}
