//! Seed, size, and the settings of student and teacher.

use egui::{Button, ComboBox, DragValue, Slider, TextEdit, Ui};
use instaflow_engine::protocol::{Decoder, ModelCard, Role};

use super::toggle;
use crate::app::{App, Command};

/// Why the student's settings cannot be changed.
const ONE_STEP: &str = "The student was distilled to draw in one step, without guidance and without a negative prompt.";

/// Everything at the side.
pub fn show(app: &mut App, ui: &mut Ui) {
    seed(app, ui);
    ui.add_space(10.0);
    size(app, ui);
    if app.live_role() == Role::Student {
        section(ui, "Student");
        student(ui);
    }
    section(ui, "Teacher");
    teacher(app, ui);
    section(ui, "Saving");
    ui.checkbox(&mut app.controls.metadata, "Write settings into PNGs")
        .on_hover_text("A saved PNG then carries prompt, seed and settings; drop it here to get them back.");
}

fn section(ui: &mut Ui, title: &str) {
    ui.add_space(8.0);
    ui.separator();
    ui.add_space(2.0);
    ui.strong(title);
}

fn seed(app: &mut App, ui: &mut Ui) {
    let label = ui.label("Seed");
    ui.horizontal(|ui| {
        ui.add(DragValue::new(&mut app.controls.seed).range(0..=u32::MAX).speed(1.0))
            .labelled_by(label.id)
            .on_hover_text("Seed of the noise: the same picture for the same seed. The same noise as in Diffusers.");
        let locked = app.controls.seed_locked;
        toggle(app, ui, Command::LockSeed, locked, None);
        super::button(app, ui, Command::Dice, true);
    });
}

fn size(app: &mut App, ui: &mut Ui) {
    let label = ui.label("Size");
    let Some(card) = app.live_card() else {
        ui.add_enabled(false, Button::new("No model")).labelled_by(label.id);
        return;
    };
    let (native, choices) = (card.size, sizes(card));
    let has_tiny_decoder = card.has_tiny_decoder;
    let mut chosen = app.controls.size.unwrap_or(native);
    ComboBox::from_id_salt("size")
        .width(ui.available_width())
        .selected_text(format!("{} × {}", chosen.0, chosen.1))
        .show_ui(ui, |ui| {
            for choice in choices {
                let own = if choice == native { "  (the model's own)" } else { "" };
                ui.selectable_value(&mut chosen, choice, format!("{} × {}{own}", choice.0, choice.1));
            }
        })
        .response
        .labelled_by(label.id);
    app.controls.size = (chosen != native).then_some(chosen);
    if has_tiny_decoder {
        let mut tiny = app.controls.decoder == Decoder::Tiny;
        ui.checkbox(&mut tiny, "Tiny decoder").on_hover_text("Faster, with a little less detail.");
        app.controls.decoder = if tiny { Decoder::Tiny } else { Decoder::Full };
    }
}

fn student(ui: &mut Ui) {
    ui.add_enabled(false, Slider::new(&mut 1, 1..=50).text("Steps")).on_disabled_hover_text(ONE_STEP);
    ui.add_enabled(false, Slider::new(&mut 1.0, 1.0..=4.0).fixed_decimals(1).text("Guidance"))
        .on_disabled_hover_text(ONE_STEP);
    ui.add_enabled(false, TextEdit::singleline(&mut "").hint_text("No negative prompt").desired_width(f32::INFINITY))
        .accessible_name("Student negative prompt")
        .on_disabled_hover_text(ONE_STEP);
}

fn teacher(app: &mut App, ui: &mut Ui) {
    let none = app.model.as_ref().is_some_and(|model| model.teacher.is_none());
    let why_not = "No teacher is open. Add one with File, Open as teacher.";
    ui.add_enabled(!none, Slider::new(&mut app.controls.steps, 1..=50).text("Steps"))
        .accessible_name("Teacher steps")
        .on_hover_text("Euler steps from noise to picture.")
        .on_disabled_hover_text(why_not);
    ui.add_enabled(
        !none,
        Slider::new(&mut app.controls.guidance, 1.0..=4.0).fixed_decimals(1).step_by(0.1).text("Guidance"),
    )
    .accessible_name("Teacher guidance")
    .on_hover_text("How strongly the prompt pulls; 1 is off. 1 to 2 is best for a 2-rectified flow.")
    .on_disabled_hover_text(why_not);
    let label = ui.label("Negative prompt");
    let edit = TextEdit::multiline(&mut app.controls.negative_prompt).desired_rows(2).desired_width(f32::INFINITY);
    ui.add_enabled(!none, edit.hint_text("What to avoid"))
        .labelled_by(label.id)
        .on_hover_text("What the teacher steers away from; it works where guidance is above 1.")
        .on_disabled_hover_text(why_not);
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
    use super::*;

    fn card(side: u32, size_multiple: u32) -> ModelCard {
        ModelCard {
            name: String::new(),
            hash: String::new(),
            size: (side, side),
            size_multiple,
            unet_parameters: 0,
            num_stacks: 1,
            has_tiny_decoder: false,
            token_limit: 77,
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
