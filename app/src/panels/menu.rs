//! The menu bar and the list of shortcuts, both made from [`Command`].

use egui::{Button, Grid, Id, MenuBar, Modal, ThemePreference, Ui};

use crate::app::{App, Command, MENUS, commands};

/// The menu bar.
pub fn show(app: &mut App, ui: &mut Ui) {
    MenuBar::new().ui(ui, |ui| {
        for (title, entries) in MENUS {
            ui.menu_button(title, |ui| {
                ui.set_min_width(220.0);
                for entry in entries {
                    match entry {
                        Some(command) => item(app, ui, *command),
                        None => {
                            ui.separator();
                        }
                    }
                }
            });
        }
    });
}

/// Every command with its keys, in a window of its own.
pub fn show_shortcuts(app: &mut App, ctx: &egui::Context) {
    if !app.show_shortcuts {
        return;
    }
    let frame = egui::Frame::window(&ctx.global_style());
    let modal = Modal::new(Id::unique("shortcuts")).frame(frame).show(ctx, |ui| {
        ui.heading("Keyboard shortcuts");
        ui.add_space(8.0);
        // Two columns of commands, so that the list fits the smallest window.
        let all: Vec<_> = commands().collect();
        let (left, right) = all.split_at(all.len().div_ceil(2));
        Grid::new("shortcuts").num_columns(4).spacing([24.0, 2.0]).show(ui, |ui| {
            for (row, command) in left.iter().enumerate() {
                for command in [Some(command), right.get(row)].into_iter().flatten() {
                    ui.label(command.label());
                    ui.weak(command.keys(ui.ctx()));
                }
                ui.end_row();
            }
        });
        ui.add_space(8.0);
        ui.weak("On the picture: arrows move it, + and − zoom, 0 fits it. Shift+Enter breaks a line of the prompt.");
        ui.add_space(8.0);
        ui.button("Close").clicked()
    });
    if modal.inner || modal.should_close() {
        app.show_shortcuts = false;
    }
}

fn item(app: &mut App, ui: &mut Ui, command: Command) {
    let theme = ui.ctx().options(|options| options.theme_preference);
    let on = match command {
        Command::Live => app.controls.live,
        Command::Compare => app.comparing(),
        Command::LockSeed => app.controls.seed_locked,
        Command::Settings => app.controls.show_settings,
        Command::ThemeSystem => theme == ThemePreference::System,
        Command::ThemeLight => theme == ThemePreference::Light,
        Command::ThemeDark => theme == ThemePreference::Dark,
        _ => false,
    };
    let why_not = match command {
        Command::Compare => app.no_comparison(),
        Command::Save | Command::QuickSave | Command::Copy if app.live.picture.is_none() => {
            Some("There is no picture yet.")
        }
        _ => None,
    };
    let button = Button::selectable(on, command.label()).shortcut_text(command.keys(ui.ctx()));
    let response = ui.add_enabled(why_not.is_none(), button);
    if response.clicked() {
        app.asked.push(command);
        ui.close();
    }
    response.on_hover_text(command.tooltip()).on_disabled_hover_text(why_not.unwrap_or_default());
}
