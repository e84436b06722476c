//! The stages together, on the smallest networks. Change here the run that the tests share.

mod end_to_end;
mod network_training;
mod resume;

use std::path::Path;
use std::time::Duration;

use anyhow::{Result, ensure};
use candle_core::{DType, Device, Tensor};

use crate::bpe::BpeVocabulary;
use crate::flow_model::{FlowModel, noise};
use crate::parameters::{Parameters, Tensors};
use crate::run_config::{Config, Loss};
use crate::scenes;
use crate::shards::Shard;
use crate::stage::Stage;
use crate::stages::pairs::{self, Amount, Solver};
use crate::stages::{autoencoder, base, classifier, decoder};
use crate::training::Limits;
use crate::training_run::Run;

/// A run with this configuration, every start of a stage ending after `steps` steps of its own.
fn run_of(folder: &Path, config: Config, steps: Option<u64>) -> Result<Run> {
    let stop_file = folder.join("stop");
    let limits = Limits { deadline: None, steps, checkpoint_every: Duration::from_hours(1), stop_file };
    Run::open(folder.join("run"), Some(config), Device::Cpu, 2, limits)
}

/// A run of the smallest networks, with a tokenizer.
fn toy_run(folder: &Path) -> Result<Run> {
    let run = run_of(folder, Config::toy(), None)?;
    BpeVocabulary::learn(&scenes::words()).write(&run.tokenizer_folder(), run.config.sizes.tokens)?;
    Ok(run)
}

/// Trains everything up to the base flow and draws pairs of it.
fn train_base(run: &Run) -> Result<()> {
    let config = &run.config;
    autoencoder::train(run, &config.autoencoder.schedule, config.autoencoder.pool)?;
    decoder::train(run, &config.decoder)?;
    classifier::train(run, &config.classifier.schedule, config.classifier.pool)?;
    base::train(run, &config.base)?;
    make_pairs(run, Stage::BASE)
}

fn make_pairs(run: &Run, from: Stage) -> Result<()> {
    // Of 16 one is held out.
    let amount = Amount { count: 16, shard: Shard::WHOLE, batch: 32 };
    pairs::make(run, from, amount, Solver { steps: 1, guidance: 1.5 })
}

/// The velocity of two prompts at two times.
fn velocity(run: &Run, flow: &FlowModel) -> Result<Tensor> {
    let tokenizer = run.tokenizer()?;
    let prompts = ["a lake at sunset", ""].map(|prompt| tokenizer.encode(prompt));
    flow.velocity(&noise(run, &[1, 2])?, &[0.0, 0.7], &flow.context(&prompts)?)
}

/// What fresh parameters hold.
pub fn values(parameters: &Parameters) -> Tensors {
    parameters.trained().into_iter().map(|(name, var)| (name, var.as_detached_tensor())).collect()
}

/// The largest of a tensor's values, signs aside. All must be finite.
fn largest(tensor: &Tensor) -> Result<f64> {
    let values: Vec<f64> = tensor.to_dtype(DType::F64)?.flatten_all()?.to_vec1()?;
    ensure!(values.iter().all(|value| value.is_finite()), "not every value is finite");
    Ok(values.into_iter().map(f64::abs).fold(0.0, f64::max))
}

/// Every loss there is.
const LOSSES: [Loss; 3] = [Loss::Squared, Loss::PseudoHuber, Loss::Perceptual];
