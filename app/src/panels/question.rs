//! The question that is asked before settings are restored that would replace a prompt, or that are not complete.

use egui::{Label, RichText, Ui};
use instaflow_engine::metadata::Restored;

use crate::state::{Action, Modal, View};

/// The open question, if there is one.
pub fn show(view: &mut View<'_>, ctx: &egui::Context) {
    let app = view.app;
    let Some(Modal::Question(question)) = &app.modal else { return };
    let room = ctx.content_rect().width();
    let modal = super::over(ctx, "A question").show(ctx, |ui| {
        ui.set_width(460.0_f32.min(room - 60.0));
        let (mine, theirs) = (app.controls.recipe.prompt.trim(), &question.restored.settings.prompt);
        let replaces = !mine.is_empty() && mine != theirs.trim();
        ui.heading(if replaces { "Replace your prompt?" } else { "Restore these settings?" });
        ui.add_space(6.0);
        ui.add(Label::new(format!("{} was drawn from this prompt:", question.file)).wrap());
        prompt(ui, theirs);
        ui.add(Label::new(RichText::new(settings(&question.restored)).small().weak()).wrap());
        if !question.restored.remarks.is_empty() {
            ui.add_space(4.0);
            ui.label("What is not restored:");
            for remark in &question.restored.remarks {
                ui.indent("remark", |ui| ui.add(Label::new(RichText::new(remark).weak()).wrap()));
            }
        }
        if replaces {
            ui.add_space(4.0);
            ui.label("Restoring its settings replaces your prompt:");
            prompt(ui, mine);
        }
        ui.add_space(10.0);
        ui.horizontal(|ui| {
            let (yes, no) =
                if replaces { ("Replace my prompt", "Keep my prompt") } else { ("Restore settings", "Cancel") };
            let replace = ui.button(yes).clicked();
            let keep = ui.button(no);
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

/// What else is restored, in one line.
fn settings(restored: &Restored) -> String {
    let settings = &restored.settings;
    let mut parts = vec![crate::format::steps(settings.steps), format!("seed {}", settings.seed)];
    parts.extend(settings.size.map(|(width, height)| format!("{width} × {height}")));
    if settings.guidance > 1.0 {
        parts.push(format!("guidance {}", settings.guidance));
    }
    parts.extend(settings.sampler.map(|sampler| sampler.name().to_owned()));
    parts.extend(restored.model.as_ref().map(|model| format!("drawn by {model}")));
    parts.join(", ")
}

/// The first few lines of a prompt.
fn prompt(ui: &mut Ui, text: &str) {
    const LENGTH: usize = 240;
    let mut short: String = text.chars().take(LENGTH).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    ui.indent("prompt", |ui| ui.add(Label::new(RichText::new(short).weak()).wrap()));
}
