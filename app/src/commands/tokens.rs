//! `instaflow tokens`: a prompt's token ids.

use std::path::PathBuf;

use clap::Args;
use instaflow_engine::checkpoint;
use instaflow_engine::protocol::Source;

use super::{engine_error, say};

/// What `tokens` is asked.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  instaflow tokens \"a lake at sunset\" --model ~/models/instaflow_0_9B")]
pub struct Tokens {
    /// The prompt, in quotes; put -- before a prompt that starts with a dash
    prompt: String,

    /// Model folder or pair whose tokenizer to use [default: the built-in Pocket pair]
    #[arg(long, value_name = "DIR")]
    model: Option<PathBuf>,
}

pub(super) fn run(arguments: &Tokens) -> anyhow::Result<()> {
    let source = arguments.model.clone().map_or(Source::Pocket, Source::Folder);
    let tokenizer = checkpoint::open_tokenizer(&source).map_err(engine_error)?;
    let ids: Vec<String> = tokenizer.encode(&arguments.prompt).iter().map(u32::to_string).collect();
    say(ids.join(" "))
}
