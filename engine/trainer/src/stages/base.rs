//! The base flow, from noise to the latents of captioned scenes, together with its text encoder. Change here what the
//! base flow learns from.

use std::ops::Range;

use anyhow::{Result, bail};
use candle_core::DType;
use instaflow_engine::vae::AutoencoderTiny;

use crate::caption_probe::{CaptionLabels, CaptionProbe};
use crate::coupling;
use crate::flow_matching::{CAPTION_DROPOUT, Endpoints};
use crate::flow_model::{FlowModel, modified_noise};
use crate::losses;
use crate::parameters::{Parameters, Tensors, weights_fingerprint};
use crate::pictures;
use crate::run_config::Base;
use crate::scenes::{self, attributes::HEADS};
use crate::seeded_random::{Random, key};
use crate::shards::{self, LATENTS, Origin, Rows, Shard};
use crate::stage::Stage;
use crate::stages::contact_sheet::ContactSheets;
use crate::training_run::Run;

/// Weight of the caption probe's loss beside the flow's.
const PROBE_WEIGHT: f64 = 0.05;

/// Scenes that one worker encodes at once.
const ENCODED_AT_ONCE: usize = 16;

/// Trains text encoder and U-Net on the latents of the first scenes, with a new caption every time.
pub fn train(run: &Run, settings: &Base) -> Result<()> {
    let (stage, schedule) = (Stage::BASE, &settings.schedule);
    run.require_scenes("the base flow")?;
    let latents = encode_scenes(run, settings.pool)?;
    let tokenizer = run.tokenizer()?;
    let parameters = run.parameters(stage, || Ok(Parameters::seeded(stage.seed(), &run.device)))?;
    let flow = FlowModel::new(run, &parameters.builder(), 1)?;
    let probe = CaptionProbe::new(&parameters.builder(), run.config.sizes.text_width)?;
    let loss = |step: u64, range: Range<usize>| {
        let (mut rows, mut seeds, mut times) = (Vec::new(), Vec::new(), Vec::new());
        let (mut prompts, mut labels, mut placements) = (Vec::new(), Vec::new(), Vec::new());
        for sample in range {
            let mut random = Random::new(key(&[stage.seed(), step, sample as u64]));
            let row = random.below(latents.count());
            let dropped = random.uniform() < CAPTION_DROPOUT;
            let scene = scenes::sample(latents.number(row) as u64);
            let caption = scene.training_caption(random.bits());
            prompts.push(tokenizer.encode(if dropped { "" } else { &caption.text }));
            labels.push(if dropped { CaptionLabels::default() } else { caption.labels(&scene.attributes) });
            times.push(settings.timestep_sampling.sample(sample, schedule.batch, &mut random));
            seeds.push(random.bits());
            rows.push(row);
            placements.push(scene.open_placements(if dropped { &[false; HEADS.len()] } else { &caption.mentioned }));
        }
        let side = run.architecture().latent().1;
        let noise = modified_noise(run, &seeds, |place, noise| coupling::align_noise(noise, side, &placements[place]))?;
        let ends = Endpoints { noise, latents: latents.latents(&rows, &run.device)? };
        let context = flow.context(&prompts)?;
        let predicted = ends.predict(&flow, &times, &context)?;
        let flow_loss = losses::squared(&predicted.velocity, &predicted.target)?;
        Ok((flow_loss + (probe.loss(&context, &labels)? * PROBE_WEIGHT)?)?)
    };
    let mut sheets = ContactSheets::new(run, stage);
    run.train(stage, schedule, &parameters, &loss, &mut |step, averages| sheets.draw_if_due(step, averages))
}

/// The latents of the first `count` scenes, encoded once and kept in the run's folder.
fn encode_scenes(run: &Run, count: usize) -> Result<Rows> {
    let weights = run.trained(Stage::Decoder)?;
    let encoder = AutoencoderTiny::new(run.frozen_builder(&weights, ""), &run.architecture().autoencoder()?)?;
    let side = run.config.sizes.picture;
    let origin = Origin::from([
        ("encoder".to_owned(), weights_fingerprint(&weights, "encoder.")?),
        ("scenes".to_owned(), scenes::fingerprint(side)),
    ]);
    let folder = run.path("latents");
    let (workers, limits) = (run.replicas(), &run.limits);
    let complete = shards::fill(&folder, count, Shard::WHOLE, ENCODED_AT_ONCE, &origin, workers, limits, |rows| {
        let rendered: Vec<Vec<u8>> = rows.map(|row| scenes::sample(row as u64).render(side)).collect();
        let slices: Vec<&[u8]> = rendered.iter().map(Vec::as_slice).collect();
        let latents = encoder.encode(&pictures::tensor(&slices, side, &run.device)?)?;
        Ok(Tensors::from([(LATENTS.to_owned(), latents.detach().to_dtype(DType::F16)?)]))
    })?;
    if !complete {
        bail!("the scenes are not all encoded yet: the same command goes on from here");
    }
    Ok(shards::read(&folder, count)?.0)
}
