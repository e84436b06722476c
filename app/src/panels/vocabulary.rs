//! The words that the model knows: the line under the prompt, with examples or with offers for an unknown word, and the
//! panel of all words. [`word_hints`](crate::state) says which words those are.

use egui::{Align, Button, Id, Label, Layout, RichText, ScrollArea, TextEdit, Ui};
use instaflow_engine::protocol::{Source, WordClass, Words};

use crate::state::{Action, App, Command, Hint, SEARCHES, View};
use crate::theme::{palette, tokens};

/// Height of words to take, in points.
const CHIP: f32 = 20.0;
/// Width of a class's name before its phrases, in points.
const NAME: f32 = 70.0;

/// The line under the prompt. It is there from the first frame on for the pair inside the program, so that nothing jumps
/// when that is open.
pub fn line(view: &mut View<'_>, ui: &mut Ui) {
    let app = view.app;
    let Some(words) = app.words().cloned() else {
        if app.models.open.is_none() && app.models.request().model == Source::Pocket {
            ui.horizontal(|ui| ui.label(RichText::new(" ").small()));
        }
        return;
    };
    examples(view, ui);
    ui.horizontal_wrapped(|ui| {
        ui.spacing_mut().item_spacing.x = 6.0;
        if let Some(hint) = app.hint() {
            offer(view, ui, &hint);
        } else {
            muted(ui, &summary(app, &words));
        }
        ui.add_space(4.0);
        link(view, ui, Command::Words, &format!("What {} knows", name(app)));
        if app.models.request().model == Source::Pocket {
            link(view, ui, Command::Models, "More models");
        }
    });
}

/// The panel of all words, by what they speak of; each adds itself to the prompt.
pub fn panel(view: &mut View<'_>, ui: &mut Ui) {
    let app = view.app;
    let Some(words) = app.words().cloned() else { return };
    ui.horizontal(|ui| {
        ui.heading(format!("What {} knows", name(app)));
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            if ui.small_button("Close").accessible_name("Close what the model knows").clicked() {
                view.command(Command::Words);
            }
        });
    });
    let mut find = app.prompt.hints.find.clone();
    let edit = TextEdit::singleline(&mut find).id(Id::unique(SEARCHES[1]));
    let edit = edit.hint_text("Find a word").desired_width(f32::INFINITY);
    ui.add(edit).accessible_name("Find a word");
    ui.add_space(4.0);
    if find != app.prompt.hints.find {
        view.act(Action::FindWord(find.clone()));
    }
    let find = find.trim().to_lowercase();
    let found = |phrase: &str| find.is_empty() || phrase.to_lowercase().contains(&find);
    ScrollArea::vertical().auto_shrink(false).show(ui, |ui| {
        let mut any = false;
        for group in &words.groups {
            let classes = || group.classes.iter().filter(|class| class.phrases.iter().any(|phrase| found(phrase)));
            if classes().next().is_none() {
                continue;
            }
            any = true;
            ui.add_space(4.0);
            ui.strong(capital(&group.name));
            for class in classes() {
                row(view, ui, class, &found);
            }
        }
        // What belongs to no group: the words that join the others, or all of them.
        let rest = loose(&words);
        let rest: Vec<_> = rest.iter().map(|word| word.as_str()).filter(|word| found(word)).collect();
        if !rest.is_empty() {
            any = true;
            ui.add_space(4.0);
            ui.strong(if words.groups.is_empty() { "Words" } else { "Joining words" });
            chips(view, ui, &rest);
        }
        if !any {
            ui.weak("No matching words.");
        }
    });
}

fn row(view: &mut View<'_>, ui: &mut Ui, class: &WordClass, found: &dyn Fn(&str) -> bool) {
    ui.horizontal_top(|ui| {
        ui.allocate_ui_with_layout(egui::vec2(NAME, CHIP), Layout::left_to_right(Align::Center), |ui| {
            ui.set_min_width(NAME);
            let text = RichText::new(&class.name).small().color(palette(ui).muted);
            ui.add(Label::new(text).truncate()).on_hover_text(&class.name);
        });
        let phrases: Vec<_> = class.phrases.iter().map(String::as_str).filter(|phrase| found(phrase)).collect();
        ui.vertical(|ui| chips(view, ui, &phrases));
    });
}

fn chips(view: &mut View<'_>, ui: &mut Ui, phrases: &[&str]) {
    ui.scope(|ui| {
        ui.spacing_mut().item_spacing = egui::vec2(4.0, 4.0);
        ui.spacing_mut().interact_size.y = CHIP;
        ui.horizontal_wrapped(|ui| {
            for phrase in phrases {
                if chip(ui, phrase).on_hover_text("Add it to the prompt").clicked() {
                    view.act(Action::AddPhrase((*phrase).to_owned()));
                }
            }
        });
    });
}

/// Words of no phrase.
fn loose(words: &Words) -> Vec<&String> {
    let phrases = || words.groups.iter().flat_map(|group| &group.classes).flat_map(|class| &class.phrases);
    let said: std::collections::HashSet<&str> = phrases().flat_map(|phrase| phrase.split([' ', '-'])).collect();
    words.known.iter().filter(|word| !said.contains(word.as_str())).collect()
}

fn examples(view: &mut View<'_>, ui: &mut Ui) {
    let app = view.app;
    let examples = app.examples().to_vec();
    if examples.is_empty() {
        return;
    }
    ui.horizontal_wrapped(|ui| {
        muted(ui, "Try");
        for example in &examples {
            if chip(ui, example).on_hover_text("Draw this example").clicked() {
                view.act(Action::TakePrompt(example.clone()));
            }
        }
    });
}

/// The unknown word, and known ones to take in its place.
fn offer(view: &mut View<'_>, ui: &mut Ui, hint: &Hint) {
    let app = view.app;
    let mut word: String = app.controls.recipe.prompt[hint.word.clone()].chars().take(24).collect();
    if word.len() < hint.word.len() {
        word.push('…');
    }
    let text = match (hint.half_typed, hint.offers.is_empty()) {
        (true, _) => format!("{word}…"),
        (false, true) => format!("{} does not know “{word}”", name(app)),
        (false, false) => format!("{} does not know “{word}”. Did you mean", name(app)),
    };
    let ink = if hint.half_typed { palette(ui).muted } else { palette(ui).note };
    ui.label(RichText::new(text).small().color(ink));
    for offer in hint.offers.iter() {
        if chip(ui, offer).on_hover_text("Use this word").clicked() {
            view.act(Action::ReplaceWord(hint.word.clone(), offer.clone()));
            return;
        }
    }
    match hint.others {
        0 => {}
        others if hint.half_typed => muted(ui, &format!("({others} unknown)")),
        1 => muted(ui, "and 1 other"),
        others => muted(ui, &format!("and {others} others")),
    }
}

/// One sentence on what the model knows.
fn summary(app: &App, words: &Words) -> String {
    let names: Vec<_> = words.groups.iter().map(|group| group.name.as_str()).collect();
    let (name, count) = (name(app), words.known.len());
    match &names[..] {
        [] => format!("{name} knows {count} words."),
        [one] => format!("{name} knows {count} words for {one}."),
        [most @ .., last] => format!("{name} knows {count} words for {} and {last}.", most.join(", ")),
    }
}

fn name(app: &App) -> String {
    app.models.live_card().map_or_else(|| "The model".to_owned(), |card| card.name.clone())
}

fn capital(name: &str) -> String {
    let mut letters = name.chars();
    letters.next().into_iter().flat_map(char::to_uppercase).chain(letters).collect()
}

fn muted(ui: &mut Ui, text: &str) {
    ui.label(RichText::new(text).small().color(palette(ui).muted));
}

/// A small button for words to take.
fn chip(ui: &mut Ui, text: &str) -> egui::Response {
    let button = Button::new(RichText::new(text).small());
    ui.add(button.corner_radius(tokens().radius.chip()).min_size(egui::vec2(0.0, CHIP)))
}

/// A command as quiet words.
fn link(view: &mut View<'_>, ui: &mut Ui, command: Command, text: &str) {
    let text = RichText::new(text).small();
    if ui.link(text).on_hover_text(command.hint(ui.ctx())).clicked() {
        view.command(command);
    }
}
