//! Fourth stage: the flow learns the straight ways between the ends of its own couplings (paper, eq. 4).

use std::ops::Range;

use anyhow::Result;

use crate::flow::{Flow, noise};
use crate::parameters::Parameters;
use crate::random::{Random, key};
use crate::run::{Run, Stage};
use crate::stages::base::{DROPOUT, is_unet, velocity_loss};
use crate::stages::pairs;
use crate::training::Schedule;

/// Trains the U-Net, from the base flow's weights, on at most `limit` of its pairs; the text encoder stays.
pub fn train(run: &Run, schedule: &Schedule, limit: usize) -> Result<()> {
    let (stage, from) = (Stage::Reflow, Stage::Base);
    let (latents, origin) = pairs::read(run, from, limit)?;
    let parameters = run.parameters(stage, || {
        let weights = run.trained(from)?;
        pairs::check(&origin, &weights, from)?;
        Ok(Parameters::given(&weights, is_unet)?)
    })?;
    let (tokenizer, _) = run.tokenizer()?;
    let flow = Flow::new(run, &parameters.builder(), 1)?;
    let loss = |step: u64, range: Range<usize>| {
        let (mut rows, mut prompts, mut times) = (Vec::new(), Vec::new(), Vec::new());
        for sample in range {
            let mut random = Random::new(key(&[stage.seed(), step, sample as u64]));
            let row = random.below(latents.count());
            let dropped = random.uniform() < DROPOUT;
            prompts.push(if dropped { tokenizer.encode("") } else { pairs::prompt(&tokenizer, from, row) });
            times.push((sample as f64 + random.uniform()) / schedule.batch as f64);
            rows.push(row);
        }
        let seeds: Vec<u64> = rows.iter().map(|&row| pairs::seed(from, row)).collect();
        velocity_loss(&flow, &latents.rows(&rows)?, &noise(&seeds, run.architecture.latent())?, &times, &prompts)
    };
    run.train(stage, schedule, &parameters, &loss, &mut |_| Ok(String::new()))
}
