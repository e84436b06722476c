//! Textual inversions (Gal et al. 2022, arXiv 2208.01618): vectors that stand for a token that no vocabulary has. A prompt
//! names one by its token, or as ComfyUI writes it: `embedding:NAME`. Change here how names are found in a prompt.

use std::collections::HashMap;
use std::ops::Range;

use super::prompt::Traced;

/// How ComfyUI begins a name.
const PREFIX: &str = "embedding:";

/// Endings that may follow a name there.
const ENDINGS: [&str; 3] = [".safetensors", ".pt", ".bin"];

/// A token of its own, with its vectors.
#[derive(Clone, Debug, PartialEq)]
pub struct Embedding {
    /// What a prompt calls it.
    pub name: String,
    /// Numbers in a vector: D of the text encoder that it was made for.
    pub width: usize,
    /// Its vectors (n, D), one after the other.
    pub vectors: Vec<f32>,
}

/// The embeddings that a model's prompts may name.
#[derive(Clone, Debug, Default)]
pub struct Embeddings {
    /// The ids of each one's vectors, and its name.
    named: Vec<(Range<u32>, String)>,
    /// Which names begin with a letter, the longest first.
    beginning: HashMap<char, Vec<usize>>,
}

/// A part of a text.
pub(super) enum Stretch {
    Text(Traced),
    /// The ids of an embedding's vectors, and where it was typed.
    Embedding(Range<u32>, Range<usize>),
    /// A name after `embedding:` that is not known.
    Missing(String),
}

impl Embedding {
    /// How many vectors it has.
    pub fn count(&self) -> usize {
        self.vectors.len() / self.width.max(1)
    }
}

impl Embeddings {
    /// Numbers the vectors of embeddings, beginning with the id `first`. Of several with one name, the last counts.
    pub fn new<'a>(all: impl IntoIterator<Item = &'a Embedding>, first: u32) -> Self {
        let mut embeddings = Self::default();
        let mut next = first;
        for embedding in all {
            let ids = next..next.saturating_add(embedding.count() as u32);
            next = ids.end;
            embeddings.named.retain(|(_, name)| *name != embedding.name);
            embeddings.named.push((ids, embedding.name.clone()));
        }
        for (number, (_, name)) in embeddings.named.iter().enumerate() {
            if let Some(letter) = name.chars().next() {
                embeddings.beginning.entry(lower(letter)).or_default().push(number);
            }
        }
        for numbers in embeddings.beginning.values_mut() {
            numbers.sort_by_key(|&number| std::cmp::Reverse(embeddings.named[number].1.len()));
        }
        embeddings
    }

    /// The names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.named.iter().map(|(_, name)| name.as_str())
    }

    /// A text, divided at the embeddings that it names. `bare` says that a name alone is enough, `prefixed` that
    /// `embedding:` begins one.
    pub(super) fn split(&self, text: &Traced, bare: bool, prefixed: bool) -> Vec<Stretch> {
        let whole = text.as_str();
        if (!bare || self.named.is_empty()) && (!prefixed || !whole.contains(PREFIX)) {
            return vec![Stretch::Text(text.clone())];
        }
        let part = |range: Range<usize>| {
            let mut part = Traced::default();
            part.push(text, range);
            Stretch::Text(part)
        };
        let mut stretches = Vec::new();
        let (mut at, mut kept, mut before) = (0, 0, None);
        while let Some(letter) = whole[at..].chars().next() {
            let rest = &whole[at..];
            let begins = !before.is_some_and(joins);
            let found = if prefixed && begins && rest.starts_with(PREFIX) {
                Some(self.prefixed(&rest[PREFIX.len()..]))
            } else if bare && (begins || !joins(letter)) {
                self.longest(rest, false).map(|(ids, length)| (Ok(ids), length))
            } else {
                None
            };
            let Some((ids, length)) = found else {
                at += letter.len_utf8();
                before = Some(letter);
                continue;
            };
            if kept < at {
                stretches.push(part(kept..at));
            }
            let end = at + length;
            stretches.push(match ids {
                Ok(ids) => Stretch::Embedding(ids, text.typed(at..end)),
                Err(name) => Stretch::Missing(name),
            });
            (at, kept, before) = (end, end, whole[..end].chars().next_back());
        }
        if kept < whole.len() {
            stretches.push(part(kept..whole.len()));
        }
        stretches
    }

    /// What the text behind `embedding:` names, or a name that is not known; and the length of both.
    fn prefixed(&self, text: &str) -> (Result<Range<u32>, String>, usize) {
        if let Some((ids, length)) = self.longest(text, true) {
            return (Ok(ids), PREFIX.len() + length);
        }
        let ends = |letter: char| letter.is_whitespace() || letter == ',';
        let length = text.find(ends).unwrap_or(text.len());
        (Err(text[..length].to_owned()), PREFIX.len() + length)
    }

    /// The ids of the longest name that a text begins with, and its length there.
    fn longest(&self, text: &str, with_ending: bool) -> Option<(Range<u32>, usize)> {
        let numbers = self.beginning.get(&lower(text.chars().next()?))?;
        numbers.iter().find_map(|&number| {
            let (ids, name) = &self.named[number];
            let mut length = begins_with(text, name)?;
            if with_ending && let Some(ending) = ENDINGS.iter().find(|ending| text[length..].starts_with(**ending)) {
                length += ending.len();
            }
            let cut = name.ends_with(joins) && text[length..].starts_with(joins);
            (!cut).then(|| (ids.clone(), length))
        })
    }
}

/// The length of a name that a text begins with, whatever its case.
fn begins_with(text: &str, name: &str) -> Option<usize> {
    let mut letters = text.char_indices();
    for letter in name.chars() {
        let (_, typed) = letters.next()?;
        if typed != letter && lower(typed) != lower(letter) {
            return None;
        }
    }
    Some(letters.offset())
}

/// The letter in lower case; one that becomes several letters stays.
fn lower(letter: char) -> char {
    let mut lower = letter.to_lowercase();
    match (lower.next(), lower.next()) {
        (Some(lower), None) => lower,
        _ => letter,
    }
}

/// Whether a letter makes one word with a letter beside it.
fn joins(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    fn embeddings() -> Embeddings {
        let of =
            |name: &str, count: usize| Embedding { name: name.to_owned(), width: 2, vectors: vec![0.0; 2 * count] };
        Embeddings::new(&[of("moody", 1), of("moody-one", 2), of("<cat-toy>", 1), of("Été", 1)], 100)
    }

    /// A text with `{ids}` where embeddings were, and `{?name}` for those that are missing.
    fn split(text: &str, bare: bool, prefixed: bool) -> String {
        let stretches = embeddings().split(&Traced::whole(text), bare, prefixed);
        let shown = stretches.into_iter().map(|stretch| match stretch {
            Stretch::Text(text) => text.as_str().to_owned(),
            Stretch::Embedding(ids, typed) => format!("{{{}+{}: {}}}", ids.start, ids.len(), &text[typed]),
            Stretch::Missing(name) => format!("{{?{name}}}"),
        });
        shown.collect()
    }

    #[test]
    fn names_are_found_in_a_text() {
        for (text, expected) in [
            ("a moody one", "a {100+1: moody} one"),
            ("Moody-One, MOODY", "{101+2: Moody-One}, {100+1: MOODY}"),
            ("moody-ones", "{100+1: moody}-ones"),
            ("unmoody moodyx moody_x moody1", "unmoody moodyx moody_x moody1"),
            ("a<cat-toy>,été", "a{103+1: <cat-toy>},{104+1: été}"),
            ("<cat-toy", "<cat-toy"),
            ("", ""),
        ] {
            assert_eq!(split(text, true, false), expected, "{text}");
        }
    }

    #[test]
    fn names_behind_a_prefix() {
        for (text, expected) in [
            ("a embedding:moody-one b", "a {101+2: embedding:moody-one} b"),
            ("embedding:moody.safetensors, moody", "{100+1: embedding:moody.safetensors}, moody"),
            ("embedding:gone, embedding:", "{?gone}, {?}"),
            ("xembedding:moody", "xembedding:moody"),
        ] {
            assert_eq!(split(text, false, true), expected, "{text}");
        }
        assert_eq!(split("embedding:moody", true, false), "embedding:{100+1: moody}");
    }

    #[test]
    fn the_last_of_one_name_counts() {
        let of = |count: usize| Embedding { name: "a".to_owned(), width: 1, vectors: vec![0.0; count] };
        let embeddings = Embeddings::new(&[of(2), of(3)], 7);
        assert_eq!(embeddings.names().collect::<Vec<_>>(), ["a"]);
        assert_eq!(embeddings.longest("a", false), Some((9..12, 1)));
    }
}
