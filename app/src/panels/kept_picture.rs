//! A kept picture shown large in place of the live one, with its settings and actions above it.

use egui::{Align, Button, Label, Layout, RichText, Ui};
use instaflow_engine::protocol::Decoder;

use super::{PaneId, canvas, filmstrip};
use crate::state::{Act, Action, View};

/// Its line and the picture.
pub fn show(view: &mut View<'_>, ui: &mut Ui) {
    let app = view.app;
    let Some(viewed) = &app.kept_pictures.viewed else { return };
    let Some(entry) = app.kept_pictures.shelf.get(viewed.id).cloned() else { return };
    let mut back = false;
    ui.horizontal(|ui| {
        back = ui.add(Button::new("Back to live")).on_hover_text("Show the live picture again (Esc).").clicked();
        ui.separator();
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            filmstrip::action(view, ui, Act::Restore, &entry);
            if entry.settings.decoder == Decoder::Tiny {
                filmstrip::action(view, ui, Act::DecodeAgain, &entry);
            }
            ui.with_layout(Layout::left_to_right(Align::Center), |ui| {
                ui.add(Label::new(RichText::new(filmstrip::line(&entry)).weak()).truncate())
                    .on_hover_text(filmstrip::kept_at(&entry));
            });
        });
    });
    ui.add_space(2.0);
    let rect = ui.available_rect_before_wrap();
    let Some(viewed) = &app.kept_pictures.viewed else { return };
    let (texture, size) = (viewed.pane.texture().cloned(), viewed.pane.picture.as_ref().map(canvas::size_of));
    canvas::viewport(view, ui, rect, "Kept picture", PaneId::Live, size);
    if let (Some(texture), Some(size)) = (texture, size) {
        canvas::paint(view, ui, rect, rect, &texture, size, true);
        if !entry.settings.prompt.trim().is_empty() {
            let place = view.pan_zoom.place(rect, size).intersect(rect);
            canvas::label(ui, place, egui::Align2::LEFT_BOTTOM, &filmstrip::shortened(&entry.settings.prompt, 60));
        }
    }
    if back {
        view.act(Action::LeaveKept);
    }
}
