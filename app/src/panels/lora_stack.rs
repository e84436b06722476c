//! The stack of LoRAs at the side: a slider for how much of each, and which models take it.

use egui::{Align, Label, Layout, RichText, Slider, Ui};
use instaflow_engine::protocol::Role;

use super::number_field::{self, Said};
use super::terms;
use crate::state::{Command, StackedLora, View};

/// Where the sliders end.
const SLIDER: f32 = 2.0;

/// All of them, and the button that adds one.
pub(super) fn show(view: &mut View<'_>, ui: &mut Ui) {
    let app = view.app;
    let open: Vec<(Role, &str)> =
        [(Role::Student, "Student"), (Role::Teacher, "Teacher"), (Role::Baseline, "Baseline")]
            .into_iter()
            .filter(|(role, _)| app.models.open.as_ref().is_some_and(|model| model.card(*role).is_some()))
            .collect();
    let (mut removed, said) = (None, Said::default());
    for (index, lora) in view.controls.recipe.loras.iter_mut().enumerate() {
        ui.push_id(("lora", index), |ui| {
            if one(ui, lora, &open, &said) {
                removed = Some(index);
            }
        });
    }
    if let Some(index) = removed {
        view.controls.recipe.loras.remove(index);
    }
    said.tell(view);
    for remark in app.panes.live.picture.iter().flat_map(|picture| &picture.remarks) {
        ui.add(Label::new(RichText::new(remark).small().weak()).wrap());
    }
    super::button_called(view, ui, Command::AddLora, "Add…");
}

fn slider<'a>(weight: &'a mut f32, said: &'a Said) -> Slider<'a> {
    number_field::slider(weight, -SLIDER..=SLIDER, said).fixed_decimals(2).step_by(0.05)
}

/// One of them; whether it is to be removed.
fn one(ui: &mut Ui, lora: &mut StackedLora, open: &[(Role, &str)], said: &Said) -> bool {
    let name = lora.name();
    let removed = ui
        .with_layout(Layout::right_to_left(Align::Center), |ui| {
            let remove = ui.button("Remove").on_hover_text("Take this LoRA out of the picture.");
            let removed = remove.clicked();
            remove.accessible_name(format!("Remove {name}"));
            ui.with_layout(Layout::left_to_right(Align::Center), |ui| {
                let label = Label::new(RichText::new(&name).small()).truncate();
                ui.add(label).on_hover_text(lora.file.display().to_string());
            });
            removed
        })
        .inner;
    let together = lora.weight.to_bits() == lora.text_weight.to_bits();
    let response =
        super::side_panel::row(ui, "U-Net", &format!("{name}, weight"), |ui| ui.add(slider(&mut lora.weight, said)));
    if response.on_hover_text(terms::LORA_WEIGHT).changed() && together {
        lora.text_weight = lora.weight;
    }
    super::side_panel::row(ui, "Text", &format!("{name}, text weight"), |ui| {
        ui.add(slider(&mut lora.text_weight, said))
    })
    .on_hover_text(terms::LORA_TEXT_WEIGHT);
    if open.len() > 1 {
        ui.horizontal(|ui| {
            for (role, who) in open {
                let mut takes = *lora.takes_mut(*role);
                let tick = super::outlined(ui, |ui| ui.checkbox(&mut takes, *who));
                tick.on_hover_text(format!("Whether the {} takes it.", who.to_lowercase()))
                    .accessible_name(format!("{who} takes {name}"));
                *lora.takes_mut(*role) = takes;
            }
        });
    }
    removed
}
