//! Takes over what the person did in a frame: the only place where the panels' edits and actions change the state.

use instaflow_engine::metadata;
use tracing::info_span;

use super::view::{Action, Done};
use super::{App, Focus, Modal};

impl App {
    /// Takes over what was done in the window, does the commands that were asked for, and sends what changed to the
    /// engine.
    pub fn apply(&mut self, done: Done, ctx: &egui::Context) {
        let Done { controls, pan_zoom, actions } = done;
        if controls != self.controls || pan_zoom != self.pan_zoom {
            // Some panels were drawn before the change.
            ctx.request_repaint();
        }
        let before = std::mem::replace(&mut self.controls, controls);
        self.pan_zoom = pan_zoom;
        self.take_pasted_block(ctx, before.recipe.prompt);
        for action in actions {
            self.apply_one(action, ctx);
        }
        self.note_changes(ctx);
        for command in std::mem::take(&mut self.asked) {
            self.perform(command, ctx);
            self.history.observe_whole(&self.controls.recipe);
        }
        info_span!("follow").in_scope(|| self.follow(ctx));
        self.note_prompt(ctx);
        self.follow_kept_pictures(ctx);
        info_span!("remember").in_scope(|| self.remember(ctx));
        if self.jobs.is_writing() {
            ctx.request_repaint_after(std::time::Duration::from_millis(200));
        }
    }

    /// If what was pasted into the prompt is the block of settings that A1111 and its kin show under a picture, offers to
    /// restore it instead.
    fn take_pasted_block(&mut self, ctx: &egui::Context, before: String) {
        if self.controls.recipe.prompt == before {
            return;
        }
        let pasted = ctx.input(|input| {
            input.events.iter().rev().find_map(|event| match event {
                egui::Event::Paste(text) => metadata::a1111_block(text),
                _ => None,
            })
        });
        if let Some(found) = pasted {
            self.set_prompt(before);
            self.offer(ctx, "The picture of the pasted text".to_owned(), metadata::restore(found));
        }
    }

    fn apply_one(&mut self, action: Action, ctx: &egui::Context) {
        // These follow from what was drawn, and change nothing that is.
        if !matches!(action, Action::Place(..) | Action::Caret(_) | Action::Wish(_)) {
            ctx.request_repaint();
        }
        match action {
            Action::Place(pane, place) => self.panes.get_mut(pane).place = place,
            Action::Caret(caret) => {
                if self.prompt.typing.caret != caret {
                    self.prompt.typing.caret = caret;
                    ctx.request_repaint();
                }
            }
            Action::Wish(ids) => self.kept_pictures.wish(ids),
            Action::Do(command) => self.asked.push(command),
            Action::Stop(stop) => self.stop_work(stop),
            Action::Choose(pane) => self.side_by_side.chosen = pane,
            Action::Scrub(step) => self.side_by_side.scrub = step,
            Action::TakeVariation(index) => self.take_over(index),
            Action::CloseBaseline => self.close_baseline(),
            Action::FocusGiven => self.widgets.focus = None,
            Action::CaretPlaced => self.prompt.typing.caret_to = None,
            Action::PromptSelected => self.prompt.typing.select_all = false,
            Action::TakePrompt(prompt) => {
                self.set_prompt(prompt);
                self.widgets.focus = Some(Focus::Prompt);
            }
            Action::ReplaceWord(word, by) => self.replace_word(word, &by),
            Action::AddPhrase(phrase) => self.add_phrase(&phrase),
            Action::FindWord(find) => self.prompt.hints.find = find,
            Action::Kept(act, id) => self.act(ctx, act, id),
            Action::Browse(id) => {
                self.kept_pictures.select(id);
                self.view_selected();
            }
            Action::Select(id) => self.kept_pictures.selected = Some(id),
            Action::Search(query) => self.find_kept(query),
            Action::SearchFocused => self.kept_pictures.find = false,
            Action::SelectionShown => self.kept_pictures.follow = false,
            Action::LeaveKept => self.kept_pictures.viewed = None,
            Action::RetryLibrary => self.kept_pictures.retry(),
            Action::Dismiss(index) => {
                self.notices.messages.remove(index);
            }
            Action::DetailsWithPrompt(with) => self.notices.details_with_prompt = with,
            Action::Notify(text) => self.notify(ctx, text),
            Action::CloseModal => self.modal = None,
            Action::Palette(palette) => self.modal = Some(Modal::Palette(palette)),
            Action::ReplacePrompt => {
                if let Some(Modal::Question(question)) = self.modal.take() {
                    self.restore(ctx, question.restored);
                }
            }
            Action::Models(action) => self.act_on_models(ctx, action),
            Action::AnswerRecipe(prediction) => self.answer_recipe(prediction),
            Action::TurnTo(page) => self.widgets.settings_page = page,
            Action::Reopen(request) => self.open(request),
            Action::AskOutput => self.ask_output(ctx),
            Action::ResetOutput => self.set_output(None),
            Action::TypePattern(typed) => {
                self.widgets.pattern_typed = typed;
                self.take_pattern();
            }
            Action::ResetSettings(pages) => self.reset_settings(ctx, &pages),
            Action::ShowOutside(path) => self.show_outside(path),
        }
    }
}
