//! Distillation: a one-step student learns to jump where a flow goes (paper, eq. 6). It may be single or stacked, and
//! learn from the base flow or from a reflow. Change here what a student starts from and minimises.

use std::ops::Range;

use anyhow::Result;

use crate::architecture::{TEXT, UNET};
use crate::flow_model::{FlowModel, is_unet, noise};
use crate::losses;
use crate::pair_data;
use crate::parameters::{Parameters, Tensors};
use crate::perceptual::PerceptualLoss;
use crate::run_config::{Distill, Loss};
use crate::seeded_random::{Random, key};
use crate::stack::stacked;
use crate::stage::{Stage, Student};
use crate::stages::contact_sheet::ContactSheets;
use crate::stages::held_out;
use crate::training_run::Run;

/// Trains a student on at most `limit` pairs of the flow from whose weights it starts. The two share a text encoder.
pub fn train(run: &Run, settings: &Distill, student: Student, limit: usize) -> Result<()> {
    let (stage, from, schedule) = (Stage::Student(student), Stage::Flow(student.from), &settings.schedule);
    let (rows, origin) = pair_data::read(run, from, limit)?;
    let weights = run.trained(from)?;
    // Checked even if the stage has begun: the flow may have learned since then.
    pair_data::check_origin(&origin, &weights, from)?;
    let parameters = run.parameters(stage, || {
        Ok(Parameters::given(initial_weights(weights, student.stacks)?, is_unet, &run.device)?)
    })?;
    let (tokenizer, prompts) = (run.tokenizer()?, run.prompts()?);
    let flow = FlowModel::new(run, &parameters.builder(), student.stacks)?;
    let needs_perceptual = [settings.loss, settings.second_loss].contains(&Loss::Perceptual);
    let perceptual = if needs_perceptual { Some(PerceptualLoss::open(run)?) } else { None };
    let (trained, held_out) = held_out::split(rows.count());
    let loss_of = |flow: &FlowModel, step: u64, places: &[usize]| {
        let numbers = || places.iter().map(|&place| rows.number(place));
        let seeds: Vec<u64> = numbers().map(|row| pair_data::seed(from, row)).collect();
        let ids: Vec<Vec<u32>> = numbers().map(|row| tokenizer.encode(&prompts.of(from.seed(), row).text)).collect();
        let noise = noise(run, &seeds)?;
        let v = flow.velocity(&noise, &vec![0.0; places.len()], &flow.context(&ids)?)?;
        let (drawn, target) = ((noise + v)?, rows.latents(places, &run.device)?);
        let first = (step as f64) < settings.first_share * schedule.steps as f64;
        match (if first { settings.loss } else { settings.second_loss }, &perceptual) {
            (Loss::Squared, _) => Ok(losses::squared(&drawn, &target)?),
            (Loss::PseudoHuber, _) => Ok(losses::pseudo_huber(&drawn, &target)?),
            // The paper's second phase minimises LPIPS alone, which sees everything. The features of a small classifier
            // do not, so the squared error stays in the sum.
            (Loss::Perceptual, Some(perceptual)) => {
                Ok((losses::squared(&drawn, &target)? + perceptual.distance(&drawn, &target)?)?)
            }
            (Loss::Perceptual, None) => anyhow::bail!("the perceptual loss was not opened"),
        }
    };
    let loss = |step: u64, range: Range<usize>| {
        let place = |sample| Random::new(key(&[stage.seed(), step, sample as u64])).below(trained);
        loss_of(&flow, step, &range.map(place).collect::<Vec<_>>())
    };
    let mut sheets = ContactSheets::new(run, stage);
    run.train(stage, schedule, &parameters, &loss, &mut |step, averages| {
        let drawn = sheets.draw_if_due(step, averages)?;
        if !drawn.is_empty() {
            let averaged = FlowModel::frozen(run, &averages()?, student.stacks)?;
            let last = step.saturating_sub(1);
            held_out::log_loss(run, stage, step, held_out.clone(), |batch| loss_of(&averaged, last, batch))?;
        }
        Ok(drawn)
    })
}

/// The weights that a student starts from: those of a single flow as they are, or stacked.
pub fn initial_weights(single: Tensors, stacks: usize) -> Result<Tensors> {
    if stacks == 1 {
        return Ok(single);
    }
    let unet = single.iter().filter_map(|(name, tensor)| Some((name.strip_prefix(UNET)?.to_owned(), tensor.clone())));
    let stacked = stacked(&unet.collect())?;
    let mut all: Tensors = stacked.into_iter().map(|(name, tensor)| (format!("{UNET}{name}"), tensor)).collect();
    all.extend(single.into_iter().filter(|(name, _)| name.starts_with(TEXT)));
    Ok(all)
}
