//! The flow learns the straight ways between the ends of its own couplings (paper, eq. 4); again and again, if asked.
//! Change here what a reflow minimises.

use std::ops::Range;

use anyhow::{Result, ensure};
use candle_core::Tensor;
use instaflow_engine::Cancel;
use instaflow_engine::vae::Autoencoder;

use crate::config::{Loss, Reflow};
use crate::flow::{Flow, noise};
use crate::losses;
use crate::parameters::Parameters;
use crate::perceptual::Perceptual;
use crate::random::{Random, key};
use crate::run::Run;
use crate::stage::{MOST_REFLOWS, Stage};
use crate::stages::base::{DROPOUT, Pair, is_unet};
use crate::stages::held_out;
use crate::stages::pairs;
use crate::stages::sheet::Sheets;

/// Trains the U-Net of the next flow, from the weights of the one after `from` reflows, on at most `limit` of that one's
/// pairs; the text encoder stays.
pub fn train(run: &Run, settings: &Reflow, from: u8, limit: usize) -> Result<()> {
    ensure!(from < MOST_REFLOWS, "a run has at most {MOST_REFLOWS} reflows");
    let (stage, from, schedule) = (Stage::Flow(from + 1), Stage::Flow(from), &settings.schedule);
    let (rows, origin) = pairs::read(run, from, limit)?;
    let weights = run.trained(from)?;
    // Also where the stage has begun: the flow may have learned on since then.
    pairs::check(&origin, &weights, from)?;
    let parameters = run.parameters(stage, || Ok(Parameters::given(weights, is_unet, &run.device)?))?;
    let (tokenizer, prompts) = (run.tokenizer()?, run.prompts()?);
    let flow = Flow::new(run, &parameters.builder(), 1)?;
    let judge = if settings.loss == Loss::Perceptual { Some(Judge::open(run)?) } else { None };
    let (learnt, held_out) = held_out::split(rows.count());
    let minimised = |flow: &Flow, samples: Vec<Sample>| {
        let (mut seeds, mut ids, mut times, mut places) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for Sample { place, dropped, time } in samples {
            let row = rows.number(place);
            seeds.push(pairs::seed(from, row));
            let prompt = if dropped { String::new() } else { prompts.of(from.seed(), row).text };
            ids.push(tokenizer.encode(&prompt));
            times.push(time);
            places.push(place);
        }
        let pair = Pair { noise: noise(run, &seeds)?, latents: rows.latents(&places, &run.device)? };
        let at = pair.velocity(flow, &times, &flow.context(&ids)?)?;
        match (settings.loss, &judge) {
            (Loss::Squared, _) => Ok(losses::squared(&at.velocity, &at.direction)?),
            (Loss::PseudoHuber, _) => Ok(losses::pseudo_huber(&at.velocity, &at.direction)?),
            // Lee, Lin and Fanti, arXiv 2405.20320, section 4.2.
            (Loss::Perceptual, Some(judge)) => {
                let near = losses::timed_pseudo_huber(&at.velocity, &at.direction, &times)?;
                Ok((near + judge.distance(&at.end(&times)?, &pair.latents)?)?)
            }
            (Loss::Perceptual, None) => anyhow::bail!("a perceptual loss without anything that judges"),
        }
    };
    let loss = |step: u64, range: Range<usize>| {
        let sample = |sample: usize| {
            let mut random = Random::new(key(&[stage.seed(), step, sample as u64]));
            let (place, dropped) = (random.below(learnt), random.uniform() < DROPOUT);
            Sample { place, dropped, time: settings.times.draw(sample, schedule.batch, &mut random) }
        };
        minimised(&flow, range.map(sample).collect())
    };
    let mut sheets = Sheets::new(run, stage);
    run.train(stage, schedule, &parameters, &loss, &mut |step, averages| {
        let drawn = sheets.look(step, averages)?;
        if !drawn.is_empty() {
            let averaged = Flow::frozen(run, &averages()?, 1)?;
            // At the same times whenever it is asked.
            let sample = |place: usize| {
                let mut random = Random::new(key(&[stage.seed(), place as u64]));
                let time = settings.times.draw(place - held_out.start, held_out.len(), &mut random);
                Sample { place, dropped: false, time }
            };
            held_out::measure(run, stage, step, held_out.clone(), |part| {
                minimised(&averaged, part.iter().copied().map(sample).collect())
            })?;
        }
        Ok(drawn)
    })
}

/// What a flow is asked about a pair.
struct Sample {
    place: usize,
    /// Without its caption.
    dropped: bool,
    time: f64,
}

/// The perceptual distance of what latents decode to.
pub struct Judge {
    decoder: Autoencoder,
    perceptual: Perceptual,
}

impl Judge {
    /// With the run's decoder; says which distance it is.
    pub fn open(run: &Run) -> Result<Self> {
        let perceptual = Perceptual::open(run)?;
        eprintln!("perceptual loss: {}", perceptual.name());
        Ok(Self { decoder: run.decoder()?, perceptual })
    }

    /// Of latents (B, C, h, w); gradients flow to `a`, none to `b`.
    pub fn distance(&self, a: &Tensor, b: &Tensor) -> Result<Tensor> {
        let never = Cancel::default();
        let (a, b) = (self.decoder.decode(a, &never)?, self.decoder.decode(&b.detach(), &never)?);
        self.perceptual.distance(&a, &b)
    }
}
