//! `instaflow info`: the settings that made a picture, or what is in a model folder.

use std::path::PathBuf;

use clap::Args;
use instaflow_engine::{checkpoint, metadata};

use super::{picture_info, printable, say};

/// What `info` is asked.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  instaflow info lake.png\n  instaflow info ~/models/instaflow_0_9B")]
pub struct Info {
    /// A picture (PNG, JPEG, WebP), or a model folder
    #[arg(value_name = "FILE|DIR")]
    path: PathBuf,

    /// Print what a picture says as one JSON object; what it does not say is absent
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Info) -> anyhow::Result<()> {
    if arguments.json {
        return say(serde_json::to_string(&metadata::read(&arguments.path)?)?);
    }
    let lines = if arguments.path.is_dir() {
        checkpoint::describe(&arguments.path)?.iter().map(|line| printable(line)).collect()
    } else {
        picture_info::lines(&metadata::read(&arguments.path)?)
    };
    lines.iter().try_for_each(say)
}
