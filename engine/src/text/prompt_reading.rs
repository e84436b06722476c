//! How a model with a small vocabulary reads a prompt: synonyms become words that it knows, misspelt and half-typed words
//! the nearest ones, and what means nothing to it is left out. Change here what is near enough. The synonyms are the
//! model's own, from its `vocabulary.json`; a model without any sees prompts as they are typed.

use std::cmp::Reverse;
use std::ops::Range;

use strsim::damerau_levenshtein;

use super::known_words::words_of;
use crate::protocol::Words;

/// Words in a synonym, at most.
pub(crate) const LONGEST_SYNONYM: usize = 3;
/// Letters of a half-typed word before it is completed: fewer begin too many words.
const SHORTEST_BEGINNING: usize = 3;
/// Letters of a misspelt word, and of what it can be read as: most words of three letters are near each other.
const SHORTEST_MISSPELT: usize = 4;
/// Letters of a synonym that a misspelt word can be read as: many words are near a short one.
const SHORTEST_SYNONYM: usize = 6;

/// A prompt as the text encoder reads it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Reading {
    /// What is tokenized.
    pub text: String,
    /// Where the words are, in bytes of the typed prompt, that are not understood, or only begun.
    pub unknown: Vec<Range<usize>>,
    /// The parts of the text, in order.
    parts: Vec<Part>,
    /// Bytes of the typed prompt.
    typed_length: usize,
}

/// A part of the text, and where it comes from.
#[derive(Debug, PartialEq, Eq)]
struct Part {
    /// Where it begins in the text, in bytes.
    start: usize,
    /// Where what it was read from begins in the typed prompt.
    typed: usize,
    /// Whether it is as it was typed.
    copied: bool,
}

impl Reading {
    /// Reads a prompt, or a part of one, with a model's words and synonyms. `is_end` says that the prompt ends with it, so
    /// that its last word may be half typed.
    pub fn new(prompt: &str, words: &Words, is_end: bool) -> Self {
        let typed: Vec<Range<usize>> = words_of(prompt).collect();
        let mut reading =
            Self { text: String::new(), unknown: Vec::new(), parts: Vec::new(), typed_length: prompt.len() };
        let (mut copied, mut next) = (0, 0);
        while next < typed.len() {
            let (count, read_as) = meaning(prompt, &typed[next..], words, is_end);
            let range = typed[next].start..typed[next + count - 1].end;
            next += count;
            match read_as {
                ReadAs::Typed => {}
                ReadAs::Words(meaning) => {
                    reading.copy(prompt, copied..range.start);
                    reading.push(meaning, range.start, false);
                    copied = range.end;
                }
                ReadAs::Begun(meaning) => {
                    reading.copy(prompt, copied..range.start);
                    reading.push(meaning, range.start, false);
                    copied = range.end;
                    reading.unknown.push(range);
                }
                ReadAs::Nothing => {
                    reading.copy(prompt, copied..range.start);
                    // The "'s" of a word goes with it.
                    let suffix = |rest: &str| rest.find(|letter: char| !letter.is_alphanumeric()).unwrap_or(rest.len());
                    let rest = prompt[range.end..].strip_prefix(['\'', '’']).filter(|rest| suffix(rest) > 0);
                    copied = rest.map_or(range.end, |rest| prompt.len() - rest.len() + suffix(rest));
                    reading.unknown.push(range);
                }
            }
        }
        reading.copy(prompt, copied..prompt.len());
        reading
    }

    /// The place in the typed prompt that an offset in the text comes from: for a word that is read as another one, its
    /// beginning.
    pub fn typed_offset(&self, offset: usize) -> usize {
        if offset >= self.text.len() {
            return self.typed_length;
        }
        let part = self.parts.iter().rfind(|part| part.start <= offset);
        part.map_or(0, |part| part.typed + if part.copied { offset - part.start } else { 0 })
    }

    /// Adds a part of the prompt as it is.
    fn copy(&mut self, prompt: &str, range: Range<usize>) {
        if !range.is_empty() {
            self.push(&prompt[range.clone()], range.start, true);
        }
    }

    fn push(&mut self, text: &str, typed: usize, copied: bool) {
        self.parts.push(Part { start: self.text.len(), typed, copied });
        self.text.push_str(text);
    }
}

/// What one or several words are read as.
enum ReadAs<'a> {
    /// Themselves.
    Typed,
    /// Other words, which mean the same.
    Words(&'a str),
    /// The word of which they are the beginning.
    Begun(&'a str),
    /// They are left out.
    Nothing,
}

/// What the first of these words are read as, and how many of them.
fn meaning<'a>(prompt: &str, typed: &[Range<usize>], words: &'a Words, is_end: bool) -> (usize, ReadAs<'a>) {
    for count in (2..=LONGEST_SYNONYM.min(typed.len())).rev() {
        if let Some(meaning) = phrase(prompt, &typed[..count]).and_then(|phrase| words.synonyms.get(&phrase)) {
            return (count, ReadAs::Words(meaning));
        }
    }
    let word = prompt[typed[0].clone()].to_lowercase();
    if words.known.contains(&word) {
        return (1, ReadAs::Typed);
    }
    if let Some(meaning) = words.synonyms.get(&word) {
        return (1, if meaning.is_empty() { ReadAs::Nothing } else { ReadAs::Words(meaning) });
    }
    let is_last = is_end && typed[0].end == prompt.len();
    if let Some(whole) = completion(&word, words).filter(|_| is_last) {
        return (1, ReadAs::Begun(whole));
    }
    match nearest(&word, words) {
        Some(meaning) if !meaning.is_empty() => (1, ReadAs::Words(meaning)),
        _ => (1, ReadAs::Nothing),
    }
}

/// Words with nothing but one space or hyphen between them, as synonyms are written.
fn phrase(prompt: &str, typed: &[Range<usize>]) -> Option<String> {
    let joined = |pair: &[Range<usize>]| matches!(&prompt[pair[0].end..pair[1].start], " " | "-");
    let words: Vec<String> = typed.iter().map(|word| prompt[word.clone()].to_lowercase()).collect();
    typed.windows(2).all(joined).then(|| words.join(" "))
}

/// The known word that most phrases use of those that begin so; without one, what the synonyms that begin so mean, if
/// they all mean the same.
fn completion<'a>(beginning: &str, words: &'a Words) -> Option<&'a str> {
    if beginning.chars().count() < SHORTEST_BEGINNING {
        return None;
    }
    let known = words.known.iter().filter(|word| word.starts_with(beginning));
    if let Some(word) = known.max_by_key(|word| (uses(word, words), Reverse(word.len()))) {
        return Some(word.as_str());
    }
    let mut meanings = words
        .synonyms
        .iter()
        .filter(|(synonym, _)| synonym.starts_with(beginning))
        .map(|(_, meaning)| meaning.as_str());
    let first = meanings.next().filter(|meaning| !meaning.is_empty())?;
    meanings.all(|meaning| meaning == first).then_some(first)
}

/// What the word means that is spelt most like this one, if one is near enough: an empty text if that is a word of its
/// own. The first letter must be right, since few people mistype it, and two mistakes must leave the second alone, too.
fn nearest<'a>(word: &str, words: &'a Words) -> Option<&'a str> {
    let letters = word.chars().count();
    if letters < SHORTEST_MISSPELT {
        return None;
    }
    let most = if letters > 6 { 2 } else { 1 };
    let same = |other: &str, count: usize| word.chars().take(count).eq(other.chars().take(count));
    let distance = |other: &str| {
        let could_be = other.len() >= SHORTEST_MISSPELT && other.len().abs_diff(word.len()) <= 8 && same(other, 1);
        let distance = if could_be { damerau_levenshtein(word, other) } else { usize::MAX };
        (distance <= most && (distance < 2 || same(other, 2))).then_some(distance)
    };
    let known = words.known.iter().filter_map(|known| {
        distance(known).map(|distance| ((distance, 0, Reverse(uses(known, words))), known.as_str()))
    });
    let fits = |synonym: &str, meaning: &str| {
        !synonym.contains(' ') && (meaning.is_empty() || synonym.len() >= SHORTEST_SYNONYM)
    };
    let synonyms =
        words.synonyms.iter().filter(|(synonym, meaning)| fits(synonym, meaning)).filter_map(|(synonym, meaning)| {
            distance(synonym).map(|distance| ((distance, 1, Reverse(0)), meaning.as_str()))
        });
    known.chain(synonyms).min_by_key(|&(nearness, _)| nearness).map(|(_, meaning)| meaning)
}

/// How many of the model's phrases use a word.
fn uses(word: &str, words: &Words) -> usize {
    let phrases = words.groups.iter().flat_map(|group| &group.classes).flat_map(|class| &class.phrases);
    phrases.filter(|phrase| words_of(phrase).any(|range| &phrase[range] == word)).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{WordClass, WordGroup};

    fn words() -> Words {
        let phrases = ["mountain", "mountains", "a mountain lake", "snowy", "in the snow", "with snow", "lighthouse"];
        let class = WordClass { name: "all".into(), phrases: phrases.map(str::to_owned).to_vec() };
        let known = "a at by cabin in lake lighthouse mountain mountains near night of snow snowy the with house";
        let synonyms = [
            ("barn", "cabin"),
            ("barns", "cabin"),
            ("snow capped", "snowy"),
            ("log house", "cabin"),
            ("chalet", "cabin"),
            ("beacons", "lighthouse"),
            ("horse", ""),
            ("late", ""),
        ];
        Words {
            known: known.split(' ').map(str::to_owned).collect(),
            groups: vec![WordGroup { name: "group".into(), classes: vec![class] }],
            examples: Vec::new(),
            synonyms: synonyms.map(|(synonym, meaning)| (synonym.to_owned(), meaning.to_owned())).into(),
        }
    }

    #[test]
    fn prompts_are_read_in_known_words() {
        for (typed, text, unknown) in [
            ("", "", &[][..]),
            ("a snowy  Mountain, by the LAKE!", "a snowy  Mountain, by the LAKE!", &[]),
            // Synonyms, of one and of several words.
            ("A Barn by the lake", "A cabin by the lake", &[]),
            ("snow-capped mountains", "snowy mountains", &[]),
            ("a snow capped mountain", "a snowy mountain", &[]),
            ("snow, capped ", "snow,  ", &["capped"]),
            ("a log house ", "a cabin ", &[]),
            // Misspelt words.
            ("a moutnain by a lkae ", "a mountain by a lake ", &[]),
            ("a ligthhuose by the lake", "a lighthouse by the lake", &[]),
            ("a chalett by the lake", "a cabin by the lake", &[]),
            ("a hause at nihgt ", "a house at night ", &[]),
            ("a bark by the lake", "a  by the lake", &["bark"]),
            ("a fountain ", "a  ", &["fountain"]),
            ("lat lhke", " lake", &["lat"]),
            // Words of their own, and what is nearer to them.
            ("a horse at the house", "a  at the house", &["horse"]),
            ("two hosre ", "  ", &["two", "hosre"]),
            // Half-typed words, at the end alone.
            ("a snowy mou", "a snowy mountain", &["mou"]),
            ("a sno", "a snow", &["sno"]),
            ("sno lake", " lake", &["sno"]),
            ("a ba", "a ", &["ba"]),
            ("a bar", "a cabin", &["bar"]),
            ("a lig", "a lighthouse", &["lig"]),
            ("a hor", "a ", &["hor"]),
            // What is left out.
            ("a unicorn's lake", "a  lake", &["unicorn"]),
            ("日本の山 lake", " lake", &["日本の山"]),
        ] {
            let reading = Reading::new(typed, &words(), true);
            assert_eq!(reading.text, text, "{typed:?}");
            let found: Vec<&str> = reading.unknown.iter().map(|range| &typed[range.clone()]).collect();
            assert_eq!(found, unknown, "{typed:?}");
        }
    }

    #[test]
    fn offsets_lead_back_to_what_was_typed() {
        let typed = "a barn by a unicorn at the lake";
        let reading = Reading::new(typed, &words(), true);
        assert_eq!(reading.text, "a cabin by a  at the lake");
        for part in ["a ", "barn", " by", "lake"] {
            let read = part.replace("barn", "cabin");
            let offset = reading.text.find(&read).expect("a part of the text");
            assert_eq!(reading.typed_offset(offset), typed.find(part).expect("a part of the prompt"), "{part:?}");
        }
        assert_eq!(reading.typed_offset(reading.text.len()), typed.len());
    }
}
