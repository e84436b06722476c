//! `instaflow generate`: one PNG of a prompt, or several.

use anyhow::Context;
use clap::Args;
use instaflow_engine::pipeline::Models;
use instaflow_engine::protocol::{Picture, Role};
use instaflow_engine::{Cancel, picture_file};

use super::arguments::{DrawArguments, with_loras};
use super::progress::Progress;
use super::resolved::ResolvedDraw;
use super::{engine_error, say};
use crate::format;

/// What `generate` is asked.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Generate {
    #[command(flatten)]
    pub(super) draw: DrawArguments,

    /// Draw with the teacher; a single folder in --model is then taken as the teacher
    #[arg(long)]
    teacher: bool,
}

const EXAMPLES: &str = "\
Examples:
  instaflow generate \"a snowy mountain near a lake at sunset\" -o lake.png
  instaflow generate \"a lake\" -o lake.png --seed 7 --count 4      lake-001.png … lake-004.png, seeds 7 to 10
  instaflow generate \"a lake\" -o slow.png --teacher --steps 25 --guidance 1.5 --negative \"people\"
  instaflow generate \"a lake\" -o sd.png --model ~/models/stable-diffusion-v1-5 --sampler ddim
  instaflow generate \"a lake\" -o big.png --model ~/models/instaflow_0_9B --size 512x512 --device cuda

Prints one line for each picture: its file, size, seed and seconds per stage; under the first, what of the prompt has no
effect. After a failure, the pictures that are already finished stay.";

pub(super) fn run(arguments: &Generate) -> anyhow::Result<()> {
    let resolved = ResolvedDraw::new(&arguments.draw)?;
    let progress = Progress::new();
    let request = arguments.draw.model.open_one(arguments.teacher);
    let models = Models::open(&with_loras(request), &mut |part| progress.loading(part));
    let models = models.map_err(engine_error)?;
    let summary = models.summary();
    // A folder of Stable Diffusion holds no student.
    let (role, card) = match &summary.student {
        Some(card) if !arguments.teacher => (Role::Student, card),
        _ => (Role::Teacher, summary.teacher.as_ref().context("no model is open")?),
    };

    let first = resolved.settings(role, card, 0);
    let steps = u64::from(first.steps);
    progress.begin("drawing", steps * resolved.outputs.len() as u64);
    let mut latents = Vec::new();
    for (index, output) in resolved.outputs.iter().enumerate() {
        let before = index as u64 * steps;
        let settings = resolved.settings(role, card, index);
        let noise = resolved.noise(index);
        let drawn = models
            .draw(
                &settings,
                noise.as_ref(),
                &mut |step| progress.set(before + u64::from(step.done)),
                &Cancel::default(),
            )
            .map_err(engine_error)?;
        picture_file::save(output, &drawn.picture, true, arguments.draw.quality, arguments.draw.force)
            .map_err(engine_error)?;
        progress.aside(|| say(format!("{}: {}", output.display(), in_short(&drawn.picture))))?;
        // They are of the prompt, which all pictures share.
        if index == 0 {
            let remarks = models.count_tokens(&settings).remarks;
            progress.aside(|| {
                remarks.iter().chain(&drawn.picture.remarks).try_for_each(|remark| say(format!("  {remark}")))
            })?;
        }
        if arguments.draw.save_latents.is_some() {
            latents.push(drawn.latents);
        }
    }
    resolved.save_latents(latents)
}

/// Size, seed, steps, and where the time went.
pub(super) fn in_short(picture: &Picture) -> String {
    let Picture { width, height, settings, timings: t, .. } = picture;
    let steps = format::steps(settings.steps);
    let straightness = picture.straightness.map(|s| format!(", straightness {s:.4}")).unwrap_or_default();
    format!(
        "{width}x{height}, seed {}, {steps}, {:.3} s (text encoder {:.3}, U-Net {:.3}, decoder {:.3}){straightness}",
        settings.seed, t.total, t.text_encoder, t.unet, t.decoder
    )
}
