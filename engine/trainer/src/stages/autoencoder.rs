//! Pictures to latents of mean 0 and variance 1, and back. Change here what the autoencoder learns from and is is_perceptual by.

use std::ops::Range;

use anyhow::Result;
use candle_core::Tensor;
use instaflow_engine::vae::{AutoencoderTiny, TinyConfig};

use crate::architecture::Architecture;
use crate::file_io;
use crate::losses::{self, Weights};
use crate::parameters::{Parameters, Tensors};
use crate::pictures::{self, HELD_OUT_SEEDS, Pool, random_crops};
use crate::scenes;
use crate::seeded_random::{Random, key};
use crate::stage::Stage;
use crate::training::Schedule;
use crate::training_run::Run;

/// How much the latents' distance from mean 0 and variance 1 counts.
const MOMENTS: f64 = 0.02;
/// Standard deviation of what is added to the latents before they are decoded: what the flow will give is never exact,
/// and pictures that are alike should have latents that are alike.
const LATENT_NOISE: f64 = 0.03;
/// Held-out pictures that are looked at.
const SHOWN: u64 = 16;

/// Trains encoder and decoder on `pool` different scenes.
pub fn train(run: &Run, schedule: &Schedule, pool: usize) -> Result<()> {
    let stage = Stage::Autoencoder;
    run.require_scenes("the autoencoder")?;
    let config = as_seen(run)?;
    let parameters = run.parameters(stage, || Ok(Parameters::seeded(stage.seed(), &run.device)))?;
    let network = AutoencoderTiny::new(parameters.builder(), &config)?;
    let pool = Pool::new(pool, run.config.sizes.picture);
    // At 31 dB the mean square is 0.003: weighed like this, it counts about as much as the other two together.
    let weights = Weights { absolute: 1.0, squared: 20.0, edges: 0.5 };
    let loss = |step: u64, range: Range<usize>| {
        let pictures = batch(run, &pool, stage, step, &range)?;
        let latents = network.encode(&pictures)?;
        let decoded = network.decode(&disturbed(&latents, stage, step, &range)?)?;
        let error = losses::reconstruction(&decoded, &pictures, weights)?;
        Ok((error + (losses::moments(&latents)? * MOMENTS)?)?)
    };
    run.train(stage, schedule, &parameters, &loss, &mut |_, averages| look(run, stage, &config, &averages()?))
}

/// The autoencoder whose decoder paints pictures as large as its encoder sees them.
pub fn as_seen(run: &Run) -> Result<TinyConfig> {
    Architecture::of(&run.config.sizes.as_seen()).autoencoder()
}

/// The windows of pictures that are the samples of a step: (B, 3, H/2, W/2). Of a pool of the same scenes in another size
/// they are the same windows.
pub fn batch(run: &Run, pool: &Pool, stage: Stage, step: u64, range: &Range<usize>) -> Result<Tensor> {
    let scene = |sample: usize| Random::new(key(&[stage.seed(), step, sample as u64])).below(pool.count());
    let pictures = pool.tensor(&range.clone().map(scene).collect::<Vec<_>>(), &run.device)?;
    let sizes = &run.config.sizes;
    let grid = sizes.factor() * (pool.side() / sizes.picture) as usize;
    random_crops(&pictures, grid, &mut Random::new(key(&[stage.seed(), step, range.start as u64, 2])))
}

/// Latents with a little noise of the step's own.
fn disturbed(latents: &Tensor, stage: Stage, step: u64, range: &Range<usize>) -> Result<Tensor> {
    let mut random = Random::new(key(&[stage.seed(), step, range.start as u64, 1]));
    let noise: Vec<f32> = (0..latents.elem_count()).map(|_| (LATENT_NOISE * random.normal()) as f32).collect();
    Ok((latents + Tensor::from_vec(noise, latents.shape(), latents.device())?)?)
}

/// Round trips of held-out pictures, as `roundtrip.png` (originals above) and in dB.
pub fn look(run: &Run, stage: Stage, config: &TinyConfig, weights: &Tensors) -> Result<String> {
    let seen = run.config.sizes.picture;
    let side = (seen as usize / run.config.sizes.factor() * config.decoder_factor()) as u32;
    let network = AutoencoderTiny::new(run.frozen_builder(weights, ""), config)?;
    let round_trip = |seeds: Range<u64>| {
        let render = |side| seeds.clone().map(|seed| scenes::sample(HELD_OUT_SEEDS + seed).render(side)).collect();
        let (originals, input): (Vec<Vec<u8>>, Vec<Vec<u8>>) = (render(side), render(seen));
        let slices: Vec<&[u8]> = input.iter().map(Vec::as_slice).collect();
        let decoded = network.decode(&network.encode(&pictures::tensor(&slices, seen, &run.device)?)?)?;
        Ok((originals, pictures::from_tensor(&decoded)?))
    };
    let halves = run.replicas().map(vec![0..SHOWN / 2, SHOWN / 2..SHOWN], round_trip)?;
    let (originals, decoded): (Vec<_>, Vec<_>) = halves.into_iter().unzip();
    let tiles: Vec<Vec<u8>> =
        originals.iter().zip(&decoded).flat_map(|(a, b)| [a.clone(), b.clone()]).flatten().collect();
    let sheet = scenes::contact_sheet(&tiles, side, SHOWN as u32 / 2);
    file_io::write_png(&run.path(&stage.name()).join("roundtrip.png"), &sheet)?;
    Ok(format!("{:.2} dB on {SHOWN} held-out pictures", pictures::psnr(&originals.concat(), &decoded.concat())))
}
