//! Asked before a prompt is replaced.

use egui::{Id, Label, Modal, Ui};

use crate::app::App;

/// The open question, if there is one.
pub fn show(app: &mut App, ctx: &egui::Context) {
    let Some(question) = &app.question else { return };
    let frame = egui::Frame::window(&ctx.global_style());
    let modal = Modal::new(Id::unique("question")).frame(frame).show(ctx, |ui| {
        ui.set_width(460.0);
        ui.heading("Replace your prompt?");
        ui.add_space(6.0);
        ui.add(Label::new(format!("{} was drawn from this prompt:", question.file)).wrap());
        prompt(ui, &question.restored.settings.prompt);
        ui.add_space(4.0);
        ui.label("Restoring its settings replaces yours:");
        prompt(ui, &app.controls.prompt);
        ui.add_space(10.0);
        ui.horizontal(|ui| {
            let replace = ui.button("Replace my prompt").clicked();
            let keep = ui.button("Keep my prompt");
            // The harmless answer has the focus, once.
            if ui.memory(|memory| memory.focused().is_none()) {
                keep.request_focus();
            }
            (replace, keep.clicked())
        })
        .inner
    });
    let (replace, keep) = modal.inner;
    if replace {
        if let Some(question) = app.question.take() {
            app.restore(ctx, question.restored);
        }
    } else if keep || modal.should_close() {
        app.question = None;
    }
}

/// The first few lines of a prompt.
fn prompt(ui: &mut Ui, text: &str) {
    const LENGTH: usize = 240;
    let mut short: String = text.chars().take(LENGTH).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    ui.indent("prompt", |ui| ui.add(Label::new(egui::RichText::new(short).weak()).wrap()));
}
