//! Third stage: the flow from noise to the latents of captioned scenes.

use std::ops::Range;

use anyhow::{Result, bail};
use candle_core::{Device, Tensor};
use instaflow_engine::vae::AutoencoderTiny;

use crate::files::Metadata;
use crate::flow::{Flow, TEXT, UNET, noise};
use crate::losses;
use crate::parameters::Parameters;
use crate::pictures;
use crate::random::{Random, key};
use crate::run::{Run, Stage, fingerprint, frozen};
use crate::scenes;
use crate::shards::{self, Latents};
use crate::training::Schedule;

/// How often a sample is trained without its caption, so that guidance has something to lead away from.
pub const DROPOUT: f64 = 0.1;

/// Trains text encoder and U-Net on the latents of scenes 0 … `pool` − 1, with a caption of their own each time.
pub fn train(run: &Run, schedule: &Schedule, pool: usize) -> Result<()> {
    let stage = Stage::Base;
    let latents = encoded(run, pool)?;
    let (tokenizer, _) = run.tokenizer()?;
    let parameters = run.parameters(stage, || Ok(Parameters::seeded(stage.seed())))?;
    let flow = Flow::new(run, &parameters.builder(), 1)?;
    let loss = |step: u64, range: Range<usize>| {
        let (mut rows, mut prompts, mut seeds, mut times) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for sample in range {
            let mut random = Random::new(key(&[stage.seed(), step, sample as u64]));
            let row = random.below(latents.count());
            let dropped = random.uniform() < DROPOUT;
            let caption = scenes::sample(row as u64).caption(random.bits());
            prompts.push(tokenizer.encode(if dropped { "" } else { &caption }));
            // Uniform over the batch as in the paper, one sample in each part of it: the same mean with less noise.
            times.push((sample as f64 + random.uniform()) / schedule.batch as f64);
            seeds.push(random.bits());
            rows.push(row);
        }
        velocity_loss(&flow, &latents.rows(&rows)?, &noise(&seeds, run.architecture.latent())?, &times, &prompts)
    };
    run.train(stage, schedule, &parameters, &loss, &mut |_| Ok(String::new()))
}

/// Mean squared error of the velocity at `times` on the straight ways from `noise` to `latents` (paper, eq. 1).
pub fn velocity_loss(
    flow: &Flow,
    latents: &Tensor,
    noise: &Tensor,
    times: &[f64],
    prompts: &[Vec<u32>],
) -> Result<Tensor> {
    let t: Vec<f32> = times.iter().map(|&t| t as f32).collect();
    let t = Tensor::from_vec(t, (times.len(), 1, 1, 1), &Device::Cpu)?;
    let direction = (latents - noise)?;
    let x = (noise + direction.broadcast_mul(&t)?)?;
    let v = flow.velocity(&x, times, &flow.context(prompts)?)?;
    Ok(losses::squared(&v, &direction)?)
}

/// Which weights of a flow learn where the text encoder stays.
pub fn is_unet(name: &str) -> bool {
    name.starts_with(UNET)
}

/// What tells one flow's weights from another's.
pub fn flow_fingerprint(weights: &crate::parameters::Tensors) -> Result<String> {
    Ok(fingerprint(weights, TEXT)? + &fingerprint(weights, UNET)?)
}

/// The latents of the first `count` scenes.
fn encoded(run: &Run, count: usize) -> Result<Latents> {
    let weights = run.trained(Stage::Decoder)?;
    let encoder = AutoencoderTiny::new(frozen(&weights, ""), &run.architecture.autoencoder()?)?;
    let origin = Metadata::from([("encoder".to_owned(), fingerprint(&weights, "encoder.")?)]);
    let side = run.architecture.picture;
    let folder = run.path("latents");
    let whole = shards::fill(&folder, count, &origin, &run.workers, &run.limits, |rows| {
        let rendered: Vec<Vec<u8>> = rows.map(|row| scenes::sample(row as u64).render(side)).collect();
        let slices: Vec<&[u8]> = rendered.iter().map(Vec::as_slice).collect();
        Ok(encoder.encode(&pictures::tensor(&slices, side)?)?.detach())
    })?;
    if !whole {
        bail!("the scenes are not all encoded yet: the same command goes on from here");
    }
    Ok(shards::read(&folder, count)?.0)
}
