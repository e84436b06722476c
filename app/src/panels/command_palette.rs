//! The command palette: a few letters of a command's name, Enter. How names are matched is in [`match_name`].

use egui::{Align, Button, Key, Layout, Modifiers, ScrollArea, TextEdit, Ui};

use crate::state::{Action, Command, Modal, Palette, View, commands};

/// The palette, while it is open.
pub fn show(view: &mut View<'_>, ctx: &egui::Context) {
    let app = view.app;
    let Some(Modal::Palette(palette)) = &app.modal else { return };
    let Palette { mut typed, mut marked } = palette.clone();
    let room = ctx.content_rect().width();
    let mut chosen = None;
    let modal = super::over(ctx, "All commands").show(ctx, |ui| {
        ui.set_width(440.0_f32.min(room - 60.0));
        // Before the field takes them.
        let (up, down, enter) = ui.input_mut(|input| {
            let mut take = |key| input.consume_key(Modifiers::NONE, key);
            (take(Key::ArrowUp), take(Key::ArrowDown), take(Key::Enter))
        });
        let edit = TextEdit::singleline(&mut typed).hint_text("Type a command").desired_width(f32::INFINITY);
        let response = ui.add(edit.margin(egui::Margin::symmetric(10, 8))).accessible_name("Command");
        super::first(&response);
        if up || down {
            response.request_focus();
        }
        let found = found(&typed);
        if response.changed() {
            marked = 0;
        }
        let last = found.len().saturating_sub(1);
        marked = match (up, down) {
            (true, _) => marked.saturating_sub(1),
            (_, true) => (marked + 1).min(last),
            _ => marked.min(last),
        };
        ui.add_space(6.0);
        if found.is_empty() {
            ui.weak("No matching commands.");
        }
        ScrollArea::vertical().max_height(320.0).show(ui, |ui| {
            for (row, command) in found.iter().enumerate() {
                let why_not = app.why_not(*command);
                let response = entry(ui, *command, row == marked, why_not);
                // Tab marks, too.
                if response.has_focus() && marked != row {
                    marked = row;
                    ui.ctx().request_repaint();
                }
                if row == marked && (up || down) {
                    response.scroll_to_me(None);
                }
                if response.clicked() || (row == marked && enter && why_not.is_none()) {
                    chosen = Some(*command);
                }
            }
        });
        if let Some(command) = found.get(marked) {
            ui.add_space(6.0);
            ui.weak(app.why_not(*command).unwrap_or(command.tooltip()));
        }
    });
    let now = Palette { typed, marked };
    if chosen.is_some() || modal.should_close() {
        view.act(Action::CloseModal);
    } else if now != *palette {
        view.act(Action::Palette(now));
    }
    if let Some(command) = chosen {
        view.command(command);
    }
}

/// The commands that answer to what was typed, the best first.
fn found(typed: &str) -> Vec<Command> {
    let mut found: Vec<_> =
        commands().filter_map(|command| Some((match_name(command.label(), typed)?, command))).collect();
    // Those of one distance stay in the order of the menus.
    found.sort_by_key(|(distance, _)| *distance);
    found.into_iter().map(|(_, command)| command).collect()
}

fn entry(ui: &mut Ui, command: Command, marked: bool, why_not: Option<&str>) -> egui::Response {
    let button = Button::selectable(marked, command.label()).shortcut_text(command.keys(ui.ctx()));
    let layout = Layout::top_down_justified(Align::Min);
    ui.with_layout(layout, |ui| ui.add_enabled(why_not.is_none(), button)).inner
}

/// How well a command's name answers to what was typed, the best 0; `None` if it does not. The letters must come in
/// the name in their order; those that begin a word or follow each other count most.
fn match_name(name: &str, typed: &str) -> Option<u32> {
    let mut letters = name.chars().flat_map(char::to_lowercase).enumerate();
    let mut distance = 0;
    let mut last = None;
    let mut before = ' ';
    for wanted in typed.chars().flat_map(char::to_lowercase).filter(|c| !c.is_whitespace()) {
        loop {
            let (at, letter) = letters.next()?;
            let starts_word = !before.is_alphanumeric();
            before = letter;
            if letter == wanted {
                let follows = last.is_some_and(|last| last + 1 == at);
                distance += if follows || starts_word { 0 } else { 4 } + at as u32 / 8;
                last = Some(at);
                break;
            }
        }
    }
    Some(distance)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_letters_find_a_command() {
        for (typed, expected) in [
            ("side by", Command::SideBySide),
            ("sbs", Command::SideBySide),
            ("qs", Command::QuickSave),
            ("dark", Command::ThemeDark),
            ("anim", Command::Animate),
            ("NEW", Command::Dice),
        ] {
            assert_eq!(found(typed).first(), Some(&expected), "{typed:?}");
        }
        assert_eq!(match_name("Quit", "quite"), None);
        assert!(commands().all(|command| match_name(command.label(), "").is_some()), "nothing typed, nothing left out");
    }
}
