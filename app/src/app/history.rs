//! Undo and redo of what decides the picture: prompts, seeds, and the settings at the side. One history for all of them,
//! typed words included: the text fields' own undo is switched off by [`super::Command`] taking its keys first. Views,
//! folders and looks are not undone. A control that decides the picture goes into [`with_picture_of`] and [`changed`].

use std::collections::VecDeque;

use super::Controls;

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
    before: VecDeque<Controls>,
    present: Controls,
    /// The last undone is the last.
    after: Vec<Controls>,
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
        field: u32,
        at: f64,
        /// Whether letters were added, or taken away.
        adds: bool,
        /// Where the last of them was, in bytes.
        end: usize,
    },
    /// One setting; while a mouse button is held it is a drag.
    Setting { field: u32, at: f64, held: bool },
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
    pub fn new(controls: &Controls) -> Self {
        Self { present: controls.clone(), ..Self::default() }
    }

    /// Takes in what a person did in the last frame: the same word, or the same drag, is the same step.
    pub fn observe(&mut self, moment: Moment, controls: &Controls) {
        let field = changed(&self.present, controls);
        if let (Some(old), Some(new), false) = (text(&self.present, field), text(controls, field), moment.pasted) {
            // A slow frame brings letters of two words, or of some.
            let edit = edit(old, new);
            let end = edit.start + edit.added.len();
            let begins: Vec<_> = word_begins(new, edit.start, end).filter(|begin| *begin > edit.start).collect();
            if edit.removed.is_empty() && begins.len() <= MOST_WORDS {
                for begin in begins {
                    let part = [&new[..begin], &new[end..]].concat();
                    self.take_in(moment, &with_text(controls, field, part));
                }
            }
        }
        self.take_in(moment, controls);
    }

    fn take_in(&mut self, moment: Moment, controls: &Controls) {
        let Moment { now, held, .. } = moment;
        let field = changed(&self.present, controls);
        if field == 0 {
            if let Step::Setting { held: was_held, .. } = &mut self.step {
                *was_held &= held;
            }
            return;
        }
        let (step, merges) = match (text(&self.present, field), text(controls, field)) {
            (Some(old), Some(new)) => self.typed(now, field, &edit(old, new), new),
            _ if field.count_ones() > 1 => (Step::Whole, false),
            _ => {
                let merges = matches!(self.step, Step::Setting { field: same, at, held: dragged }
                    if same == field && (dragged || !held && now - at < REPEAT));
                (Step::Setting { field, at: now, held }, merges)
            }
        };
        if merges {
            self.after.clear();
            self.present = controls.clone();
        } else {
            self.push(controls);
        }
        self.step = step;
    }

    /// Takes in what a command did: a step by itself.
    pub fn observe_whole(&mut self, controls: &Controls) {
        if changed(&self.present, controls) != 0 {
            self.push(controls);
            self.step = Step::Whole;
        }
    }

    /// Takes in what another model changed, which is no step: its picture sizes and its guidance are its own, in what was
    /// before, too.
    pub fn adopt(&mut self, controls: &Controls) {
        let guidance = self.present.guidance.to_bits();
        for other in self.before.iter_mut().chain(&mut self.after) {
            other.size = controls.size;
            if other.guidance.to_bits() == guidance {
                other.guidance = controls.guidance;
            }
        }
        self.present = controls.clone();
    }

    /// Whether there is anything to undo.
    pub fn has_undo(&self) -> bool {
        !self.before.is_empty()
    }

    /// Whether there is anything to redo.
    pub fn has_redo(&self) -> bool {
        !self.after.is_empty()
    }

    /// What was set before the latest step, in `controls`; nothing where there was no step.
    pub fn undo(&mut self, controls: &Controls) -> Option<Controls> {
        let earlier = self.before.pop_back()?;
        self.after.push(std::mem::replace(&mut self.present, earlier));
        self.step = Step::Whole;
        Some(with_picture_of(controls, &self.present))
    }

    /// What was set before it was undone, in `controls`.
    pub fn redo(&mut self, controls: &Controls) -> Option<Controls> {
        let later = self.after.pop()?;
        self.before.push_back(std::mem::replace(&mut self.present, later));
        self.step = Step::Whole;
        Some(with_picture_of(controls, &self.present))
    }

    fn push(&mut self, controls: &Controls) {
        self.after.clear();
        self.before.push_back(std::mem::replace(&mut self.present, controls.clone()));
        if self.before.len() > MOST {
            self.before.pop_front();
        }
    }

    /// The step that an edit makes, and whether it goes on with the one before.
    fn typed(&self, now: f64, field: u32, edit: &Edit, new: &str) -> (Step, bool) {
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

/// `controls`, with everything that decides the picture as it is in `other`.
fn with_picture_of(controls: &Controls, other: &Controls) -> Controls {
    Controls {
        prompt: other.prompt.clone(),
        second_prompt: other.second_prompt.clone(),
        negative_prompt: other.negative_prompt.clone(),
        prompt_mix: other.prompt_mix,
        seed: other.seed,
        second_seed: other.second_seed,
        seed_mix: other.seed_mix,
        size: other.size,
        variations: other.variations,
        spread: other.spread,
        steps: other.steps,
        guidance: other.guidance,
        decoder: other.decoder,
        sampler: other.sampler,
        baseline_steps: other.baseline_steps,
        baseline_guidance: other.baseline_guidance,
        ..controls.clone()
    }
}

/// Which of them differ, a bit for each; the first three are texts.
fn changed(a: &Controls, b: &Controls) -> u32 {
    let same = |a: f32, b: f32| a.to_bits() == b.to_bits();
    let fields = [
        a.prompt == b.prompt,
        a.second_prompt == b.second_prompt,
        a.negative_prompt == b.negative_prompt,
        same(a.prompt_mix, b.prompt_mix),
        a.seed == b.seed,
        a.second_seed == b.second_seed,
        same(a.seed_mix, b.seed_mix),
        a.size == b.size,
        a.variations == b.variations,
        same(a.spread, b.spread),
        a.steps == b.steps,
        same(a.guidance, b.guidance),
        a.decoder == b.decoder,
        a.sampler == b.sampler,
        a.baseline_steps == b.baseline_steps,
        a.baseline_guidance.map(f32::to_bits) == b.baseline_guidance.map(f32::to_bits),
    ];
    fields.iter().enumerate().filter(|(_, same)| !**same).map(|(index, _)| 1 << index).sum()
}

/// The text that a bit of [`changed`] stands for, where it is one.
fn text(controls: &Controls, field: u32) -> Option<&str> {
    match field {
        1 => Some(&controls.prompt),
        2 => Some(&controls.second_prompt),
        4 => Some(&controls.negative_prompt),
        _ => None,
    }
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

fn with_text(controls: &Controls, field: u32, text: String) -> Controls {
    let mut controls = controls.clone();
    match field {
        1 => controls.prompt = text,
        2 => controls.second_prompt = text,
        _ => controls.negative_prompt = text,
    }
    controls
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
