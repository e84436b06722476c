//! Fifth stage: a stacked student that goes where the 2-rectified flow goes, in one step (paper, eq. 6).

use std::ops::Range;

use anyhow::Result;

use crate::flow::{Flow, TEXT, UNET, noise};
use crate::losses;
use crate::parameters::{Parameters, Tensors};
use crate::random::{Random, key};
use crate::run::{Run, Stage};
use crate::stack::stacked;
use crate::stages::base::is_unet;
use crate::stages::pairs;
use crate::training::Schedule;

/// U-Nets in series.
pub const STACKS: usize = 2;
/// Share of the steps with the squared error; the rest, like the paper's second phase, has a loss that is less easily
/// led by the worst samples. (The paper's LPIPS judges photographs.)
const SQUARED: f64 = 0.6;

/// Trains the student on at most `limit` pairs of the 2-rectified flow, whose text encoder it shares.
pub fn train(run: &Run, schedule: &Schedule, limit: usize) -> Result<()> {
    let (stage, from) = (Stage::Distill, Stage::Reflow);
    let (latents, origin) = pairs::read(run, from, limit)?;
    let parameters = run.parameters(stage, || {
        let weights = run.trained(from)?;
        pairs::check(&origin, &weights, from)?;
        Ok(Parameters::given(&student(&weights)?, is_unet)?)
    })?;
    let (tokenizer, _) = run.tokenizer()?;
    let flow = Flow::new(run, &parameters.builder(), STACKS)?;
    let loss = |step: u64, range: Range<usize>| {
        let rows: Vec<usize> =
            range.map(|sample| Random::new(key(&[stage.seed(), step, sample as u64])).below(latents.count())).collect();
        let seeds: Vec<u64> = rows.iter().map(|&row| pairs::seed(from, row)).collect();
        let prompts: Vec<Vec<u32>> = rows.iter().map(|&row| pairs::prompt(&tokenizer, from, row)).collect();
        let noise = noise(&seeds, run.architecture.latent())?;
        let v = flow.velocity(&noise, &vec![0.0; rows.len()], &flow.context(&prompts)?)?;
        let (drawn, target) = ((noise + v)?, latents.rows(&rows)?);
        if (step as f64) < SQUARED * schedule.steps as f64 {
            Ok(losses::squared(&drawn, &target)?)
        } else {
            Ok(losses::pseudo_huber(&drawn, &target)?)
        }
    };
    run.train(stage, schedule, &parameters, &loss, &mut |_| Ok(String::new()))
}

/// The weights that the student starts from: those of a single flow, stacked.
pub fn student(single: &Tensors) -> Result<Tensors> {
    let unet = single.iter().filter_map(|(name, tensor)| Some((name.strip_prefix(UNET)?.to_owned(), tensor.clone())));
    let stacked = stacked(&unet.collect())?;
    let mut all: Tensors = stacked.into_iter().map(|(name, tensor)| (format!("{UNET}{name}"), tensor)).collect();
    all.extend(single.iter().filter(|(name, _)| name.starts_with(TEXT)).map(|(name, t)| (name.clone(), t.clone())));
    Ok(all)
}
