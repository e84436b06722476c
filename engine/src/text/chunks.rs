//! From tokens to chunks of the text encoder's length. Change here where a long prompt is divided.
//!
//! A1111 (`modules/sd_hijack_clip.py`) fills a chunk; if it is full, what follows a comma not far back moves over to the
//! next one. ComfyUI (`comfy/sd1_clip.py`) divides no word of fewer than eight tokens.

use std::ops::Range;

use super::Tokenizer;
use crate::protocol::PromptSyntax;

/// Chunks of a prompt, at most: 7500 tokens with CLIP. What a page of text would take longer than the picture.
const MOST_CHUNKS: usize = 100;

/// How far back a comma may be at which a full chunk ends (A1111's `comma_padding_backtrack`).
const COMMA_BACKTRACK: usize = 20;

/// Tokens of a word that may be divided (ComfyUI's `max_word_length`).
const LONG_WORD: usize = 8;

/// What the text encoder gets at once.
#[derive(Clone, Debug, PartialEq)]
pub struct Chunk {
    /// Start mark, tokens, end mark and padding.
    pub ids: Vec<u32>,
    /// How much each of the ids counts; 1 for marks and padding.
    pub weights: Vec<f32>,
}

/// A token of a prompt.
#[derive(Clone, Debug)]
pub(super) struct Token {
    pub id: u32,
    pub weight: f32,
    /// Where it was typed, in bytes of the prompt.
    pub typed: Range<usize>,
}

/// Collects the tokens of a prompt.
pub(super) struct Packer<'a> {
    tokenizer: &'a Tokenizer,
    syntax: PromptSyntax,
    /// Tokens in a chunk, without its marks.
    room: usize,
    /// How many chunks there may be.
    most: usize,
    full: Vec<Vec<Token>>,
    current: Vec<Token>,
    /// The place of the last comma in `current`.
    last_comma: Option<usize>,
    /// Whether nothing more fits.
    ended: bool,
    dropped: usize,
    /// Where the last token that fits ends in the prompt, and where the first one begins that does not.
    seen_end: usize,
    cut_at: Option<usize>,
}

/// The chunks of a prompt.
pub(super) struct Packed {
    /// At least one.
    pub chunks: Vec<Chunk>,
    /// Tokens, with the padding of chunks that ended early.
    pub used: usize,
    /// How many tokens the chunks hold.
    pub limit: usize,
    /// Where in the prompt what does not fit begins.
    pub cut_at: Option<usize>,
}

impl Chunk {
    /// Whether every token counts the same.
    pub fn is_plain(&self) -> bool {
        self.weights.iter().all(|weight| weight.to_bits() == 1f32.to_bits())
    }
}

impl<'a> Packer<'a> {
    pub fn new(tokenizer: &'a Tokenizer, syntax: PromptSyntax) -> Self {
        let room = tokenizer.limit() - 2;
        let most = if syntax == PromptSyntax::Off || room == 0 { 1 } else { MOST_CHUNKS };
        Self {
            tokenizer,
            syntax,
            room,
            most,
            full: Vec::new(),
            current: Vec::new(),
            last_comma: None,
            ended: false,
            dropped: 0,
            seen_end: 0,
            cut_at: None,
        }
    }

    /// Ends the chunk, whatever is in it.
    pub fn end_chunk(&mut self) {
        if self.full.len() + 1 < self.most {
            self.full.push(std::mem::take(&mut self.current));
            self.last_comma = None;
        } else {
            self.ended = true;
        }
    }

    /// Adds what belongs together: a word, or an embedding. Only ComfyUI keeps words together.
    pub fn push_word(&mut self, word: Vec<Token>, is_embedding: bool) {
        match self.syntax {
            PromptSyntax::ComfyUi => self.push_whole(word),
            _ if is_embedding => {
                if let Some(first) = word.first() {
                    self.make_room(first);
                }
                if word.len() <= self.room && self.current.len() + word.len() > self.room {
                    self.end_chunk();
                }
                for token in word {
                    self.push(token);
                }
            }
            _ => {
                for token in word {
                    self.make_room(&token);
                    self.push(token);
                }
            }
        }
    }

    /// The chunks, padded.
    pub fn finish(mut self) -> Packed {
        let used = self.full.len() * self.room + self.current.len() + self.dropped;
        if !self.current.is_empty() || self.full.is_empty() {
            self.full.push(self.current);
        }
        let limit = self.full.len() * self.room;
        let chunks = self.full.iter().map(|tokens| self.tokenizer.chunk(tokens)).collect();
        Packed { chunks, used, limit, cut_at: self.cut_at }
    }

    /// A1111's way to a place for the next token.
    fn make_room(&mut self, next: &Token) {
        let length = self.current.len();
        if Some(next.id) == self.tokenizer.comma() {
            self.last_comma = Some(length);
        } else if let Some(comma) = self.last_comma
            && length == self.room
            && length - comma <= COMMA_BACKTRACK
            && self.full.len() + 1 < self.most
        {
            let moved = self.current.split_off(comma + 1);
            self.end_chunk();
            self.current = moved;
        }
    }

    /// ComfyUI's way: a short word is not divided.
    fn push_whole(&mut self, word: Vec<Token>) {
        let divisible = word.len() >= LONG_WORD || word.len() > self.room;
        let mut rest = word.into_iter();
        while self.current.len() + rest.len() > self.room && !self.ended {
            let is_last = self.full.len() + 1 >= self.most;
            if divisible || is_last {
                let fits = self.room - self.current.len();
                for token in rest.by_ref().take(fits) {
                    self.push(token);
                }
            }
            self.end_chunk();
        }
        for token in rest {
            self.push(token);
        }
    }

    /// Adds a token, in a new chunk if this one is full.
    fn push(&mut self, token: Token) {
        if self.current.len() == self.room && !self.ended {
            self.end_chunk();
        }
        if self.ended {
            self.dropped += 1;
            // A character of several tokens that is cut in the middle counts as seen.
            if self.cut_at.is_none() && token.typed.start >= self.seen_end {
                self.cut_at = Some(token.typed.start);
            }
        } else {
            self.seen_end = token.typed.end;
            self.current.push(token);
        }
    }
}
