//! The flow from noise to the latents of captioned scenes. Change here what the base flow learns from; the loss of a flow
//! at given times is here, too.

use std::ops::Range;

use anyhow::{Result, bail};
use candle_core::{DType, Tensor};
use instaflow_engine::vae::AutoencoderTiny;

use crate::config::Base;
use crate::coupling;
use crate::flow::{Flow, TEXT, UNET, changed_noise};
use crate::losses;
use crate::parameters::{Parameters, Tensors};
use crate::pictures;
use crate::random::{Random, key};
use crate::run::{Run, fingerprint};
use crate::scenes::{self, attributes::HEADS};
use crate::shards::{self, LATENTS, Origin, Rows, Shard};
use crate::stage::Stage;
use crate::stages::sheet::Sheets;
use crate::told::{Answers, Told};

/// How often a sample is trained without its caption, so that guidance has something to lead away from.
pub const DROPOUT: f64 = 0.1;

/// How much it counts what the text encoder says of captions.
const TOLD: f64 = 0.05;

/// Scenes that one worker encodes at once.
const PART: usize = 16;

/// Trains text encoder and U-Net on the latents of the first scenes, with a caption of their own each time.
pub fn train(run: &Run, settings: &Base) -> Result<()> {
    let (stage, schedule) = (Stage::BASE, &settings.schedule);
    run.check_scenes("the base flow")?;
    let latents = encoded(run, settings.pool)?;
    let tokenizer = run.tokenizer()?;
    let parameters = run.parameters(stage, || Ok(Parameters::seeded(stage.seed(), &run.device)))?;
    let flow = Flow::new(run, &parameters.builder(), 1)?;
    let told = Told::new(&parameters.builder(), run.config.sizes.text_width)?;
    let loss = |step: u64, range: Range<usize>| {
        let (mut rows, mut seeds, mut times) = (Vec::new(), Vec::new(), Vec::new());
        let (mut prompts, mut answers, mut choices) = (Vec::new(), Vec::new(), Vec::new());
        for sample in range {
            let mut random = Random::new(key(&[stage.seed(), step, sample as u64]));
            let row = random.below(latents.count());
            let dropped = random.uniform() < DROPOUT;
            let scene = scenes::sample(latents.number(row) as u64);
            let caption = scene.training_caption(random.bits());
            prompts.push(tokenizer.encode(if dropped { "" } else { &caption.text }));
            answers.push(if dropped { Answers::default() } else { caption.tells(&scene.attributes) });
            times.push(settings.times.draw(sample, schedule.batch, &mut random));
            seeds.push(random.bits());
            rows.push(row);
            choices.push(scene.choices(if dropped { &[false; HEADS.len()] } else { &caption.told }));
        }
        let side = run.architecture().latent().1;
        let noise = changed_noise(run, &seeds, |place, noise| coupling::agree(noise, side, &choices[place]))?;
        let pair = Pair { noise, latents: latents.latents(&rows, &run.device)? };
        let context = flow.context(&prompts)?;
        let at = pair.velocity(&flow, &times, &context)?;
        Ok((losses::squared(&at.velocity, &at.direction)? + (told.loss(&context, &answers)? * TOLD)?)?)
    };
    let mut sheets = Sheets::new(run, stage);
    run.train(stage, schedule, &parameters, &loss, &mut |step, averages| sheets.look(step, averages))
}

/// The two ends of straight ways.
pub struct Pair {
    /// (B, C, h, w).
    pub noise: Tensor,
    /// (B, C, h, w).
    pub latents: Tensor,
}

/// What a flow says somewhere on the way.
pub struct At {
    /// Where it was asked: (B, C, h, w).
    pub x: Tensor,
    /// Its answer.
    pub velocity: Tensor,
    /// What it should be: from the noise to the latents.
    pub direction: Tensor,
}

impl Pair {
    /// Asks a flow at `times`, each sample at its own (paper, eq. 1).
    pub fn velocity(&self, flow: &Flow, times: &[f64], context: &Tensor) -> Result<At> {
        let t: Vec<f32> = times.iter().map(|&t| t as f32).collect();
        let t = Tensor::from_vec(t, (times.len(), 1, 1, 1), self.noise.device())?;
        let direction = (&self.latents - &self.noise)?;
        let x = (&self.noise + direction.broadcast_mul(&t)?)?;
        let velocity = flow.velocity(&x, times, context)?;
        Ok(At { x, velocity, direction })
    }
}

impl At {
    /// Where the ways end if they go on straight: x + (1 − t)·v.
    pub fn end(&self, times: &[f64]) -> Result<Tensor> {
        let left: Vec<f32> = times.iter().map(|&t| (1.0 - t) as f32).collect();
        let left = Tensor::from_vec(left, (times.len(), 1, 1, 1), self.x.device())?;
        Ok((&self.x + self.velocity.broadcast_mul(&left)?)?)
    }
}

/// Which weights of a flow learn where the text encoder stays.
pub fn is_unet(name: &str) -> bool {
    name.starts_with(UNET)
}

/// What tells one flow's weights from another's.
pub fn flow_fingerprint(weights: &Tensors) -> Result<String> {
    Ok(fingerprint(weights, TEXT)? + &fingerprint(weights, UNET)?)
}

/// The latents of the first `count` scenes.
fn encoded(run: &Run, count: usize) -> Result<Rows> {
    let weights = run.trained(Stage::Decoder)?;
    let encoder = AutoencoderTiny::new(run.frozen(&weights, ""), &run.architecture().autoencoder()?)?;
    let side = run.config.sizes.picture;
    let origin = Origin::from([
        ("encoder".to_owned(), fingerprint(&weights, "encoder.")?),
        ("scenes".to_owned(), scenes::fingerprint(side)),
    ]);
    let folder = run.path("latents");
    let whole = shards::fill(&folder, count, Shard::WHOLE, PART, &origin, run.replicas(), &run.limits, |rows| {
        let rendered: Vec<Vec<u8>> = rows.map(|row| scenes::sample(row as u64).render(side)).collect();
        let slices: Vec<&[u8]> = rendered.iter().map(Vec::as_slice).collect();
        let latents = encoder.encode(&pictures::tensor(&slices, side, &run.device)?)?;
        Ok(Tensors::from([(LATENTS.to_owned(), latents.detach().to_dtype(DType::F16)?)]))
    })?;
    if !whole {
        bail!("the scenes are not all encoded yet: the same command goes on from here");
    }
    Ok(shards::read(&folder, count)?.0)
}
