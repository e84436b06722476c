//! What belongs to the picture, at the side: seed and size, what it lies between, and the settings of teacher and
//! student. What belongs to the program is in the settings.

use egui::{Align, Button, ComboBox, Layout, Response, Slider, TextEdit, Ui, vec2};
use instaflow_engine::protocol::{Decoder, ModelCard, Role};

use super::number_field::{self, Said};
use super::{lora_stack, terms, toggle};
use crate::state::{Action, App, Command, View};

/// Why the teacher's settings have no effect.
const NO_TEACHER: &str = "No teacher is open. Add one with File, Open as teacher.";

/// Width of the labels before the controls, in points.
const LABEL: f32 = 62.0;

/// Everything at the side.
pub fn show(view: &mut View<'_>, ui: &mut Ui) {
    let app = view.app;
    seed(view, ui);
    size(view, ui);
    section(ui, "Between", "A second prompt and a second seed, and how far toward them the picture lies.");
    between(view, ui);
    section(ui, "Teacher", teachers_term(app));
    teacher(view, ui);
    if app.models.baseline_card().is_some() {
        section(ui, "Baseline", terms::BASELINE);
        baseline(view, ui);
    }
    if app.models.live_role() == Role::Student {
        section(ui, "Student", terms::STUDENT);
        student(ui);
    }
    section(ui, "LoRA", terms::LORA);
    lora_stack::show(view, ui);
}

fn section(ui: &mut Ui, title: &str, meaning: &str) {
    ui.add_space(6.0);
    ui.separator();
    ui.add_space(2.0);
    ui.strong(title).on_hover_text(meaning);
}

/// A label and its control, which takes the rest of the width; `name` is what the control is called where the sections'
/// titles are not seen.
pub(super) fn row(ui: &mut Ui, label: &str, name: &str, control: impl FnOnce(&mut Ui) -> Response) -> Response {
    ui.horizontal(|ui| {
        let height = ui.spacing().interact_size.y;
        let place = Layout::left_to_right(Align::Center);
        ui.allocate_ui_with_layout(vec2(LABEL, height), place, |ui| {
            ui.set_min_width(LABEL);
            ui.label(label)
        });
        control(ui).accessible_name(name)
    })
    .inner
}

fn seed(view: &mut View<'_>, ui: &mut Ui) {
    let said = Said::default();
    row(ui, "Seed", "Seed", |ui| number_field::seed(ui, &mut view.controls.recipe.seed, &said))
        .on_hover_text(terms::SEED);
    said.tell(view);
    ui.horizontal(|ui| {
        ui.add_space(LABEL + ui.spacing().item_spacing.x);
        toggle(view, ui, Command::LockSeed);
        super::button(view, ui, Command::Dice);
    });
}

fn between(view: &mut View<'_>, ui: &mut Ui) {
    let (controls, said) = (&mut view.controls, Said::default());
    let edit = TextEdit::multiline(&mut controls.recipe.second_prompt).desired_rows(1).desired_width(f32::INFINITY);
    ui.add(edit.hint_text("Second prompt")).accessible_name("Second prompt").on_hover_text(terms::SECOND_PROMPT);
    let has_prompt = !controls.recipe.second_prompt.trim().is_empty();
    row(ui, "Toward", "Toward the second prompt", |ui| {
        let slider = number_field::percent(&mut controls.recipe.prompt_mix, 0.0..=1.0, &said);
        ui.add_enabled(has_prompt, slider)
    })
    .on_hover_text(terms::SECOND_PROMPT)
    .on_disabled_hover_text("Type a second prompt first.");
    row(ui, "To seed", "Second seed", |ui| number_field::seed(ui, &mut controls.recipe.second_seed, &said))
        .on_hover_text(terms::SECOND_SEED);
    row(ui, "Toward", "Toward the second seed", |ui| {
        ui.add(number_field::percent(&mut controls.recipe.seed_mix, 0.0..=1.0, &said))
    })
    .on_hover_text(terms::SECOND_SEED);
    said.tell(view);
    // Short enough for one row; what they do, their hints and their names for screen readers say.
    ui.horizontal(|ui| {
        for (command, text) in [(Command::Animate, "Animation…"), (Command::SaveFrames, "Frames…")] {
            super::button_called(view, ui, command, text);
        }
    });
}

fn size(view: &mut View<'_>, ui: &mut Ui) {
    let app = view.app;
    let Some(card) = app.models.live_card() else {
        row(ui, "Size", "Size", |ui| ui.add_enabled(false, Button::new("No model")));
        return;
    };
    let (native, choices) = (card.size, sizes(card));
    let has_tiny_decoder = card.has_tiny_decoder;
    let mut chosen = app.controls.recipe.size.unwrap_or(native);
    row(ui, "Size", "Size", |ui| {
        let combo = ComboBox::from_id_salt("size").width(ui.available_width());
        let shown = combo.selected_text(format!("{} × {}", chosen.0, chosen.1)).show_ui(ui, |ui| {
            for choice in choices {
                let own = if choice == native { "  (the model's own)" } else { "" };
                ui.selectable_value(&mut chosen, choice, format!("{} × {}{own}", choice.0, choice.1));
            }
        });
        shown.response
    });
    view.controls.recipe.size = (chosen != native).then_some(chosen);
    if has_tiny_decoder {
        let mut tiny = app.controls.recipe.decoder == Decoder::Tiny;
        super::outlined(ui, |ui| ui.checkbox(&mut tiny, "Tiny decoder"))
            .on_hover_text("Faster, with a little less detail.");
        view.controls.recipe.decoder = if tiny { Decoder::Tiny } else { Decoder::Full };
    }
}

fn student(ui: &mut Ui) {
    row(ui, "Steps", "Student steps", |ui| ui.add_enabled(false, Slider::new(&mut 1, 1..=50)))
        .on_disabled_hover_text(terms::ONE_STEP);
    row(ui, "Guidance", "Student guidance", |ui| {
        ui.add_enabled(false, Slider::new(&mut 1.0, 1.0..=4.0).fixed_decimals(1))
    })
    .on_disabled_hover_text(terms::ONE_STEP);
    let mut none = "";
    let edit = TextEdit::singleline(&mut none).hint_text("No negative prompt").desired_width(f32::INFINITY);
    ui.add_enabled(false, edit).accessible_name("Student negative prompt").on_disabled_hover_text(terms::ONE_STEP);
}

fn teacher(view: &mut View<'_>, ui: &mut Ui) {
    let app = view.app;
    let open = app.models.open.as_ref().is_none_or(|model| model.teacher.is_some());
    let card = app.models.open.as_ref().and_then(|model| model.teacher.as_ref());
    let most = most_guidance(card);
    sampler(view, ui, card, "Teacher sampler");
    let (controls, said) = (&mut view.controls, Said::default());
    let steps = number_field::slider(&mut controls.recipe.steps, 1..=50, &said);
    row(ui, "Steps", "Teacher steps", |ui| ui.add_enabled(open, steps))
        .on_hover_text(terms::STEPS)
        .on_disabled_hover_text(NO_TEACHER);
    row(ui, "Guidance", "Teacher guidance", |ui| {
        let slider = number_field::slider(&mut controls.recipe.guidance, 1.0..=most, &said);
        ui.add_enabled(open, slider.fixed_decimals(1).step_by(0.1))
    })
    .on_hover_text(terms::GUIDANCE)
    .on_disabled_hover_text(NO_TEACHER);
    let edit = TextEdit::multiline(&mut controls.recipe.negative_prompt).desired_rows(2).desired_width(f32::INFINITY);
    ui.add_enabled(open, edit.hint_text("Negative prompt: what to avoid"))
        .accessible_name("Teacher negative prompt")
        .on_hover_text(terms::NEGATIVE)
        .on_disabled_hover_text(NO_TEACHER);
    said.tell(view);
}

/// What the teacher is.
pub(super) fn teachers_term(app: &App) -> &'static str {
    let card = app.models.open.as_ref().and_then(|model| model.teacher.as_ref());
    if card.is_some_and(|card| card.sampler.is_diffusion()) { terms::DIFFUSION } else { terms::TEACHER }
}

fn baseline(view: &mut View<'_>, ui: &mut Ui) {
    let app = view.app;
    let Some(card) = app.models.baseline_card() else { return };
    let (most, name) = (most_guidance(Some(card)), card.name.clone());
    sampler(view, ui, Some(card), "Baseline sampler");
    let steps = &mut view.controls.recipe.baseline_steps;
    let said = Said::default();
    let steps = number_field::slider(steps, 1..=50, &said);
    row(ui, "Steps", "Baseline steps", |ui| ui.add(steps)).on_hover_text(terms::BASELINE_STEPS);
    let mut guidance = app.baseline_guidance();
    let response = row(ui, "Guidance", "Baseline guidance", |ui| {
        let slider = number_field::slider(&mut guidance, 1.0..=most, &said);
        ui.add(slider.fixed_decimals(1).step_by(0.1))
    });
    if response.on_hover_text(terms::GUIDANCE).changed() {
        view.controls.recipe.baseline_guidance = Some(guidance);
    }
    said.tell(view);
    ui.horizontal(|ui| {
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            let close = ui.button("Close").on_hover_text("Remove the baseline from the comparison and from memory.");
            if close.accessible_name("Close the baseline").clicked() {
                view.act(Action::CloseBaseline);
            }
            ui.with_layout(Layout::left_to_right(Align::Center), |ui| {
                ui.add(egui::Label::new(egui::RichText::new(name).small().weak()).truncate());
            });
        });
    });
}

/// The choice between a diffusion model's samplers; a flow has none.
fn sampler(view: &mut View<'_>, ui: &mut Ui, card: Option<&ModelCard>, name: &str) {
    let app = view.app;
    let Some(card) = card.filter(|card| card.sampler.is_diffusion()) else { return };
    let own = card.sampler;
    let mut chosen = app.controls.recipe.sampler.unwrap_or(own);
    row(ui, "Sampler", name, |ui| {
        let combo = ComboBox::from_id_salt(name).width(ui.available_width());
        let shown = combo.selected_text(chosen.name()).show_ui(ui, |ui| {
            for sampler in card.samplers.iter().filter(|sampler| sampler.is_diffusion()) {
                ui.selectable_value(&mut chosen, *sampler, sampler.name());
            }
        });
        shown.response
    })
    .on_hover_text(terms::SAMPLER);
    view.controls.recipe.sampler = (chosen != own).then_some(chosen);
}

/// Where the slider of a guidance scale ends: a flow needs little, Stable Diffusion more.
fn most_guidance(card: Option<&ModelCard>) -> f32 {
    if card.is_some_and(|card| card.sampler.is_diffusion()) { 12.0 } else { 4.0 }
}

/// The model's own size and others near it: squares, then landscape and portrait, all of which the model can draw.
fn sizes(card: &ModelCard) -> Vec<(u32, u32)> {
    /// Times the model's own width and height.
    const SHAPES: [(f32, f32); 8] =
        [(1.0, 1.0), (0.5, 0.5), (0.75, 0.75), (1.25, 1.25), (1.5, 1.5), (1.5, 1.0), (1.0, 1.5), (1.25, 0.75)];
    let multiple = card.size_multiple.max(1);
    let round = |side: u32, by: f32| ((side as f32 * by / multiple as f32).round() as u32).max(1) * multiple;
    let mut sizes = Vec::new();
    for (across, down) in SHAPES {
        let size = (round(card.size.0, across), round(card.size.1, down));
        if !sizes.contains(&size) {
            sizes.push(size);
        }
    }
    sizes
}

#[cfg(test)]
mod tests {
    use instaflow_engine::protocol::Sampler;

    use super::*;

    fn card(side: u32, size_multiple: u32) -> ModelCard {
        ModelCard {
            name: String::new(),
            hash: String::new(),
            sampler: Sampler::Flow,
            steps: 1,
            guidance: 1.0,
            samplers: vec![Sampler::Flow],
            size: (side, side),
            size_multiple,
            unet_parameters: 0,
            num_stacks: 1,
            has_tiny_decoder: false,
            token_limit: 77,
            words: None,
        }
    }

    #[test]
    fn every_size_is_one_the_model_can_draw() {
        for (side, multiple) in [(512, 64), (512, 8), (96, 32), (16, 8), (8, 8), (64, 0)] {
            let sizes = sizes(&card(side, multiple));
            assert_eq!(sizes[0], (side, side), "the model's own comes first");
            for (width, height) in &sizes {
                assert!(*width > 0 && *height > 0);
                assert_eq!((width % multiple.max(1), height % multiple.max(1)), (0, 0), "{width}×{height}");
            }
            assert!(sizes.iter().enumerate().all(|(i, size)| !sizes[..i].contains(size)), "{sizes:?}");
        }
    }
}
