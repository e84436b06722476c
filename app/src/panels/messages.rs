//! Errors: each stays until it is dismissed and says what to do.

use egui::accesskit::Live;
use egui::{Align, Frame, Layout, Margin, Panel, RichText, Ui};

use crate::state::{Action, View};
use crate::theme::palette;

/// What 'Copy details' copies.
const DETAILS: &str = "Copy this error with its causes, the program's version, the system, the device, the models and the \
                       settings, for a report.";

/// A strip under the prompt for each message.
pub fn show(view: &mut View<'_>, ui: &mut Ui) {
    let app = view.app;
    let (mut dismissed, mut copied) = (None, None);
    let mut with_prompt = app.notices.details_with_prompt;
    let (ink, fill, border) = (palette(ui).error, palette(ui).error_fill, palette(ui).border);
    for (index, message) in app.notices.messages.iter().enumerate() {
        let frame = Frame::new().fill(fill).inner_margin(Margin::symmetric(12, 8));
        Panel::top(("message", index)).frame(frame).show(ui, |ui| {
            ui.visuals_mut().widgets.noninteractive.bg_stroke.color = border;
            ui.with_layout(Layout::right_to_left(Align::TOP), |ui| {
                let name = format!("Dismiss: {}", message.failure.message);
                let button = ui.button("Dismiss").accessible_name(name);
                if button.clicked() {
                    dismissed = Some(index);
                }
                let copy = ui.button("Copy details").on_hover_text(DETAILS);
                if copy.accessible_name(format!("Copy details: {}", message.failure.message)).clicked() {
                    copied = Some(index);
                }
                super::outlined(ui, |ui| ui.checkbox(&mut with_prompt, RichText::new("with prompt").small()))
                    .accessible_name(format!("Copy details with the prompt: {}", message.failure.message))
                    .on_hover_text("Include the prompts in the details.");
                ui.with_layout(Layout::top_down(Align::Min), |ui| {
                    let text = RichText::new(sentence(&message.failure.message)).color(ink);
                    let said = ui.add(egui::Label::new(text).wrap().selectable(true));
                    super::announce(&said, Live::Assertive);
                    for cause in &message.failure.causes {
                        ui.add(egui::Label::new(RichText::new(cause).color(ink).small()).wrap());
                    }
                    if let Some(advice) = message.advice {
                        ui.add(egui::Label::new(advice).wrap());
                    }
                });
            });
        });
    }
    if with_prompt != app.notices.details_with_prompt {
        view.act(Action::DetailsWithPrompt(with_prompt));
    }
    if let Some(message) = copied.and_then(|index| app.notices.messages.get(index)) {
        ui.ctx().copy_text(app.details(message, with_prompt));
        view.act(Action::Notify("Details copied".to_owned()));
    }
    if let Some(index) = dismissed {
        view.act(Action::Dismiss(index));
    }
}

/// The engine's messages begin small, as they follow a colon on the command line; here each stands alone.
fn sentence(message: &str) -> String {
    let mut letters = message.chars();
    let mut text: String = letters.next().into_iter().flat_map(char::to_uppercase).chain(letters).collect();
    if !text.ends_with(['.', '!', '?']) {
        text.push('.');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_becomes_a_sentence() {
        assert_eq!(sentence("stopped"), "Stopped.");
        assert_eq!(sentence("Étape ratée."), "Étape ratée.");
    }
}
