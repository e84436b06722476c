//! Reflow: the next flow learns the straight paths between the ends of the pairs of the one before (paper, eq. 4). It can
//! be repeated. Change here what a reflow minimises.

use std::ops::Range;

use anyhow::{Result, ensure};

use crate::flow_matching::{CAPTION_DROPOUT, Endpoints};
use crate::flow_model::{FlowModel, is_unet, noise};
use crate::losses;
use crate::pair_data;
use crate::parameters::Parameters;
use crate::perceptual::PerceptualLoss;
use crate::run_config::{Loss, Reflow};
use crate::seeded_random::{Random, key};
use crate::stage::{MOST_REFLOWS, Stage};
use crate::stages::contact_sheet::ContactSheets;
use crate::stages::held_out;
use crate::training_run::Run;

/// Trains the U-Net of the next flow on at most `limit` pairs of the flow after `from` reflows, from whose weights it
/// starts. The text encoder is frozen.
pub fn train(run: &Run, settings: &Reflow, from: u8, limit: usize) -> Result<()> {
    ensure!(from < MOST_REFLOWS, "a run has at most {MOST_REFLOWS} reflows");
    let (stage, from, schedule) = (Stage::Flow(from + 1), Stage::Flow(from), &settings.schedule);
    let (rows, origin) = pair_data::read(run, from, limit)?;
    let weights = run.trained(from)?;
    // Checked even if the stage has begun: the flow may have learned since then.
    pair_data::check_origin(&origin, &weights, from)?;
    let parameters = run.parameters(stage, || Ok(Parameters::given(weights, is_unet, &run.device)?))?;
    let (tokenizer, prompts) = (run.tokenizer()?, run.prompts()?);
    let flow = FlowModel::new(run, &parameters.builder(), 1)?;
    let perceptual = if settings.loss == Loss::Perceptual { Some(PerceptualLoss::open(run)?) } else { None };
    let (trained, held_out) = held_out::split(rows.count());
    let loss_of = |flow: &FlowModel, samples: Vec<Sample>| {
        let (mut seeds, mut ids, mut times, mut places) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for Sample { place, dropped, time } in samples {
            let row = rows.number(place);
            seeds.push(pair_data::seed(from, row));
            let prompt = if dropped { String::new() } else { prompts.of(from.seed(), row).text };
            ids.push(tokenizer.encode(&prompt));
            times.push(time);
            places.push(place);
        }
        let ends = Endpoints { noise: noise(run, &seeds)?, latents: rows.latents(&places, &run.device)? };
        let predicted = ends.predict(flow, &times, &flow.context(&ids)?)?;
        let (velocity, target) = (&predicted.velocity, &predicted.target);
        match (settings.loss, &perceptual) {
            (Loss::Squared, _) => Ok(losses::squared(velocity, target)?),
            (Loss::PseudoHuber, _) => Ok(losses::pseudo_huber(velocity, target)?),
            // Lee, Lin and Fanti, arXiv 2405.20320, section 4.2.
            (Loss::Perceptual, Some(perceptual)) => {
                let latent_loss = losses::timed_pseudo_huber(velocity, target, &times)?;
                let picture_loss = perceptual.distance(&predicted.extrapolated_latents(&times)?, &ends.latents)?;
                Ok((latent_loss + picture_loss)?)
            }
            (Loss::Perceptual, None) => anyhow::bail!("the perceptual loss was not opened"),
        }
    };
    let loss = |step: u64, range: Range<usize>| {
        let sample = |sample: usize| {
            let mut random = Random::new(key(&[stage.seed(), step, sample as u64]));
            let (place, dropped) = (random.below(trained), random.uniform() < CAPTION_DROPOUT);
            Sample { place, dropped, time: settings.timestep_sampling.sample(sample, schedule.batch, &mut random) }
        };
        loss_of(&flow, range.map(sample).collect())
    };
    let mut sheets = ContactSheets::new(run, stage);
    run.train(stage, schedule, &parameters, &loss, &mut |step, averages| {
        let drawn = sheets.draw_if_due(step, averages)?;
        if !drawn.is_empty() {
            let averaged = FlowModel::frozen(run, &averages()?, 1)?;
            // The same times whenever the loss is logged.
            let sample = |place: usize| {
                let mut random = Random::new(key(&[stage.seed(), place as u64]));
                let time = settings.timestep_sampling.sample(place - held_out.start, held_out.len(), &mut random);
                Sample { place, dropped: false, time }
            };
            held_out::log_loss(run, stage, step, held_out.clone(), |batch| {
                loss_of(&averaged, batch.iter().copied().map(sample).collect())
            })?;
        }
        Ok(drawn)
    })
}

/// One sample of a batch.
struct Sample {
    /// The place of its pair.
    place: usize,
    /// Whether it is trained without its caption.
    dropped: bool,
    /// Its time on the path from noise (0) to latents (1).
    time: f64,
}
