//! From a prompt to what the text encoder gets: marks are read, embeddings found, words read as the model knows them, and
//! the tokens packed into chunks. Change here the order in which that happens.

use std::ops::Range;

use super::chunks::{Chunk, Packer, Token};
use super::embeddings::{Embeddings, Stretch};
use super::known_words::{unknown_words, words_of};
use super::prompt::{LoraTag, Traced, parse_prompt};
use super::prompt_reading::Reading;
use super::tokenizer::Tokenizer;
use crate::protocol::{PromptSyntax, TokenCount, Words};

/// A prompt in tokens.
#[derive(Clone, Debug, PartialEq)]
pub struct PromptTokens {
    /// What the text encoder gets, at least one.
    pub chunks: Vec<Chunk>,
    /// The LoRAs that the prompt names.
    pub loras: Vec<LoraTag>,
    /// How many tokens there are, and what of the prompt has no effect.
    pub count: TokenCount,
}

/// Reads the prompts of one model.
#[derive(Clone, Copy, Debug)]
pub struct PromptReader<'a> {
    /// The model's tokenizer.
    pub tokenizer: &'a Tokenizer,
    /// What its vocabulary.json lists.
    pub words: Option<&'a Words>,
    /// The textual inversions that a prompt may name.
    pub embeddings: &'a Embeddings,
}

impl PromptReader<'_> {
    /// Reads a prompt by the rules of a syntax. With [`PromptSyntax::Off`] what is longer than one chunk is cut off.
    pub fn read(&self, prompt: &str, syntax: PromptSyntax) -> PromptTokens {
        let parsed = parse_prompt(prompt, syntax);
        let mut packer = Packer::new(self.tokenizer, syntax);
        let mut unknown = Vec::new();
        let mut missing = None;
        let (bare, prefixed) = (syntax != PromptSyntax::ComfyUi, syntax != PromptSyntax::Off);
        for piece in &parsed.pieces {
            (0..piece.breaks).for_each(|_| packer.end_chunk());
            for stretch in self.embeddings.split(&piece.text, bare, prefixed) {
                match stretch {
                    Stretch::Text(text) => {
                        let is_end = text.place(text.as_str().len()) == prompt.len();
                        unknown.extend(self.text(&text, piece.weight, is_end, syntax, &mut packer));
                    }
                    Stretch::Embedding(ids, typed) => {
                        let token = |id| Token { id, weight: piece.weight, typed: typed.clone() };
                        packer.push_word(ids.map(token).collect(), true);
                    }
                    Stretch::Missing(name) => {
                        missing.get_or_insert(name);
                    }
                }
            }
        }
        let packed = packer.finish();
        let mut remarks = parsed.remarks;
        if let Some(name) = missing {
            remarks.push(format!("embedding:{name} is left out: no embedding of this name is open."));
        }
        if packed.cut_at.is_some() && prefixed {
            remarks.push(format!("Only the first {} tokens are read.", packed.limit));
        }
        let cut_at = packed.cut_at.unwrap_or(prompt.len());
        // Words that do not reach the text encoder are neither known nor unknown.
        unknown.retain(|word: &Range<usize>| word.start < cut_at);
        let (used, limit) = (packed.used, packed.limit);
        let count = TokenCount { prompt: prompt.to_owned(), used, limit, cut_at, unknown, remarks };
        PromptTokens { chunks: packed.chunks, loras: parsed.loras, count }
    }

    /// Adds a text without marks; gives the words in it that are unknown, in bytes of the prompt. `is_end` says that the
    /// prompt ends with it, so that its last word may be half typed.
    fn text(
        &self,
        text: &Traced,
        weight: f32,
        is_end: bool,
        syntax: PromptSyntax,
        packer: &mut Packer<'_>,
    ) -> Vec<Range<usize>> {
        let typed = text.as_str();
        let synonyms = self.words.filter(|words| !words.synonyms.is_empty());
        let reading = synonyms.map(|words| Reading::new(typed, words, is_end));
        let read = reading.as_ref().map_or(typed, |reading| reading.text.as_str());
        let place = |offset| text.place(reading.as_ref().map_or(offset, |reading| reading.typed_offset(offset)));
        let mut offsets = Vec::new();
        let whole = 0..read.len();
        // ComfyUI tokenizes each word alone.
        let words = if syntax == PromptSyntax::ComfyUi { words_between_spaces(read) } else { vec![whole] };
        for word in words {
            let encoding = self.tokenizer.tokens(&read[word.clone()]);
            let tokens = encoding.get_ids().iter().zip(encoding.get_offsets()).map(|(&id, &(start, end))| {
                let (start, end) = (word.start + start, word.start + end);
                offsets.push((start, end));
                Token { id, weight, typed: place(start)..place(end) }
            });
            packer.push_word(tokens.collect(), false);
        }
        let unknown = match (reading, self.words) {
            (Some(reading), _) => reading.unknown,
            (None, Some(words)) => unknown_words(typed, &words.known),
            (None, None) if self.tokenizer.words().is_some() => broken_words(typed, &offsets),
            (None, None) => Vec::new(),
        };
        unknown.into_iter().map(|word| text.typed(word)).collect()
    }
}

/// The byte ranges of what spaces and line ends separate.
fn words_between_spaces(text: &str) -> Vec<Range<usize>> {
    let mut words = Vec::new();
    let mut start = 0;
    for (at, byte) in text.bytes().enumerate().chain([(text.len(), b' ')]) {
        if byte == b' ' || byte == b'\n' {
            if start < at {
                words.push(start..at);
            }
            start = at + 1;
        }
    }
    words
}

/// The byte ranges of the words of a text that have several tokens. `tokens` are the tokens' offsets in order.
fn broken_words(text: &str, tokens: &[(usize, usize)]) -> Vec<Range<usize>> {
    let is_one = |word: &Range<usize>| {
        let first = tokens.partition_point(|&(start, _)| start < word.start);
        tokens[first..].iter().take_while(|&&(start, _)| start < word.end).count() == 1
    };
    words_of(text).filter(|word| !is_one(word)).collect()
}
