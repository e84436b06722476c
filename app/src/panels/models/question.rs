//! What is asked before a model is fetched or removed.

use std::path::Path;

use egui::{Label, Ui};
use instaflow_hub::readable_bytes;

use crate::state::{Action, ModelAction, ModelQuestion, View, bases};

/// The question, and its two answers.
pub(super) fn show(view: &mut View<'_>, ui: &mut Ui, question: &ModelQuestion) {
    let mut ready = true;
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
        ModelQuestion::Carry { finetune, base, weight } => {
            ready = base.is_some();
            carry(view, ui, finetune, base.as_deref(), *weight);
            ("Carry it over", "Cancel")
        }
    };
    ui.add_space(12.0);
    ui.horizontal(|ui| {
        if ui.add_enabled(ready, egui::Button::new(yes)).clicked() {
            view.act(Action::Models(ModelAction::Agree));
        }
        let no = ui.button(no);
        super::super::first(&no);
        if no.clicked() {
            view.act(Action::Models(ModelAction::Refuse));
        }
    });
}

/// Which base a fine-tune has, and how much of it is carried over.
fn carry(view: &mut View<'_>, ui: &mut Ui, finetune: &Path, base: Option<&Path>, weight: f32) {
    let app = view.app;
    let name = |path: &Path| path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
    ui.heading(format!("Carry {} over", name(finetune)));
    ui.add_space(6.0);
    let words = "What the fine-tune changed in its base's U-Net is added to the model that is open, which takes its text \
                 encoder and decoder, too. All three must be of one shape.";
    ui.add(Label::new(words).wrap());
    ui.add_space(8.0);
    let (mut chosen, mut so_much) = (base, weight);
    ui.horizontal(|ui| {
        let label = ui.label("It was tuned from");
        let shown = base.map_or_else(|| "Choose its base".to_owned(), name);
        let choice = egui::ComboBox::from_id_salt("base").selected_text(shown).width(300.0);
        let response = choice.show_ui(ui, |ui| {
            for model in bases(&app.model_library.found.scan).filter(|model| model.path != finetune) {
                ui.selectable_value(&mut chosen, Some(model.path.as_path()), &model.name)
                    .on_hover_text(model.path.display().to_string());
            }
        });
        response.response.labelled_by(label.id);
    });
    ui.horizontal(|ui| {
        let label = ui.label("How much of it");
        ui.add(egui::Slider::new(&mut so_much, -1.0..=2.0).fixed_decimals(2).step_by(0.05)).labelled_by(label.id);
    });
    if chosen != base || so_much.to_bits() != weight.to_bits() {
        view.act(Action::Models(ModelAction::EditCarry(chosen.map(Path::to_owned), so_much)));
    }
}
