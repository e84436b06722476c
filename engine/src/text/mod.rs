//! From a prompt to the text embedding that conditions the U-Net, and the words of a prompt that a model does not know.

pub mod tokenizer;

pub mod encoder;

mod chunks;

mod embeddings;

pub mod emphasis;

mod known_words;

pub mod prompt;

mod prompt_reading;

mod prompt_tokens;

pub use chunks::Chunk;
pub use embeddings::{Embedding, Embeddings};
pub use encoder::{AddedTokens, TextConfig, TextEncoder};
pub use known_words::{unknown_words, words_of};
pub use prompt::{LoraTag, ParsedPrompt, Piece, parse_prompt};
pub(crate) use prompt_reading::LONGEST_SYNONYM;
pub use prompt_tokens::{PromptReader, PromptTokens};
pub use tokenizer::Tokenizer;
