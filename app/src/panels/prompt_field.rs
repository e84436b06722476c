//! The prompt field, its token count, and the switches that belong to it.

use std::ops::Range;

use egui::text::{CCursor, CCursorRange, CharIndex, LayoutJob, TextFormat};
use egui::text_edit::{TextEditOutput, TextEditState};
use egui::{
    EventFilter, FontId, Id, Key, KeyboardShortcut, Modifiers, Pos2, Shape, Stroke, TextBuffer, TextEdit, Ui, pos2,
};

use super::{button, toggle, vocabulary, ways};
use crate::state::{Action, App, Command, Focus, LiveState, View, is_narrow};
use crate::theme::{palette, tokens};

/// What stands in the empty field.
const EXAMPLE: &str = "Type what to draw, for example: a snowy mountain near a lake at sunset";

/// The field and the row under it.
pub fn show(view: &mut View<'_>, ui: &mut Ui) {
    let app = view.app;
    field(view, ui);
    remarks(app, ui);
    vocabulary::line(view, ui);
    ui.horizontal_wrapped(|ui| {
        live(view, ui);
        button(view, ui, Command::Draw);
        button(view, ui, Command::Stop);
        ui.separator();
        ways(view, ui, &[Command::Picture, Command::Compare, Command::Variations, Command::Steps]);
        ui.separator();
        // A narrow window leaves these to the File menu.
        if !is_narrow(ui.ctx()) {
            for command in [Command::Save, Command::QuickSave, Command::Copy] {
                button(view, ui, command);
            }
        }
        token_count(app, ui);
    });
}

/// The switch, with a light that tells whether live drawing is at work.
fn live(view: &mut View<'_>, ui: &mut Ui) {
    let app = view.app;
    let response = toggle(view, ui, Command::Live);
    let (colour, meaning) = match app.live_state() {
        // Its place stays, so that nothing beside it moves.
        LiveState::Off => (egui::Color32::TRANSPARENT, "Live drawing is off."),
        LiveState::Rests => (palette(ui).muted, "Live drawing is on."),
        LiveState::Waits => (palette(ui).note, "Live drawing is waiting for a pause in typing."),
        LiveState::Draws => (palette(ui).accent, "A picture is being drawn."),
    };
    let (rect, light) = ui.allocate_exact_size(egui::vec2(10.0, response.rect.height()), egui::Sense::hover());
    ui.painter().circle_filled(rect.center(), 4.0, colour);
    light.widget_info(|| egui::WidgetInfo::labeled(egui::accesskit::Role::Label, true, meaning));
    light.on_hover_text(meaning);
}

fn field(view: &mut View<'_>, ui: &mut Ui) {
    let app = view.app;
    let font = FontId::proportional(tokens().text.prompt);
    let (ink, faint) = (ui.visuals().text_color(), palette(ui).faint);
    // The count is of the text a moment ago; while typing goes on, its border holds as long as what it keeps is unchanged.
    let kept = app
        .prompt
        .tokens
        .prompt
        .get(..app.prompt.tokens.cut_at)
        .filter(|kept| kept.len() < app.prompt.tokens.prompt.len());
    let kept = kept.map(str::to_owned);
    let mut layouter = |ui: &Ui, text: &dyn TextBuffer, width: f32| {
        let text = text.as_str();
        let cut = kept.as_deref().filter(|kept| text.starts_with(kept)).map_or(text.len(), str::len);
        let mut job = LayoutJob { wrap: egui::text::TextWrapping::wrap_at_width(width), ..LayoutJob::default() };
        job.append(&text[..cut], 0.0, TextFormat::simple(font.clone(), ink));
        if cut < text.len() {
            job.append(&text[cut..], 0.0, TextFormat::simple(font.clone(), faint));
        }
        ui.fonts_mut(|fonts| fonts.layout_job(job))
    };
    let id = Id::unique("prompt field");
    // Without the keyboard a field keeps no selection.
    if app.prompt.typing.select_all && ui.memory(|memory| memory.has_focus(id)) {
        view.act(Action::PromptSelected);
        select(ui.ctx(), id, &view.controls.recipe.prompt, 0..view.controls.recipe.prompt.len());
    }
    if let Some(place) = app.prompt.typing.caret_to {
        view.act(Action::CaretPlaced);
        select(ui.ctx(), id, &view.controls.recipe.prompt, place..place);
    }
    let scroll = egui::ScrollArea::vertical().id_salt("prompt").max_height(112.0);
    let output = scroll.show(ui, |ui| {
        let edit = TextEdit::multiline(&mut view.controls.recipe.prompt)
            .id(id)
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
        let output = edit.show(ui);
        let prompt = view.controls.recipe.prompt.as_str();
        let caret = output.cursor_range.filter(|_| output.response.has_focus()).map(|range| {
            let letters = prompt.char_indices().map(|(at, _)| at);
            letters.chain([prompt.len()]).nth(range.primary.index.0).unwrap_or(prompt.len())
        });
        underline(ui, &output, prompt, &app.underlined_words(prompt, caret));
        view.act(Action::Caret(caret));
        output
    });
    let response = output.inner.response.response;
    let response = response.accessible_name("Prompt");
    // Once: asked for in every frame, the focus would never settle and no text arrive.
    if app.widgets.focus == Some(Focus::Prompt) {
        view.act(Action::FocusGiven);
        response.request_focus();
    }
    let enter = |input: &egui::InputState| input.key_pressed(Key::Enter) && input.modifiers.is_none();
    if response.has_focus() && ui.input(enter) {
        view.command(Command::Draw);
    }
}

/// Draws a wave under some words of the prompt, given in bytes.
fn underline(ui: &Ui, output: &TextEditOutput, prompt: &str, words: &[Range<usize>]) {
    let painter = ui.painter().with_clip_rect(output.text_clip_rect.intersect(ui.clip_rect()));
    let stroke = Stroke::new(1.2, palette(ui).note);
    let place = |letter: usize, prefer_next_row: bool| {
        let cursor = CCursor { index: CharIndex(letter), prefer_next_row };
        output.galley.pos_from_cursor(cursor).translate(output.galley_pos.to_vec2())
    };
    let (mut byte, mut letter) = (0, 0);
    for word in words {
        letter += prompt[byte..word.start].chars().count();
        byte = word.start;
        let end = letter + prompt[word.clone()].chars().count();
        // A word that is longer than the field goes on in the next row.
        let mut from = letter;
        for at in letter + 1..=end {
            let (left, right) = (place(from, true), place(at, false));
            let row_ends = at == end || (place(at, true).top() - left.top()).abs() > 1.0;
            if row_ends {
                painter.add(Shape::line(wave(left.left(), right.left(), right.bottom() - 1.0), stroke));
                from = at;
            }
        }
    }
}

/// A wave from one place to another of a line.
fn wave(left: f32, right: f32, y: f32) -> Vec<Pos2> {
    const STEP: f32 = 2.0;
    const HEIGHT: f32 = 2.0;
    let steps = ((right - left) / STEP).max(1.0) as usize;
    (0..=steps).map(|step| pos2(left + step as f32 * STEP, y - if step % 2 == 0 { 0.0 } else { HEIGHT })).collect()
}

/// Selects bytes of the prompt, with the caret behind them; an empty range puts the caret there.
fn select(ctx: &egui::Context, id: Id, prompt: &str, bytes: Range<usize>) {
    let letter = |place| CCursor::new(prompt.char_indices().take_while(|(at, _)| *at < place).count());
    let mut state = TextEditState::load(ctx, id).unwrap_or_default();
    state.cursor.set_char_range(Some(CCursorRange::two(letter(bytes.start), letter(bytes.end))));
    state.store(ctx, id);
}

/// What of the prompt cannot be honoured, in one line.
fn remarks(app: &App, ui: &mut Ui) {
    let remarks = &app.prompt.tokens.remarks;
    if !remarks.is_empty() {
        let text = egui::RichText::new(remarks.join(" ")).small().color(palette(ui).note);
        ui.add(egui::Label::new(text).truncate()).on_hover_text(remarks.join("\n"));
    }
}

fn token_count(app: &App, ui: &mut Ui) {
    let tokens = &app.prompt.tokens;
    if tokens.limit == 0 {
        return;
    }
    let text = format!("{}/{}", tokens.used, tokens.limit);
    let (text, hint) = if tokens.used > tokens.limit {
        (
            egui::RichText::new(text).color(palette(ui).note),
            "The prompt is longer than the text encoder accepts: its grey end has no effect.",
        )
    } else {
        (
            egui::RichText::new(text).color(palette(ui).muted),
            "The prompt's tokens, and how many fit before the text encoder reads another chunk.",
        )
    };
    ui.label(text.monospace()).on_hover_text(hint);
}
