//! Numbers that can be typed. A comma is a decimal point. A number outside the range changes nothing, and the person is
//! told what the range is. Use these instead of egui's own sliders and fields.

use std::cell::RefCell;
use std::ops::RangeInclusive;

use egui::emath::Numeric;
use egui::{DragValue, Key, Response, Slider, SliderClamping, TextEdit, Ui, vec2};

use crate::state::{Action, View};

/// What is to be said of a number that was typed.
#[derive(Default)]
pub(super) struct Said(RefCell<Option<String>>);

impl Said {
    /// Shows it, if there is anything to say.
    pub fn tell(self, view: &mut View<'_>) {
        if let Some(text) = self.0.into_inner() {
            view.act(Action::Notify(text));
        }
    }

    fn say(&self, text: String) {
        self.0.replace(Some(text));
    }

    /// The number that was typed, in units of 1/`unit`, if it is one in the range.
    fn read(&self, text: &str, range: &RangeInclusive<f64>, unit: f64) -> Option<f64> {
        let plain = text.trim().trim_end_matches('%').trim_end().replace(',', ".").replace('−', "-");
        let (low, high) = (range.start() * unit, range.end() * unit);
        match plain.parse::<f64>() {
            Ok(value) if (low..=high).contains(&value) => Some(value / unit),
            Ok(_) => {
                self.say(format!("{text} is out of range: choose {low} to {high}"));
                None
            }
            Err(_) => {
                self.say(format!("“{text}” is not a number: choose {low} to {high}"));
                None
            }
        }
    }
}

/// A slider.
pub(super) fn slider<'a, N: Numeric>(value: &'a mut N, range: RangeInclusive<N>, said: &'a Said) -> Slider<'a> {
    let bounds = range.start().to_f64()..=range.end().to_f64();
    Slider::new(value, range)
        .clamping(SliderClamping::Edits)
        .update_while_editing(false)
        .custom_parser(move |text| said.read(text, &bounds, 1.0))
}

/// A slider that shows a share, 0 … 1, in percent.
pub(super) fn percent<'a>(value: &'a mut f32, range: RangeInclusive<f32>, said: &'a Said) -> Slider<'a> {
    let bounds = f64::from(*range.start())..=f64::from(*range.end());
    slider(value, range, said)
        .custom_formatter(|value, _| format!("{:.0} %", value * 100.0))
        .custom_parser(move |text| said.read(text, &bounds, 100.0))
}

/// A number that can also be dragged.
pub(super) fn drag<'a, N: Numeric>(value: &'a mut N, range: RangeInclusive<N>, said: &'a Said) -> DragValue<'a> {
    let bounds = range.start().to_f64()..=range.end().to_f64();
    DragValue::new(value)
        .range(range)
        .update_while_editing(false)
        .custom_parser(move |text| said.read(text, &bounds, 1.0))
}

/// A seed, 0 … 2⁶⁴ − 1, which egui's own fields cannot hold exactly. It is taken with Enter, or when the field is left.
pub(super) fn seed(ui: &mut Ui, seed: &mut u64, said: &Said) -> Response {
    let size = vec2(ui.available_width(), ui.spacing().interact_size.y);
    let id = ui.next_auto_id().with("typed");
    let mut typed = ui.data(|data| data.get_temp::<String>(id)).unwrap_or_else(|| seed.to_string());
    let field = TextEdit::singleline(&mut typed).align(egui::Align2::CENTER_CENTER);
    let response = ui.add_sized(size, field);
    if response.has_focus() {
        ui.data_mut(|data| data.insert_temp(id, typed));
        return response;
    }
    ui.data_mut(|data| data.remove::<String>(id));
    if response.lost_focus() && !ui.input(|input| input.key_pressed(Key::Escape)) {
        match typed.trim().parse() {
            Ok(value) => *seed = value,
            Err(_) => said.say(format!("A seed is a whole number from 0 to {}", u64::MAX)),
        }
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_out_of_range_is_said() {
        for (text, unit, expected, words) in [
            ("2,5", 1.0, Some(2.5), ""),
            (" 2.5 ", 1.0, Some(2.5), ""),
            ("4", 1.0, Some(4.0), ""),
            ("4.1", 1.0, None, "4.1 is out of range: choose 1 to 4"),
            ("−1", 1.0, None, "choose 1 to 4"),
            ("NaN", 1.0, None, "choose 1 to 4"),
            ("two", 1.0, None, "“two” is not a number"),
            ("250 %", 100.0, Some(2.5), ""),
            ("500%", 100.0, None, "choose 100 to 400"),
        ] {
            let said = Said::default();
            assert_eq!(said.read(text, &(1.0..=4.0), unit), expected, "{text}");
            let said = said.0.into_inner().unwrap_or_default();
            assert!(said.contains(words) && said.is_empty() == words.is_empty(), "{text}: {said}");
        }
    }
}
