//! `instaflow info`: the settings that made a picture, or what is in a model folder.

use std::path::PathBuf;

use clap::Args;
use instaflow_engine::protocol::Decoder;
use instaflow_engine::{checkpoint, png};

use super::{printable, printable_line, say};
use crate::format;

/// What `info` is asked.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  instaflow info lake.png\n  instaflow info ~/models/instaflow_0_9B")]
pub struct Info {
    /// A PNG, or a model folder
    #[arg(value_name = "FILE.png|DIR")]
    path: PathBuf,
}

pub(super) fn run(arguments: &Info) -> anyhow::Result<()> {
    let lines = if arguments.path.is_dir() {
        checkpoint::describe(&arguments.path)?.iter().map(|line| printable(line)).collect()
    } else {
        restored_lines(&png::read_settings(&arguments.path)?)
    };
    lines.iter().try_for_each(say)
}

fn restored_lines(restored: &png::Restored) -> Vec<String> {
    let settings = &restored.settings;
    let mut lines = vec![format!("Prompt: {}", printable(&settings.prompt))];
    if !settings.negative_prompt.is_empty() {
        lines.push(format!("Negative prompt: {}", printable(&settings.negative_prompt)));
    }
    if let Some(model) = &restored.model {
        lines.push(format!("Model: {}", printable_line(model)));
    }
    lines.push(format!("Drawn by: {}", format::role(settings.role)));
    lines.push(format!("Seed: {}", settings.seed));
    if let Some((width, height)) = settings.size {
        lines.push(format!("Size: {width}x{height}"));
    }
    lines.push(format!("Steps: {}", settings.steps));
    if let Some(sampler) = settings.sampler {
        lines.push(format!("Sampler: {}", sampler.name()));
    }
    lines.push(format!("Guidance scale: {}", settings.guidance));
    let decoder = match settings.decoder {
        Decoder::Full => "full",
        Decoder::Tiny => "tiny",
    };
    lines.push(format!("Decoder: {decoder}"));
    lines
}
