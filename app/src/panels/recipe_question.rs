//! The question what a model's U-Net predicts, which is asked if neither its files nor the table of known models say so.

use egui::{Label, RichText};
use instaflow_engine::protocol::Prediction;

use crate::state::{Action, Modal, View};

/// The open question, if there is one.
pub fn show(view: &mut View<'_>, ctx: &egui::Context) {
    let Some(Modal::Recipe(question)) = &view.app.modal else { return };
    let room = ctx.content_rect().width();
    let modal = super::over(ctx, "What the model predicts").show(ctx, |ui| {
        ui.set_width(480.0_f32.min(room - 60.0));
        ui.heading("What does this model predict?");
        ui.add_space(6.0);
        ui.add(Label::new(format!("{}.", question.sentence)).wrap());
        ui.add(
            Label::new("The page where you got it says it. Your answer is remembered. A wrong one draws noise.").wrap(),
        );
        ui.add_space(8.0);
        let mut answer = None;
        for prediction in question.choices {
            let (name, meaning) = words(*prediction);
            if ui.button(name).clicked() {
                answer = Some(*prediction);
            }
            ui.add(Label::new(RichText::new(meaning).small().weak()).wrap());
            ui.add_space(6.0);
        }
        let no = ui.button("Do not open it");
        super::first(&no);
        (answer, no.clicked())
    });
    match modal.inner {
        (Some(prediction), _) => view.act(Action::AnswerRecipe(prediction)),
        (None, no) if no || modal.should_close() => view.act(Action::CloseModal),
        _ => {}
    }
}

/// What a prediction is called, and who predicts it.
fn words(prediction: Prediction) -> (&'static str, &'static str) {
    match prediction {
        Prediction::Epsilon => ("Noise (epsilon)", "Stable Diffusion 1.x and most of its fine-tunes."),
        Prediction::Flow => ("A flow's velocity", "InstaFlow, 2-Rectified Flow and what was made from them."),
        Prediction::V => ("v", "Stable Diffusion 2.x for 768 pixels, and fine-tunes that say v-prediction."),
        Prediction::Sample => ("The picture itself", "Rare: only if its page says so."),
    }
}
