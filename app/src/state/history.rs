//! Undo and redo of the [`Recipe`], which is what decides the picture. Typed words and settings share one history: the
//! text fields' own undo never runs, because [`super::Command`] takes its keys first. Views, folders and looks are not
//! undone.

use std::collections::VecDeque;

use super::recipe::{Changed, Recipe, TextField};

/// Steps that can be undone.
const MOST: usize = 200;
/// Words that a person types in one frame, at most; more of them are one step.
const MOST_WORDS: usize = 4;
/// Seconds after which the next letter is a step of its own.
const PAUSE: f64 = 1.0;
/// Seconds within which the same setting, changed by keys, is the same step.
const REPEAT: f64 = 0.5;

/// What was, what is, and what was undone.
#[derive(Debug, Default)]
pub(super) struct History {
    before: VecDeque<Recipe>,
    present: Recipe,
    /// The last undone is the last.
    after: Vec<Recipe>,
    step: Step,
}

/// What the latest step is made of, as far as more may belong to it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum Step {
    /// Nothing more belongs to it.
    #[default]
    Whole,
    /// Letters in one text field.
    Typing {
        field: TextField,
        at: f64,
        /// Whether letters were added, or taken away.
        adds: bool,
        /// Where the last of them was, in bytes.
        end: usize,
    },
    /// One setting; while a mouse button is held it is a drag.
    Setting { which: usize, at: f64, held: bool },
}

/// When something was done, and how.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Moment {
    /// In egui's time.
    pub now: f64,
    /// Whether a mouse button is down.
    pub held: bool,
    /// Whether text was pasted.
    pub pasted: bool,
}

/// What was put in the place of what, between what stayed on both sides.
pub(super) struct Edit<'a> {
    pub start: usize,
    pub removed: &'a str,
    pub added: &'a str,
}

impl History {
    /// Begins with what is set; that cannot be undone.
    pub fn new(recipe: &Recipe) -> Self {
        Self { present: recipe.clone(), ..Self::default() }
    }

    /// Takes in what a person did in the last frame: the same word, or the same drag, is the same step.
    pub fn observe(&mut self, moment: Moment, recipe: &Recipe) {
        if let (Changed::Text(field), false) = (self.present.changed(recipe), moment.pasted) {
            let (old, new) = (self.present.text(field), recipe.text(field));
            // A slow frame brings letters of two words, or of some.
            let edit = edit(old, new);
            let end = edit.start + edit.added.len();
            let begins: Vec<_> = word_begins(new, edit.start, end).filter(|begin| *begin > edit.start).collect();
            if edit.removed.is_empty() && begins.len() <= MOST_WORDS {
                for begin in begins {
                    let mut part = recipe.clone();
                    *part.text_mut(field) = [&new[..begin], &new[end..]].concat();
                    self.take_in(moment, &part);
                }
            }
        }
        self.take_in(moment, recipe);
    }

    fn take_in(&mut self, moment: Moment, recipe: &Recipe) {
        let Moment { now, held, .. } = moment;
        let (step, merges) = match self.present.changed(recipe) {
            Changed::Nothing => {
                if let Step::Setting { held: was_held, .. } = &mut self.step {
                    *was_held &= held;
                }
                return;
            }
            Changed::Text(field) => {
                let (old, new) = (self.present.text(field), recipe.text(field));
                self.typed(now, field, &edit(old, new), new)
            }
            Changed::Setting(which) => {
                let merges = matches!(self.step, Step::Setting { which: same, at, held: dragged }
                    if same == which && (dragged || !held && now - at < REPEAT));
                (Step::Setting { which, at: now, held }, merges)
            }
            Changed::Several => (Step::Whole, false),
        };
        if merges {
            self.after.clear();
            self.present = recipe.clone();
        } else {
            self.push(recipe);
        }
        self.step = step;
    }

    /// Takes in what a command did: a step by itself.
    pub fn observe_whole(&mut self, recipe: &Recipe) {
        if self.present.changed(recipe) != Changed::Nothing {
            self.push(recipe);
            self.step = Step::Whole;
        }
    }

    /// Takes in what another model changed, which is no step: its picture sizes and its guidance are its own, in what was
    /// before, too.
    pub fn adopt(&mut self, recipe: &Recipe) {
        let guidance = self.present.guidance.to_bits();
        for other in self.before.iter_mut().chain(&mut self.after) {
            other.size = recipe.size;
            if other.guidance.to_bits() == guidance {
                other.guidance = recipe.guidance;
            }
        }
        self.present = recipe.clone();
    }

    /// Whether there is anything to undo.
    pub fn has_undo(&self) -> bool {
        !self.before.is_empty()
    }

    /// Whether there is anything to redo.
    pub fn has_redo(&self) -> bool {
        !self.after.is_empty()
    }

    /// What was set before the latest step; nothing if there was no step.
    pub fn undo(&mut self) -> Option<Recipe> {
        let earlier = self.before.pop_back()?;
        self.after.push(std::mem::replace(&mut self.present, earlier));
        self.step = Step::Whole;
        Some(self.present.clone())
    }

    /// What was set before it was undone.
    pub fn redo(&mut self) -> Option<Recipe> {
        let later = self.after.pop()?;
        self.before.push_back(std::mem::replace(&mut self.present, later));
        self.step = Step::Whole;
        Some(self.present.clone())
    }

    fn push(&mut self, recipe: &Recipe) {
        self.after.clear();
        self.before.push_back(std::mem::replace(&mut self.present, recipe.clone()));
        if self.before.len() > MOST {
            self.before.pop_front();
        }
    }

    /// The step that an edit makes, and whether it goes on with the one before.
    fn typed(&self, now: f64, field: TextField, edit: &Edit, new: &str) -> (Step, bool) {
        let adds = !edit.added.is_empty();
        let end = edit.start + edit.added.len();
        let step = Step::Typing { field, at: now, adds, end };
        let Step::Typing { field: same, at, adds: added, end: last } = self.step else { return (step, false) };
        let goes_on = same == field && now - at < PAUSE && added == adds;
        let joins = if adds {
            edit.removed.is_empty() && edit.start == last && word_begins(new, edit.start, end).next().is_none()
        } else {
            // Backspace stands before the last place, Delete at it.
            edit.start + edit.removed.len() == last || edit.start == last
        };
        (step, goes_on && joins)
    }
}

/// Where two texts differ: the bytes from the first that is another to the last, in the second.
pub(super) fn end_of_change(old: &str, new: &str) -> usize {
    let edit = edit(old, new);
    edit.start + edit.added.len()
}

/// How one text became another.
pub(super) fn edit<'a>(old: &'a str, new: &'a str) -> Edit<'a> {
    let pairs = old.char_indices().zip(new.chars());
    let start = pairs.take_while(|((_, a), b)| a == b).last().map_or(0, |((at, a), _)| at + a.len_utf8());
    let (old, new) = (&old[start..], &new[start..]);
    let pairs = old.chars().rev().zip(new.chars().rev());
    let kept: usize = pairs.take_while(|(a, b)| a == b).map(|(a, _)| a.len_utf8()).sum();
    Edit { start, removed: &old[..old.len() - kept], added: &new[..new.len() - kept] }
}

/// Where words begin between two places: letters after a space, or at the beginning.
fn word_begins(text: &str, start: usize, end: usize) -> impl Iterator<Item = usize> {
    let mut after_space = text[..start].chars().next_back().is_none_or(char::is_whitespace);
    text[start..end].char_indices().filter_map(move |(at, letter)| {
        let begins = after_space && !letter.is_whitespace();
        after_space = letter.is_whitespace();
        begins.then_some(start + at)
    })
}

#[cfg(test)]
#[path = "history_tests.rs"]
mod tests;
