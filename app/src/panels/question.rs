//! The question that is asked before a prompt is replaced.

use egui::{Label, Ui};

use crate::state::{Action, Modal, View};

/// The open question, if there is one.
pub fn show(view: &mut View<'_>, ctx: &egui::Context) {
    let app = view.app;
    let Some(Modal::Question(question)) = &app.modal else { return };
    let room = ctx.content_rect().width();
    let modal = super::over(ctx, "A question").show(ctx, |ui| {
        ui.set_width(460.0_f32.min(room - 60.0));
        ui.heading("Replace your prompt?");
        ui.add_space(6.0);
        ui.add(Label::new(format!("{} was drawn from this prompt:", question.file)).wrap());
        prompt(ui, &question.restored.settings.prompt);
        ui.add_space(4.0);
        ui.label("Restoring its settings replaces your prompt:");
        prompt(ui, &app.controls.recipe.prompt);
        ui.add_space(10.0);
        ui.horizontal(|ui| {
            let replace = ui.button("Replace my prompt").clicked();
            let keep = ui.button("Keep my prompt");
            // The harmless answer.
            super::first(&keep);
            (replace, keep.clicked())
        })
        .inner
    });
    let (replace, keep) = modal.inner;
    if replace {
        view.act(Action::ReplacePrompt);
    } else if keep || modal.should_close() {
        view.act(Action::CloseModal);
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
