//! The prompts that were drawn and looked at for a while, for Alt+Up and Alt+Down. [`App::note_prompt`] decides what
//! counts as one; [`Prompts`] is the list.

use std::time::Duration;

use egui::{Event, ImeEvent};
use instaflow_engine::protocol::{Settings, TokenCount};
use serde::{Deserialize, Serialize};

use super::history::{Moment, end_of_change};
use super::word_hints::WordHints;
use super::{App, Focus};

/// Prompts that are kept.
const MOST: usize = 100;
/// Bytes of a prompt that is kept; longer ones would make every write of the state slow.
const LONGEST: usize = 4096;
/// Seconds after which a drawn prompt was meant.
const REST: f64 = 2.0;

/// Prompts, most recent first, each once.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Prompts(Vec<String>);

/// The prompt field and what is known of the words in it.
pub(crate) struct PromptState {
    pub typing: Typing,
    pub hints: WordHints,
    /// The engine's last count.
    pub tokens: TokenCount,
    /// The settings whose prompt the engine was last asked to count.
    pub counted: Option<Settings>,
    /// The prompts drawn before.
    pub earlier: Prompts,
}

impl PromptState {
    pub fn new(earlier: Prompts) -> Self {
        let (typing, hints, tokens) = (Typing::default(), WordHints::default(), TokenCount::default());
        Self { typing, hints, tokens, counted: None, earlier }
    }
}

/// What goes on in the prompt field; nothing of it is remembered.
#[derive(Debug, Default)]
pub(crate) struct Typing {
    /// The prompt that stands in the field, and since when, in egui's time.
    prompt: String,
    since: f64,
    noted: bool,
    /// An earlier prompt that is looked at.
    recall: Option<Recall>,
    /// Whether an input method has letters in a field that are not decided yet.
    composing: bool,
    /// Where the caret is, in bytes of the prompt, while the field has the keyboard.
    pub caret: Option<usize>,
    /// Where to put the caret in the next frame, in bytes of the prompt.
    pub caret_to: Option<usize>,
    /// Whether to select the whole prompt once the field has the keyboard.
    pub select_all: bool,
}

/// An earlier prompt in the field.
#[derive(Debug)]
struct Recall {
    at: usize,
    /// What was in the field before.
    mine: String,
}

impl Prompts {
    /// All of them, most recent first.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// Puts a prompt at the top. It takes the place of the one there where that was the same with its last word half
    /// typed.
    pub fn add(&mut self, prompt: &str) {
        let prompt = prompt.trim();
        if prompt.is_empty() || prompt.len() > LONGEST {
            return;
        }
        let completes = |half: &String| {
            let rest = prompt.strip_prefix(half.as_str()).unwrap_or_default();
            !rest.is_empty() && rest.chars().all(char::is_alphanumeric)
        };
        if self.0.first().is_some_and(completes) {
            self.0.remove(0);
        }
        self.0.retain(|other| other != prompt);
        self.0.insert(0, prompt.to_owned());
        self.0.truncate(MOST);
    }

    /// The same as this program would have kept it: what a file says need not be.
    pub(super) fn clamped(mut self) -> Self {
        self.0.retain(|prompt| !prompt.trim().is_empty() && prompt.len() <= LONGEST);
        self.0.truncate(MOST);
        self
    }

    /// The next prompt from `from` on, going older, that is another than `now`.
    fn other(&self, from: usize, now: &str) -> Option<usize> {
        (from..self.0.len()).find(|at| self.0[*at] != now.trim())
    }
}

impl App {
    /// Tells the history what the person did in this frame. What an input method has not decided yet is no change.
    pub(super) fn note_changes(&mut self, ctx: &egui::Context) {
        let (moment, composing) = ctx.input(|input| {
            let moment = Moment {
                now: input.time,
                held: input.pointer.any_down(),
                pasted: input.events.iter().any(|event| matches!(event, Event::Paste(_))),
            };
            let composing = input.events.iter().rev().find_map(|event| match event {
                Event::Ime(ImeEvent::Preedit { text, .. }) => Some(!text.is_empty()),
                Event::Ime(ImeEvent::Commit(_)) => Some(false),
                _ => None,
            });
            (moment, composing)
        });
        self.prompt.typing.composing = composing.unwrap_or(self.prompt.typing.composing);
        if !self.prompt.typing.composing {
            self.history.observe(moment, &self.controls.recipe);
        }
    }

    /// The prompts that were drawn and rested on, most recent first.
    pub fn prompts(&self) -> impl Iterator<Item = &str> {
        self.prompt.earlier.iter()
    }

    /// Keeps the prompt once its picture was looked at for a while.
    pub(super) fn note_prompt(&mut self, ctx: &egui::Context) {
        let (now, typing) = (ctx.time(), &mut self.prompt.typing);
        if typing.prompt != self.controls.recipe.prompt {
            typing.prompt.clone_from(&self.controls.recipe.prompt);
            (typing.since, typing.noted) = (now, false);
            // Typing into an earlier prompt makes it one's own.
            let at = typing.recall.as_ref().map(|recall| recall.at);
            if at.is_some_and(|at| self.prompt.earlier.0.get(at) != Some(&typing.prompt)) {
                typing.recall = None;
            }
        }
        let drawn = self.panes.live.finished
            && self.panes.live.picture.as_ref().is_some_and(|picture| picture.settings.prompt == typing.prompt);
        if typing.noted || typing.recall.is_some() || !drawn {
            return;
        }
        let due = typing.since + REST;
        if now < due {
            return ctx.request_repaint_after(Duration::from_secs_f64(due - now));
        }
        typing.noted = true;
        self.prompt.earlier.add(&typing.prompt);
    }

    /// Keeps the prompt as soon as it is drawn: somebody asked for just that.
    pub(super) fn mean_prompt(&mut self) {
        self.prompt.typing.since = f64::NEG_INFINITY;
        self.prompt.typing.recall = None;
    }

    /// Why there is no older, or no newer, prompt to go to.
    pub(super) fn no_recall(&self, older: bool) -> Option<&'static str> {
        let recall = self.prompt.typing.recall.as_ref();
        if older {
            let from = recall.map_or(0, |recall| recall.at + 1);
            let none = self.prompt.earlier.other(from, &self.controls.recipe.prompt).is_none();
            none.then_some("There is no earlier prompt.")
        } else {
            recall.is_none().then_some("There is no later prompt.")
        }
    }

    /// Puts the prompt before this one into the field, or the one after it; at last what was typed comes back.
    pub(super) fn recall_prompt(&mut self, older: bool) {
        let now = &self.controls.recipe.prompt;
        let (at, mine) = match self.prompt.typing.recall.take() {
            None => (self.prompt.earlier.other(0, now).filter(|_| older), now.clone()),
            Some(Recall { at, mine }) if older => (self.prompt.earlier.other(at + 1, now).or(Some(at)), mine),
            Some(Recall { at, mine }) => ((0..at).rev().find(|at| self.prompt.earlier.0[*at] != mine.trim()), mine),
        };
        let prompt = match at {
            Some(at) => {
                self.prompt.typing.recall = Some(Recall { at, mine });
                self.prompt.earlier.0[at].clone()
            }
            None => mine,
        };
        self.widgets.focus = Some(Focus::Prompt);
        self.set_prompt(prompt);
    }

    /// Forgets all prompts but the one in the field.
    pub(super) fn forget_prompts(&mut self) {
        self.prompt.earlier = Prompts::default();
        self.prompt.typing.recall = None;
        // The one in the field is not put back before it is another.
        self.prompt.typing.noted = true;
    }

    /// Puts another prompt into the field, and the caret behind the word where it differs.
    pub(crate) fn set_prompt(&mut self, prompt: String) {
        let end = end_of_change(&self.controls.recipe.prompt, &prompt);
        let rest = prompt[end..].find(|letter: char| !letter.is_alphanumeric()).unwrap_or(prompt.len() - end);
        self.prompt.typing.caret_to = Some(end + rest);
        self.controls.recipe.prompt = prompt;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prompts(all: &[&str]) -> Prompts {
        Prompts(all.iter().map(|prompt| (*prompt).to_owned()).collect())
    }

    #[test]
    fn each_prompt_stands_once_the_most_recent_first() {
        let mut kept = Prompts::default();
        for prompt in ["lake", "sea", " lake ", "", "  \n"] {
            kept.add(prompt);
        }
        assert_eq!(kept, prompts(&["lake", "sea"]));
    }

    #[test]
    fn a_half_typed_word_gives_way_to_the_whole_one() {
        let mut kept = Prompts::default();
        for prompt in ["a snowy mount", "a snowy mountain", "a snowy mountain at night"] {
            kept.add(prompt);
        }
        assert_eq!(kept, prompts(&["a snowy mountain at night", "a snowy mountain"]));
    }

    #[test]
    fn the_list_is_bounded() {
        let mut kept = Prompts::default();
        for number in 0..2 * MOST {
            kept.add(&format!("prompt {number}."));
        }
        kept.add(&"x".repeat(LONGEST + 1));
        assert_eq!(kept.0.len(), MOST);
        assert_eq!(kept.0[0], format!("prompt {}.", 2 * MOST - 1));
        let odd = prompts(&["", "lake", &"y".repeat(LONGEST + 1)]).clamped();
        assert_eq!(odd, prompts(&["lake"]));
    }
}
