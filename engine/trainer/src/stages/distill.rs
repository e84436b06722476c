//! A student that goes where a flow goes, in one step (paper, eq. 6): single or stacked, from the base or from a reflow.
//! Change here what a student starts from and minimises.

use std::ops::Range;

use anyhow::Result;

use crate::config::{Distill, Loss};
use crate::flow::{Flow, TEXT, UNET, noise};
use crate::losses;
use crate::parameters::{Parameters, Tensors};
use crate::random::{Random, key};
use crate::run::Run;
use crate::stack::stacked;
use crate::stage::{Stage, Student};
use crate::stages::base::is_unet;
use crate::stages::held_out;
use crate::stages::pairs;
use crate::stages::reflow::Judge;
use crate::stages::sheet::Sheets;

/// Trains a student on at most `limit` pairs of the flow that it starts from and whose text encoder it shares.
pub fn train(run: &Run, settings: &Distill, student: Student, limit: usize) -> Result<()> {
    let (stage, from, schedule) = (Stage::Student(student), Stage::Flow(student.from), &settings.schedule);
    let (rows, origin) = pairs::read(run, from, limit)?;
    let weights = run.trained(from)?;
    // Also where the stage has begun: the flow may have learned on since then.
    pairs::check(&origin, &weights, from)?;
    let parameters =
        run.parameters(stage, || Ok(Parameters::given(start(weights, student.stacks)?, is_unet, &run.device)?))?;
    let (tokenizer, prompts) = (run.tokenizer()?, run.prompts()?);
    let flow = Flow::new(run, &parameters.builder(), student.stacks)?;
    let judged = [settings.loss, settings.second_loss].contains(&Loss::Perceptual);
    let judge = if judged { Some(Judge::open(run)?) } else { None };
    let (learnt, held_out) = held_out::split(rows.count());
    let minimised = |flow: &Flow, step: u64, places: &[usize]| {
        let numbers = || places.iter().map(|&place| rows.number(place));
        let seeds: Vec<u64> = numbers().map(|row| pairs::seed(from, row)).collect();
        let ids: Vec<Vec<u32>> = numbers().map(|row| tokenizer.encode(&prompts.of(from.seed(), row).text)).collect();
        let noise = noise(run, &seeds)?;
        let v = flow.velocity(&noise, &vec![0.0; places.len()], &flow.context(&ids)?)?;
        let (drawn, target) = ((noise + v)?, rows.latents(places, &run.device)?);
        let first = (step as f64) < settings.first_share * schedule.steps as f64;
        match (if first { settings.loss } else { settings.second_loss }, &judge) {
            (Loss::Squared, _) => Ok(losses::squared(&drawn, &target)?),
            (Loss::PseudoHuber, _) => Ok(losses::pseudo_huber(&drawn, &target)?),
            // The squared error stays in the sum, which the paper's second phase leaves out: it has LPIPS, which sees
            // everything; a small classifier's features do not.
            (Loss::Perceptual, Some(judge)) => {
                Ok((losses::squared(&drawn, &target)? + judge.distance(&drawn, &target)?)?)
            }
            (Loss::Perceptual, None) => anyhow::bail!("a perceptual loss without anything that judges"),
        }
    };
    let loss = |step: u64, range: Range<usize>| {
        let place = |sample| Random::new(key(&[stage.seed(), step, sample as u64])).below(learnt);
        minimised(&flow, step, &range.map(place).collect::<Vec<_>>())
    };
    let mut sheets = Sheets::new(run, stage);
    run.train(stage, schedule, &parameters, &loss, &mut |step, averages| {
        let drawn = sheets.look(step, averages)?;
        if !drawn.is_empty() {
            let averaged = Flow::frozen(run, &averages()?, student.stacks)?;
            let last = step.saturating_sub(1);
            held_out::measure(run, stage, step, held_out.clone(), |part| minimised(&averaged, last, part))?;
        }
        Ok(drawn)
    })
}

/// The weights that a student starts from: those of a single flow as they are, or stacked.
pub fn start(single: Tensors, stacks: usize) -> Result<Tensors> {
    if stacks == 1 {
        return Ok(single);
    }
    let unet = single.iter().filter_map(|(name, tensor)| Some((name.strip_prefix(UNET)?.to_owned(), tensor.clone())));
    let stacked = stacked(&unet.collect())?;
    let mut all: Tensors = stacked.into_iter().map(|(name, tensor)| (format!("{UNET}{name}"), tensor)).collect();
    all.extend(single.into_iter().filter(|(name, _)| name.starts_with(TEXT)));
    Ok(all)
}
