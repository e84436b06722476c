//! `instaflow info`: the settings that made a picture, or what is in a model folder or a safetensors file.

use std::path::PathBuf;

use clap::Args;
use instaflow_engine::{checkpoint, metadata};

use super::{picture_info, printable, say};

/// What `info` is asked.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  instaflow info lake.png\n  instaflow info ~/models/instaflow_0_9B")]
pub struct Info {
    /// A picture (PNG, JPEG, WebP), a model folder, or a safetensors file
    #[arg(value_name = "FILE|DIR")]
    path: PathBuf,

    /// Print what a picture says as one JSON object; what it does not say is absent
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Info) -> anyhow::Result<()> {
    let path = &arguments.path;
    if arguments.json {
        return say(serde_json::to_string(&metadata::read(path)?)?);
    }
    let is_safetensors = path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("safetensors"));
    if path.is_dir() || is_safetensors || checkpoint::refused_by_name(path).is_some() {
        let description = checkpoint::describe(path)?;
        description.lines.iter().try_for_each(|line| say(printable(line)))?;
        return Ok(description.sound()?);
    }
    picture_info::lines(&metadata::read(path)?).iter().try_for_each(say)
}
