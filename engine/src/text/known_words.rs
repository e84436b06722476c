//! The words of a prompt, and which of them a model does not know. A model knows the words in its `vocabulary.json`. If it
//! has no such file but its tokenizer was trained on whole words ([`whole_words`]), it knows the words of one token each.

use std::collections::{BTreeSet, HashSet};
use std::ops::Range;

/// Largest vocabulary that may be a list of whole words, in ids. CLIP's has 49,408.
const SMALL: usize = 8192;

/// The byte ranges of the words of a text. A word is a run of letters and digits. Letters after an apostrophe ("lake's")
/// are not a word of their own.
pub fn words_of(text: &str) -> impl Iterator<Item = Range<usize>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        loop {
            let start = at + text[at..].find(char::is_alphanumeric)?;
            let end = text[start..].find(|c: char| !c.is_alphanumeric()).map_or(text.len(), |length| start + length);
            at = end;
            let before = text[..start].strip_suffix(['\'', '’']);
            if !before.is_some_and(|before| before.ends_with(char::is_alphanumeric)) {
                return Some(start..end);
            }
        }
    })
}

/// The byte ranges of the words of a prompt that are not in `known`.
pub fn unknown_words(prompt: &str, known: &BTreeSet<String>) -> Vec<Range<usize>> {
    words_of(prompt).filter(|word| !known.contains(&prompt[word.clone()].to_lowercase())).collect()
}

/// The words of one token each in a byte-level BPE whose merges were learned to the end: it is small, and every piece that
/// the merges make is part of a longer piece, up to the end of a word. If learning stopped earlier, as CLIP's did, some
/// pieces are part of nothing, and this returns `None`. Ends of words that other merges use may or may not be words
/// ("light", "ight"); they are left out.
pub(super) fn whole_words(vocabulary: usize, merges: &[(String, String)]) -> Option<BTreeSet<String>> {
    if vocabulary > SMALL {
        return None;
    }
    let taken: HashSet<&str> = merges.iter().flat_map(|(left, right)| [left.as_str(), right.as_str()]).collect();
    let mut words = BTreeSet::new();
    for (left, right) in merges {
        let made = format!("{left}{right}");
        match (made.strip_suffix("</w>"), taken.contains(made.as_str())) {
            // In a byte-level BPE, letters beyond ASCII stand for bytes.
            (Some(word), false) if word.chars().all(|letter| letter.is_ascii_alphabetic()) => {
                words.insert(word.to_owned());
            }
            (None, false) => return None,
            _ => {}
        }
    }
    (!words.is_empty()).then_some(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_letters_and_digits_in_a_row() {
        for (text, expected) in [
            ("", &[][..]),
            ("  ,.", &[]),
            ("a snow-covered hill", &["a", "snow", "covered", "hill"]),
            ("the lake's moon, don’t", &["the", "lake", "moon", "don"]),
            ("'quoted' été 42nd 山", &["quoted", "été", "42nd", "山"]),
        ] {
            let words: Vec<_> = words_of(text).map(|range| &text[range]).collect();
            assert_eq!(words, expected, "{text:?}");
        }
    }

    #[test]
    fn what_is_not_listed_is_unknown_whatever_its_case() {
        let known = ["a", "lake"].map(str::to_owned).into();
        assert_eq!(unknown_words("A LAKE, a boat at 7", &known), [10..14, 15..17, 18..19]);
        assert!(unknown_words("", &known).is_empty());
    }

    #[test]
    fn a_vocabulary_that_was_learned_to_its_end_is_a_list_of_words() {
        let merges = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|(left, right)| ((*left).to_owned(), (*right).to_owned())).collect::<Vec<_>>()
        };
        let learned = merges(&[("l", "a"), ("k", "e</w>"), ("la", "ke</w>"), ("s", "ea</w>"), ("e", "a</w>")]);
        let words = whole_words(600, &learned).expect("every piece leads to a word's end");
        assert!(words.contains("lake") && words.contains("sea"), "{words:?}");
        assert!(!words.contains("ke"), "an end that another merge uses may not be a word");
        assert_eq!(whole_words(49_408, &learned), None, "too many to name");
        assert_eq!(whole_words(600, &merges(&[("l", "a"), ("k", "e</w>")])), None, "\"la\" is part of no word");
        assert_eq!(whole_words(600, &[]), None, "single letters are not words");
    }
}
