//! A person changes a recipe, and the history is told second by second.

use super::*;
use instaflow_test_support::{Tolerance, assert_close};

/// A recipe that is changed, and the history that sees it.
struct Person {
    recipe: Recipe,
    history: History,
    now: f64,
}

impl Person {
    fn new() -> Self {
        let recipe = Recipe::default();
        Self { history: History::new(&recipe), recipe, now: 0.0 }
    }

    fn wait(&mut self, seconds: f64) {
        self.now += seconds;
    }

    fn change(&mut self, held: bool, change: impl FnOnce(&mut Recipe)) {
        change(&mut self.recipe);
        self.history.observe(Moment { now: self.now, held, pasted: false }, &self.recipe);
        self.now += 0.05;
    }

    fn pastes(&mut self, change: impl FnOnce(&mut Recipe)) {
        change(&mut self.recipe);
        self.history.observe(Moment { now: self.now, held: false, pasted: true }, &self.recipe);
    }

    fn types(&mut self, text: &str) {
        for letter in text.chars() {
            self.change(false, |recipe| recipe.prompt.push(letter));
        }
    }

    fn backspace(&mut self, times: usize) {
        for _ in 0..times {
            self.change(false, |recipe| {
                recipe.prompt.pop();
            });
        }
    }

    fn undo(&mut self) -> Option<&str> {
        self.recipe = self.history.undo()?;
        Some(&self.recipe.prompt)
    }

    fn redo(&mut self) -> Option<&str> {
        self.recipe = self.history.redo()?;
        Some(&self.recipe.prompt)
    }
}

#[test]
fn typing_is_undone_word_by_word() {
    let mut person = Person::new();
    person.types("a snowy hill");
    assert_eq!(person.undo(), Some("a snowy "));
    assert_eq!(person.undo(), Some("a "));
    assert_eq!(person.undo(), Some(""));
    assert_eq!(person.undo(), None, "the beginning stays");
    assert_eq!(person.redo(), Some("a "));
    assert_eq!(person.redo(), Some("a snowy "));
    assert_eq!(person.redo(), Some("a snowy hill"));
    assert_eq!(person.redo(), None);
}

#[test]
fn words_that_one_frame_brings_are_steps_all_the_same() {
    let mut person = Person::new();
    person.types("a snow");
    person.change(false, |recipe| recipe.prompt.push_str("y hill at ni"));
    assert_eq!(person.undo(), Some("a snowy hill at "));
    assert_eq!(person.undo(), Some("a snowy hill "));
    assert_eq!(person.undo(), Some("a snowy "));
    assert_eq!(person.undo(), Some("a "));
}

#[test]
fn a_pause_within_a_word_is_a_step() {
    let mut person = Person::new();
    person.types("snow");
    person.wait(2.0);
    person.types("y");
    assert_eq!(person.undo(), Some("snow"));
    assert_eq!(person.undo(), Some(""));
}

#[test]
fn deleting_is_a_step_of_its_own() {
    let mut person = Person::new();
    person.types("lakes");
    person.backspace(3);
    person.types("nd");
    assert_eq!(person.undo(), Some("la"));
    assert_eq!(person.undo(), Some("lakes"));
    assert_eq!(person.undo(), Some(""));
}

#[test]
fn typing_elsewhere_or_into_another_field_is_another_step() {
    let mut person = Person::new();
    person.types("ake");
    person.change(false, |recipe| recipe.prompt.insert(0, 'l'));
    person.change(false, |recipe| recipe.second_prompt.push('x'));
    person.change(false, |recipe| recipe.prompt.push('s'));
    assert_eq!(person.undo(), Some("lake"));
    assert_eq!(person.undo(), Some("lake"));
    assert_eq!(person.recipe.second_prompt, "");
    assert_eq!(person.undo(), Some("ake"));
}

#[test]
fn what_is_pasted_is_one_step() {
    let mut person = Person::new();
    person.types("a ");
    person.pastes(|recipe| recipe.prompt.push_str("lake at night"));
    person.pastes(|recipe| recipe.prompt.replace_range(2..6, "été"));
    assert_eq!(person.recipe.prompt, "a été at night");
    assert_eq!(person.undo(), Some("a lake at night"));
    assert_eq!(person.undo(), Some("a "));
}

#[test]
fn a_drag_is_one_step_however_long_it_takes() {
    let mut person = Person::new();
    for step in 1..=20 {
        person.change(true, |recipe| recipe.steps = step);
        person.wait(1.0);
        person.change(true, |_| ());
    }
    person.change(false, |_| ());
    for step in 21..=25 {
        person.change(true, |recipe| recipe.steps = step - 20);
    }
    person.undo();
    assert_eq!(person.recipe.steps, 20, "the second drag is undone by itself");
    person.undo();
    assert_eq!(person.recipe.steps, Recipe::default().steps);
    assert_eq!(person.undo(), None);
}

#[test]
fn keys_that_repeat_are_one_step_and_commands_never() {
    let mut person = Person::new();
    for _ in 0..5 {
        person.change(false, |recipe| recipe.guidance += 0.1);
    }
    for seed in [7, 8] {
        person.recipe.seed = seed;
        person.history.observe_whole(&person.recipe);
    }
    person.undo();
    assert_eq!(person.recipe.seed, 7);
    person.undo();
    assert_eq!(person.recipe.seed, 0);
    person.undo();
    assert_close(person.recipe.guidance, Recipe::default().guidance, Tolerance::EXACT);
    assert_eq!(person.undo(), None);
}

#[test]
fn after_the_prompt_the_setting_before_it_is_undone() {
    let mut person = Person::new();
    person.change(false, |recipe| recipe.seed = 9);
    person.wait(3.0);
    person.types("sea");
    assert_eq!(person.undo(), Some(""));
    assert_eq!(person.recipe.seed, 9);
    person.undo();
    assert_eq!(person.recipe.seed, 0);
}

#[test]
fn something_new_ends_what_could_be_redone() {
    let mut person = Person::new();
    person.types("a b");
    person.undo();
    assert!(person.history.has_redo());
    person.types("c");
    assert!(!person.history.has_redo());
    assert_eq!(person.redo(), None);
    assert_eq!(person.recipe.prompt, "a c");
}

#[test]
fn it_is_bounded_and_keeps_the_latest() {
    let mut person = Person::new();
    for seed in 1..=(MOST as u64 + 50) {
        person.recipe.seed = seed;
        person.history.observe_whole(&person.recipe);
    }
    while person.undo().is_some() {}
    assert_eq!(person.recipe.seed, 50);
}

#[test]
fn another_model_takes_its_sizes_out_of_the_history() {
    let mut person = Person::new();
    person.change(false, |recipe| recipe.size = Some((64, 64)));
    person.change(false, |recipe| recipe.seed = 1);
    (person.recipe.size, person.recipe.guidance) = (None, 5.0);
    person.history.adopt(&person.recipe);
    assert_eq!(person.undo(), Some(""));
    assert_eq!((person.recipe.seed, person.recipe.size), (0, None));
    assert_close(person.recipe.guidance, 5.0, Tolerance::EXACT);
}

#[test]
fn where_texts_differ() {
    for (old, new, end) in
        [("", "", 0), ("lake", "lake", 4), ("a lake", "a sea", 5), ("é", "éa", 3), ("aa", "a", 1), ("x", "", 0)]
    {
        assert_eq!(end_of_change(old, new), end, "{old:?} to {new:?}");
    }
}
