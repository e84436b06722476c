//! What is asked before a model is fetched or removed.

use egui::{Label, Ui};
use instaflow_hub::readable_bytes;

use crate::state::{Action, ModelAction, ModelQuestion, View};

/// The question, and its two answers.
pub(super) fn show(view: &mut View<'_>, ui: &mut Ui, question: &ModelQuestion) {
    let (yes, no) = match question {
        ModelQuestion::Licences { id, licences, bytes, .. } => {
            let these = if licences.len() == 1 { "this licence" } else { "these licences" };
            ui.heading(format!("Do you accept {these}?"));
            ui.add_space(6.0);
            ui.add(Label::new(format!("{id} is under {these}. Nothing has been downloaded yet.")).wrap());
            ui.add_space(6.0);
            for licence in licences {
                ui.horizontal_wrapped(|ui| {
                    ui.strong(&licence.name);
                    ui.label(format!("({}), for {}:", licence.id, licence.repository));
                    ui.hyperlink(&licence.address);
                });
                ui.add_space(2.0);
            }
            ui.add_space(4.0);
            ui.add(Label::new(format!("The download takes {}.", readable_bytes(*bytes))).wrap());
            let yes = if licences.len() == 1 {
                "I have read and accept it: download"
            } else {
                "I have read and accept them: download"
            };
            (yes, "Do not download")
        }
        ModelQuestion::Remove { id, bytes } => {
            ui.heading(format!("Remove {id}?"));
            ui.add_space(6.0);
            let bytes = readable_bytes(*bytes);
            let words = format!("This frees up to {bytes}. Other programs that share the hub's cache lose it, too.");
            ui.add(Label::new(words).wrap());
            ("Remove", "Keep it")
        }
    };
    ui.add_space(12.0);
    ui.horizontal(|ui| {
        if ui.button(yes).clicked() {
            view.act(Action::Models(ModelAction::Agree));
        }
        let no = ui.button(no);
        super::super::first(&no);
        if no.clicked() {
            view.act(Action::Models(ModelAction::Refuse));
        }
    });
}
