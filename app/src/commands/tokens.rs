//! `instaflow tokens`: a prompt's token ids.

use std::path::PathBuf;

use clap::Args;
use instaflow_engine::checkpoint;
use instaflow_engine::protocol::Source;
use instaflow_engine::text::{Embeddings, PromptReader};
use instaflow_hub::Role;

use super::arguments::{PromptArguments, source};
use super::{engine_error, say};
use crate::model_names;

/// What `tokens` is asked.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  instaflow tokens \"a lake at sunset\" --model ~/models/instaflow_0_9B")]
pub struct Tokens {
    /// The prompt, in quotes; put -- before a prompt that starts with a dash
    prompt: String,

    /// Model folder, pair or checkpoint whose tokenizer to use [default: the built-in Pocket pair]
    #[arg(long, value_name = "DIR|FILE.safetensors")]
    model: Option<PathBuf>,

    /// A textual inversion that the prompt may name, or a folder of them; may be repeated
    #[arg(long, value_name = "FILE|DIR")]
    embedding: Vec<PathBuf>,

    #[command(flatten)]
    reading: PromptArguments,
}

pub(super) fn run(arguments: &Tokens) -> anyhow::Result<()> {
    let model = arguments.model.clone().map(|name| model_names::path_of(name, Role::Student)).transpose()?;
    let source = model.map_or(Source::Pocket, source);
    let tokenizer = checkpoint::open_tokenizer(&source).map_err(engine_error)?;
    let mut embeddings = Vec::new();
    for named in &arguments.embedding {
        for path in checkpoint::embedding_files(named).map_err(engine_error)? {
            embeddings.extend(checkpoint::read_embeddings(&path).map_err(engine_error)?);
        }
    }
    let embeddings = Embeddings::new(&embeddings, tokenizer.vocabulary_size() as u32);
    let reader = PromptReader { tokenizer: &tokenizer, words: None, embeddings: &embeddings };
    let read = reader.read(&arguments.prompt, arguments.reading.prompt_syntax);
    let ids: Vec<String> = read.chunks.iter().flat_map(|chunk| &chunk.ids).map(u32::to_string).collect();
    say(ids.join(" "))
}
