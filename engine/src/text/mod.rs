//! From a prompt to the text embedding that conditions the U-Net.

pub mod tokenizer;

pub mod encoder;

mod words;

pub use encoder::{TextConfig, TextEncoder};
pub use tokenizer::Tokenizer;
pub use words::{unknown_words, words_of};
