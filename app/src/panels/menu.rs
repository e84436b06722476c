//! The menu bar and the list of shortcuts, both made from [`Command`].

use egui::{Align, Button, Layout, MenuBar, ScrollArea, Stroke, Ui};

use crate::state::{Action, Command, MENUS, Modal, View};
use crate::theme::palette;

/// The menu bar.
pub fn show(view: &mut View<'_>, ui: &mut Ui) {
    MenuBar::new().ui(ui, |ui| {
        for (title, entries) in MENUS {
            ui.menu_button(title, |ui| {
                ui.set_min_width(220.0);
                for entry in entries {
                    match entry {
                        Some(command) => {
                            item(view, ui, *command);
                        }
                        None => {
                            ui.separator();
                        }
                    }
                }
            });
        }
    });
}

/// Every command with its keys, menu by menu, in a window of its own.
pub fn show_shortcuts(view: &mut View<'_>, ctx: &egui::Context) {
    if !matches!(view.app.modal, Some(Modal::Shortcuts)) {
        return;
    }
    let room = ctx.content_rect().size();
    let modal = super::over(ctx, "All keyboard shortcuts").show(ctx, |ui| {
        ui.heading("Keyboard shortcuts");
        ui.add_space(8.0);
        let columns = ((room.x - 60.0) / 280.0).clamp(1.0, 3.0) as usize;
        // At once as high as it may be: a list that grew from frame to frame would carry the button away from the pointer.
        let height = room.y - 160.0;
        ScrollArea::vertical().max_height(height).min_scrolled_height(height).show(ui, |ui| {
            ui.spacing_mut().item_spacing.y = 2.0;
            ui.set_width((272.0 * columns as f32).min(room.x - 60.0));
            ui.columns(columns, |columns| {
                // The longest menu has a column to itself; the others share.
                let mut heights = vec![0; columns.len()];
                for (title, entries) in MENUS {
                    let shortest = (0..columns.len()).min_by_key(|column| heights[*column]).unwrap_or(0);
                    heights[shortest] += entries.iter().flatten().count() + 2;
                    section(&mut columns[shortest], title, entries);
                }
            });
        });
        ui.add_space(8.0);
        ui.weak("On a picture: arrows move it, + and − zoom, 0 fits it. Hold F2 to blink. Shift+Enter adds a line.");
        ui.weak("On kept pictures: arrows go through them, Enter opens one, Space stars it, Del deletes it.");
        ui.add_space(8.0);
        super::close_button(ui)
    });
    if modal.inner || modal.should_close() {
        view.act(Action::CloseModal);
    }
}

fn section(ui: &mut Ui, title: &str, entries: &[Option<Command>]) {
    ui.strong(title);
    for command in entries.iter().flatten() {
        ui.horizontal(|ui| {
            ui.label(command.label()).on_hover_text(command.tooltip());
            ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                // Away from the next column's words and from the scroll bar.
                ui.add_space(16.0);
                ui.weak(command.keys(ui.ctx()));
            });
        });
    }
    ui.add_space(10.0);
}

/// A command in a menu; whether it was chosen.
pub fn item(view: &mut View<'_>, ui: &mut Ui, command: Command) -> bool {
    let app = view.app;
    let on = app.is_on(ui.ctx(), command).unwrap_or(false);
    let why_not = app.why_not(command);
    let button = Button::selectable(on, command.label()).shortcut_text(command.keys(ui.ctx()));
    let response = ui.add_enabled(why_not.is_none(), button);
    if on {
        let line = response.rect.y_range().shrink(4.0);
        ui.painter().vline(response.rect.left() + 2.0, line, Stroke::new(2.0, palette(ui).accent));
    }
    let chosen = response.clicked();
    if chosen {
        view.command(command);
        ui.close();
    }
    response.on_hover_text(command.tooltip()).on_disabled_hover_text(why_not.unwrap_or_default());
    chosen
}
