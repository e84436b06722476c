//! From a prompt to the text embedding that conditions the U-Net, and the words of a prompt that a model does not know.

pub mod tokenizer;

pub mod encoder;

mod known_words;

pub mod prompt;

mod prompt_reading;

pub use encoder::{TextConfig, TextEncoder};
pub use known_words::{unknown_words, words_of};
pub use prompt::{LoraTag, ParsedPrompt, Piece, parse_prompt};
pub(crate) use prompt_reading::{LONGEST_SYNONYM, Reading};
pub use tokenizer::Tokenizer;
