//! From a prompt to the text embedding that conditions the U-Net.

pub mod tokenizer;

pub mod encoder;

pub use encoder::{TextConfig, TextEncoder};
pub use tokenizer::Tokenizer;
