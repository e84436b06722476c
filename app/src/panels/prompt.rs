//! The prompt field, its token count, and the switches that belong to it.

use egui::text::{LayoutJob, TextFormat};
use egui::{Align, EventFilter, FontId, Key, KeyboardShortcut, Layout, Modifiers, TextBuffer, TextEdit, Ui};

use super::{button, toggle};
use crate::app::{App, Command, Focus};
use crate::theme::{palette, tokens};

/// What stands in the empty field.
const EXAMPLE: &str = "Type what to draw, for example: a snowy mountain near a lake at sunset";

/// The field and the row under it.
pub fn show(app: &mut App, ui: &mut Ui) {
    field(app, ui);
    ui.horizontal(|ui| {
        let live = app.controls.live;
        toggle(app, ui, Command::Live, live, None);
        button(app, ui, Command::Draw, app.model.is_some());
        button(app, ui, Command::Stop, app.is_busy());
        ui.separator();
        let (on, why_not) = (app.comparing(), app.no_comparison());
        toggle(app, ui, Command::Compare, on, why_not);
        ui.separator();
        let has_picture = app.live.picture.is_some();
        for command in [Command::Save, Command::QuickSave, Command::Copy] {
            button(app, ui, command, has_picture);
        }
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| token_count(app, ui));
    });
}

fn field(app: &mut App, ui: &mut Ui) {
    let font = FontId::proportional(tokens().text.prompt);
    let (ink, faint) = (ui.visuals().text_color(), palette(ui).faint);
    // The count is of the text a moment ago; while typing goes on, its border holds as long as what it keeps is unchanged.
    let kept = app.tokens.prompt.get(..app.tokens.cut_at).filter(|kept| kept.len() < app.tokens.prompt.len());
    let mut layouter = |ui: &Ui, text: &dyn TextBuffer, width: f32| {
        let text = text.as_str();
        let cut = kept.filter(|kept| text.starts_with(*kept)).map_or(text.len(), str::len);
        let mut job = LayoutJob { wrap: egui::text::TextWrapping::wrap_at_width(width), ..LayoutJob::default() };
        job.append(&text[..cut], 0.0, TextFormat::simple(font.clone(), ink));
        if cut < text.len() {
            job.append(&text[cut..], 0.0, TextFormat::simple(font.clone(), faint));
        }
        ui.fonts_mut(|fonts| fonts.layout_job(job))
    };
    let edit = TextEdit::multiline(&mut app.controls.prompt)
        .id_salt("prompt")
        .hint_text(egui::RichText::new(EXAMPLE).size(tokens().text.prompt))
        .font(font.clone())
        .desired_rows(1)
        .desired_width(f32::INFINITY)
        .margin(egui::Margin::symmetric(10, 8))
        // Enter draws; Shift+Enter breaks the line.
        .return_key(KeyboardShortcut::new(Modifiers::SHIFT, Key::Enter))
        // Esc stops the drawing and leaves the keyboard here.
        .event_filter(EventFilter { horizontal_arrows: true, vertical_arrows: true, escape: true, tab: false })
        .layouter(&mut layouter);
    let response = egui::ScrollArea::vertical().id_salt("prompt").max_height(112.0).show(ui, |ui| ui.add(edit)).inner;
    let response = response.accessible_name("Prompt");
    // Once: asked for in every frame, the focus would never settle and no text arrive.
    if app.focus.take_if(|focus| *focus == Focus::Prompt).is_some() {
        response.request_focus();
    }
    let enter = |input: &egui::InputState| input.key_pressed(Key::Enter) && input.modifiers.is_none();
    if response.has_focus() && ui.input(enter) {
        app.asked.push(Command::Draw);
    }
}

fn token_count(app: &App, ui: &mut Ui) {
    let tokens = &app.tokens;
    if tokens.limit == 0 {
        return;
    }
    let text = format!("{}/{}", tokens.used, tokens.limit);
    let (text, hint) = if tokens.used > tokens.limit {
        (
            egui::RichText::new(text).color(palette(ui).note),
            "More tokens than the text encoder takes: the greyed end of the prompt has no effect.",
        )
    } else {
        (egui::RichText::new(text).color(palette(ui).muted), "Tokens of the prompt, start and end marks included.")
    };
    ui.label(text.monospace()).on_hover_text(hint);
}
