//! The end of the log, in a window of its own.

use egui::{Label, RichText, ScrollArea};

use crate::state::{Action, Modal, View};
use crate::theme::palette;

/// The log, while it is open.
pub fn show(view: &mut View<'_>, ctx: &egui::Context) {
    let app = view.app;
    let Some(Modal::Log(log)) = &app.modal else { return };
    let room = ctx.content_rect().size();
    let (mut closed, mut outside) = (false, false);
    let modal = super::over(ctx, "The log").show(ctx, |ui| {
        ui.set_width((room.x - 80.0).min(900.0));
        ui.heading("Log");
        let place = log.path.display().to_string();
        let muted = palette(ui).muted;
        ui.add(Label::new(RichText::new(&place).small().color(muted)).truncate()).on_hover_text(&place);
        ui.add_space(6.0);
        let rows = log.lines.len();
        let height = ui.text_style_height(&egui::TextStyle::Monospace);
        let paper = egui::Frame::new().fill(palette(ui).canvas).inner_margin(8);
        paper.show(ui, |ui| {
            let scroll =
                ScrollArea::both().stick_to_bottom(true).max_height(room.y - 210.0).auto_shrink([false, false]);
            scroll.show_rows(ui, height, rows, |ui, range| {
                for line in &log.lines[range] {
                    let serious =
                        line.get(24..).is_some_and(|rest| rest.starts_with("ERROR") || rest.starts_with(" WARN"));
                    let colour = if serious { palette(ui).note } else { palette(ui).text() };
                    ui.add(Label::new(RichText::new(line).monospace().color(colour)).selectable(true).extend());
                }
            });
        });
        ui.add_space(8.0);
        ui.horizontal(|ui| {
            closed = super::close_button(ui);
            if ui.button("Copy log").clicked() {
                ui.copy_text(log.lines.join("\n"));
            }
            outside = ui
                .button("Open in another program")
                .on_hover_text("Open the log in the desktop's text editor.")
                .clicked();
            ui.weak("Prompts are not logged.");
        });
    });
    let closed = closed || modal.should_close();
    if outside {
        view.act(Action::ShowOutside(log.path.clone()));
    }
    if closed {
        view.act(Action::CloseModal);
    }
}
