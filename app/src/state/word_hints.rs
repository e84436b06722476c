//! Which words of the prompt the model does not know, and what to offer for them. The engine finds the unknown words; the
//! panel that shows them is `panels/vocabulary.rs`.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use instaflow_engine::protocol::Words;
use strsim::osa_distance;

use super::history::edit;
use super::{App, Focus};

/// Words that are offered for an unknown one.
const OFFERS: usize = 6;
/// Examples that are offered to someone who has typed nothing yet.
const EXAMPLES: usize = 3;

/// What is open and remembered for the moment around the words.
#[derive(Default)]
pub(crate) struct WordHints {
    /// What was typed to find a word.
    pub find: String,
    /// The prompt for which examples were asked for.
    examples_for: Option<String>,
    offers: Cell<Option<Offers>>,
}

/// What was last offered, and for what.
struct Offers {
    word: String,
    of: Arc<Words>,
    found: Arc<[String]>,
}

/// An unknown word of the prompt, and what to do about it.
pub(crate) struct Hint {
    /// Where it is, in bytes of the prompt.
    pub word: Range<usize>,
    /// Known words to take in its place, the best first.
    pub offers: Arc<[String]>,
    /// Whether the offers begin with what stands there: it may be half typed.
    pub half_typed: bool,
    /// Unknown words beside it.
    pub others: usize,
}

impl App {
    /// The words that the model knows, if they are few enough to name.
    pub(crate) fn words(&self) -> Option<&Arc<Words>> {
        self.models.live_card()?.words.as_ref()
    }

    /// Why there are no words to show, or `None` if there are.
    pub(super) fn no_words(&self) -> Option<&'static str> {
        match (&self.models.open, self.words()) {
            (None, _) => Some("No model is open."),
            (Some(_), None) => Some("This model knows too many words to list: type what you like."),
            _ => None,
        }
    }

    /// Why there are no examples to show, or `None` if there are.
    pub(super) fn no_examples(&self) -> Option<&'static str> {
        let none = self.words().is_none_or(|words| words.examples.is_empty());
        none.then_some("This model has no examples.")
    }

    /// Where the unknown words of the prompt are: by the count of a moment ago, moved along with what was typed since.
    pub(crate) fn unknown_words(&self) -> Vec<Range<usize>> {
        moved(&self.prompt.tokens.unknown, &self.prompt.tokens.prompt, &self.controls.recipe.prompt)
    }

    /// Those of them to underline: all but a word at the caret that may be the beginning of a known one.
    pub(crate) fn underlined_words(&self, prompt: &str, caret: Option<usize>) -> Vec<Range<usize>> {
        let mut unknown = moved(&self.prompt.tokens.unknown, &self.prompt.tokens.prompt, prompt);
        unknown.retain(|word| caret != Some(word.end) || !self.may_grow(&prompt[word.clone()]));
        unknown
    }

    /// The words that are underlined.
    pub fn underlined(&self) -> impl Iterator<Item = &str> {
        let prompt = &self.controls.recipe.prompt;
        self.underlined_words(prompt, self.prompt.typing.caret).into_iter().map(|word| &prompt[word])
    }

    /// The prompt whose tokens and words were last counted.
    pub fn counted_prompt(&self) -> &str {
        &self.prompt.tokens.prompt
    }

    /// The unknown word to speak of: the one at the caret, or the first.
    pub(crate) fn hint(&self) -> Option<Hint> {
        let known = self.words()?.clone();
        let unknown = self.unknown_words();
        let at_caret =
            |word: &&Range<usize>| self.prompt.typing.caret.is_some_and(|at| word.start <= at && at <= word.end);
        let word = unknown.iter().find(at_caret).or(unknown.first())?.clone();
        let half_typed =
            self.prompt.typing.caret == Some(word.end) && self.may_grow(&self.controls.recipe.prompt[word.clone()]);
        let text = self.controls.recipe.prompt[word.clone()].to_lowercase();
        let old = self.prompt.hints.offers.take().filter(|old| old.word == text && Arc::ptr_eq(&old.of, &known));
        let offers = old.unwrap_or_else(|| Offers { found: offers(&text, &known.known).into(), word: text, of: known });
        let found = offers.found.clone();
        self.prompt.hints.offers.set(Some(offers));
        Some(Hint { word, offers: found, half_typed, others: unknown.len() - 1 })
    }

    /// Puts a known word in the place of one in the prompt.
    pub(crate) fn replace_word(&mut self, word: Range<usize>, by: &str) {
        let mut prompt = self.controls.recipe.prompt.clone();
        // Typed in the same frame, the word may be elsewhere.
        if prompt.get(word.clone()).is_none() {
            return;
        }
        prompt.replace_range(word.clone(), by);
        self.set_prompt(prompt);
        self.prompt.typing.caret_to = Some(word.start + by.len());
        self.widgets.focus = Some(Focus::Prompt);
    }

    /// Why no word can be completed, or `None` if one can.
    pub(super) fn no_completion(&self) -> Option<&'static str> {
        let at_end = |word: &Range<usize>| {
            self.prompt.typing.caret == Some(word.end) && self.may_grow(&self.controls.recipe.prompt[word.clone()])
        };
        let none = !self.unknown_words().iter().any(at_end);
        none.then_some("There is no word at the cursor that can be completed.")
    }

    /// Completes the word at the caret.
    pub(super) fn complete_word(&mut self) {
        if let Some(Hint { word, offers, half_typed: true, .. }) = self.hint()
            && let Some(first) = offers.first()
        {
            self.replace_word(word, first);
        }
    }

    /// Adds a phrase to the prompt's end.
    pub(crate) fn add_phrase(&mut self, phrase: &str) {
        let mut prompt = self.controls.recipe.prompt.clone();
        if !prompt.is_empty() && !prompt.ends_with(char::is_whitespace) {
            prompt.push(' ');
        }
        prompt.push_str(phrase);
        self.set_prompt(prompt);
    }

    /// The examples to show: while nothing was typed, or somebody asked for them and has not typed since.
    pub fn examples(&self) -> &[String] {
        let Some(words) = self.words() else { return &[] };
        let prompt = &self.controls.recipe.prompt;
        let shown = &words.examples[..words.examples.len().min(EXAMPLES)];
        let asked = self.prompt.hints.examples_for.as_ref() == Some(prompt);
        if asked || prompt.trim().is_empty() || shown.contains(prompt) { shown } else { &[] }
    }

    /// Shows the examples, or no longer.
    pub(super) fn toggle_examples(&mut self) {
        let prompt = &self.controls.recipe.prompt;
        let shown = self.prompt.hints.examples_for.as_ref() == Some(prompt);
        self.prompt.hints.examples_for = (!shown).then(|| prompt.clone());
    }

    /// Whether a known word begins with this one.
    fn may_grow(&self, word: &str) -> bool {
        let text = word.to_lowercase();
        self.words().is_some_and(|words| beginning_with(&text, &words.known).next().is_some())
    }
}

/// Ranges of an old text in the new one; those that were changed are left out.
fn moved(ranges: &[Range<usize>], old: &str, new: &str) -> Vec<Range<usize>> {
    if old == new {
        return ranges.to_vec();
    }
    let edit = edit(old, new);
    let after = edit.start + edit.removed.len();
    let stays = |range: &&Range<usize>| range.end <= edit.start || range.start >= after;
    let place = |range: &Range<usize>| {
        let shift = |at: usize| if range.start >= after { at - edit.removed.len() + edit.added.len() } else { at };
        shift(range.start)..shift(range.end)
    };
    ranges.iter().filter(stays).map(place).collect()
}

/// What to offer for an unknown word: known words that begin with it, the shortest first; if there are none, those
/// that are a few slips of the finger away, the nearest first.
fn offers(word: &str, known: &BTreeSet<String>) -> Vec<String> {
    let mut longer: Vec<&String> = beginning_with(word, known).collect();
    longer.sort_by_key(|known| known.len());
    if longer.is_empty() {
        let letters = word.chars().count();
        // Two slips in a word of four letters make any word of any other.
        let most = if letters < 4 { 1 } else { 1 + letters.min(9) / 4 };
        let near = known.iter().filter(|known| known.chars().count().abs_diff(letters) <= most && known.len() > 1);
        let mut near: Vec<_> =
            near.map(|known| (osa_distance(word, known), known)).filter(|(far, _)| *far <= most).collect();
        near.sort_by_key(|(far, _)| *far);
        longer = near.into_iter().map(|(_, known)| known).collect();
    }
    longer.truncate(OFFERS);
    longer.into_iter().cloned().collect()
}

fn beginning_with<'a>(word: &'a str, known: &'a BTreeSet<String>) -> impl Iterator<Item = &'a String> {
    known
        .range::<str, _>((std::ops::Bound::Excluded(word), std::ops::Bound::Unbounded))
        .take_while(move |known| known.starts_with(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known() -> BTreeSet<String> {
        ["a", "at", "cabin", "lake", "moon", "moonlight", "mountain", "mountains", "sailboat", "sea", "sunset", "sunny"]
            .map(str::to_owned)
            .into()
    }

    #[test]
    fn a_beginning_is_completed_and_a_slip_mended() {
        for (word, expected) in [
            ("mou", &["mountain", "mountains"][..]),
            ("moon", &["moonlight"]),
            ("moutnain", &["mountain", "mountains"]),
            ("lkae", &["lake"]),
            ("sunet", &["sunset", "sunny"]),
            ("saliboat", &["sailboat"]),
            ("unicorn", &[]),
            ("山", &[]),
        ] {
            assert_eq!(offers(word, &known()), expected, "{word}");
        }
        assert!(offers(&"moon".repeat(5000), &known()).is_empty());
    }

    #[test]
    fn ranges_move_with_what_is_typed_around_them() {
        let old = "a fox by a dog";
        let ranges = [2..5, 11..14];
        let words = |new: &str| {
            let moved = moved(&ranges, old, new);
            moved.into_iter().map(|range| new[range].to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(words("a fox by a dog"), ["fox", "dog"]);
        assert_eq!(words("a fox by a dog at night"), ["fox", "dog"]);
        assert_eq!(words("été, a fox by a dog"), ["fox", "dog"]);
        assert_eq!(words("a fox near a dog"), ["fox", "dog"]);
        assert_eq!(words("a fir by a dog"), ["dog"], "what was changed is not known to be unknown");
        assert_eq!(words(""), [""; 0]);
    }

    #[test]
    fn moved_ranges_lie_between_letters_whatever_was_typed() {
        let texts =
            ["", "é", "ée\u{301}e", "山 fox 山", "🦊🦊 fox", "fox 🦊 fox fox", "x 山 fox🦊", "\n\nfox\t", "foxfox fox"];
        for old in texts {
            let ranges: Vec<_> = instaflow_engine::text::words_of(old).collect();
            for new in texts {
                for range in moved(&ranges, old, new) {
                    let word = new.get(range.clone()).unwrap_or_else(|| panic!("{range:?} of {new:?}, from {old:?}"));
                    assert!(ranges.iter().any(|old_range| &old[old_range.clone()] == word), "{word:?} was in {old:?}");
                }
            }
        }
    }
}
