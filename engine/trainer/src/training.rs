//! The training loop of all stages: a batch shared out over the replicas, one optimizer step, checkpoints, a progress line.
//! Change here what is the same in every stage; what a stage minimises is in `stages/`.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use candle_core::Tensor;
use serde::{Deserialize, Serialize};

use crate::file_io::{self, Metadata, Saved, TensorFile};
use crate::optimizer::{Gradients, Optimizer, Rule, Step};
use crate::parameters::{Parameters, Tensors};
use crate::progress_log::Progress;
use crate::workers::Workers;

/// How a stage learns.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schedule {
    /// Optimizer steps from start to end, over all runs of the stage.
    pub steps: u64,
    /// Samples of a step.
    pub batch: usize,
    /// Samples that go through the network at once on one worker: small ones stay in its cache.
    pub micro_batch: usize,
    /// Highest learning rate, reached after `warm_up` steps; falls along half a cosine to `final_rate`.
    pub rate: f64,
    /// Learning rate of the last step.
    pub final_rate: f64,
    /// Steps in which the rate rises from zero.
    pub warm_up: u64,
    /// Weight decay.
    pub decay: f64,
    /// How much of the moving average of the weights a step keeps.
    pub average: f64,
    /// How gradients change weights.
    pub rule: Rule,
}

impl Schedule {
    /// Refuses settings that cannot train, in one sentence.
    pub fn validate(&self) -> Result<()> {
        ensure!(self.batch > 0 && self.micro_batch > 0, "batch and micro_batch take 1 or more");
        ensure!(self.rate.is_finite() && self.rate > 0.0, "rate takes a number above 0");
        ensure!((0.0..=self.rate).contains(&self.final_rate), "final_rate takes a number from 0 to rate");
        ensure!((0.0..1.0).contains(&self.decay), "decay takes a number from 0 to below 1");
        ensure!((0.0..1.0).contains(&self.average), "average takes a number from 0 to below 1");
        Ok(())
    }

    /// The learning rate of step `index`: 0, 1 …
    pub fn rate_at(&self, index: u64) -> f64 {
        let warm = ((index + 1) as f64 / self.warm_up.max(1) as f64).min(1.0);
        let way = index.saturating_sub(self.warm_up) as f64 / self.steps.saturating_sub(self.warm_up).max(1) as f64;
        let cosine = 0.5 + 0.5 * (std::f64::consts::PI * way.min(1.0)).cos();
        warm * (self.final_rate + (self.rate - self.final_rate) * cosine)
    }
}

/// When a run ends before its schedule does, and how often it saves.
#[derive(Clone, Debug)]
pub struct Limits {
    /// The run saves and ends here.
    pub deadline: Option<Instant>,
    /// A run saves and ends after so many steps of its own, whatever its schedule says.
    pub steps: Option<u64>,
    /// Time between two checkpoints.
    pub checkpoint_every: Duration,
    /// A file whose appearance ends the run likewise.
    pub stop_file: PathBuf,
}

impl Limits {
    /// Whether it is time to save and end.
    pub fn reached(&self) -> bool {
        self.deadline.is_some_and(|deadline| Instant::now() >= deadline) || self.stop_file.exists()
    }
}

/// The mean loss of the samples `range` of step `index`, a scalar with its graph.
pub type Loss<'a> = &'a (dyn Fn(u64, Range<usize>) -> Result<Tensor> + Sync);

/// Looks at the averaged weights at every checkpoint, after so many steps; answers a few words for the log. The weights
/// are copied when they are asked for.
pub type Look<'a> = &'a mut dyn FnMut(u64, Averages) -> Result<String>;

/// Gives the averaged weights, those that do not learn included.
pub type Averages<'a> = &'a dyn Fn() -> Result<Tensors>;

/// Trains until the schedule or a limit ends, from the checkpoint `path` if there is one. True: the schedule is done.
pub fn train(
    path: &Path,
    name: &str,
    schedule: &Schedule,
    limits: &Limits,
    replicas: &Workers,
    parameters: &Parameters,
    loss: Loss,
    look: Look,
) -> Result<bool> {
    let mut optimizer = Optimizer::new(parameters, schedule.rule)?;
    let mut done = 0;
    if let Some(saved) = TensorFile::open(path)? {
        optimizer.restore(&saved).with_context(|| format!("cannot go on from {}", path.display()))?;
        done = steps_of(&saved).with_context(|| format!("{} does not say how far it got", path.display()))?;
        eprintln!("{name}: going on after step {done}");
    }
    eprintln!("{name}: {} parameters learn, {} replicas", optimizer.numbers(), replicas.count());
    let end = limits.steps.map_or(schedule.steps, |steps| schedule.steps.min(done + steps));
    let mut progress = Progress::new(name, done, schedule.steps, schedule.batch);
    if let Some(folder) = path.parent() {
        progress = progress.logged(folder);
    }
    let mut saved_at = Instant::now();
    let mut unsaved = !path.exists();
    while done < end && !limits.reached() {
        let loss =
            step(&mut optimizer, schedule, done, replicas, loss).with_context(|| format!("{name}, step {done}"))?;
        done += 1;
        progress.step(done, schedule.rate_at(done - 1), loss)?;
        unsaved = true;
        if saved_at.elapsed() >= limits.checkpoint_every {
            save(path, &optimizer, parameters, done)?;
            progress.note(&look(done, &|| averages(&optimizer, parameters))?);
            (saved_at, unsaved) = (Instant::now(), false);
        }
    }
    if unsaved {
        save(path, &optimizer, parameters, done)?;
        progress.note(&look(done, &|| averages(&optimizer, parameters))?);
    }
    Ok(done >= schedule.steps)
}

/// Writes the checkpoint that a stage finds before its first step: these weights, and nothing remembered of any step.
pub fn begin(path: &Path, parameters: &Parameters) -> Result<()> {
    save(path, &Optimizer::new(parameters, Rule::AdamW)?, parameters, 0)
}

/// Step `index` (0, 1 …): forward and backward of every share of the batch on its replica, then the optimizer. Answers the loss.
pub fn step(optimizer: &mut Optimizer, schedule: &Schedule, index: u64, replicas: &Workers, loss: Loss) -> Result<f64> {
    let shares = shares(schedule.batch, schedule.micro_batch);
    let mut queues: Vec<Vec<Range<usize>>> = vec![Vec::new(); replicas.count().min(shares.len())];
    for (number, share) in shares.into_iter().enumerate() {
        let queue = number % queues.len();
        queues[queue].push(share);
    }
    let on_replica = |queue: Vec<Range<usize>>| {
        let mut sum: Option<(f64, Gradients)> = None;
        for share in queue {
            let weight = share.len() as f64 / schedule.batch as f64;
            let loss = (loss(index, share)? * weight)?;
            let value = f64::from(loss.to_scalar::<f32>()?);
            let gradients = optimizer.gradients(loss.backward()?)?;
            sum = Some(match sum {
                None => (value, gradients),
                Some((total, before)) => {
                    let added = before.into_iter().zip(gradients).map(|(a, b)| a + b);
                    (total + value, added.collect::<candle_core::Result<_>>()?)
                }
            });
        }
        sum.context("a replica without a share")
    };
    let (losses, gradients): (Vec<f64>, Vec<Gradients>) = replicas.map(queues, on_replica)?.into_iter().unzip();
    let loss: f64 = losses.iter().sum();
    if !loss.is_finite() {
        bail!("the loss is no longer a number: lower --rate and continue from the last checkpoint");
    }
    let (decay, average) = (schedule.decay, schedule.average);
    let step = Step { rate: schedule.rate_at(index), count: index + 1, decay, clip: 1.0, average };
    optimizer.step(&gradients, &step, replicas)?;
    Ok(loss)
}

/// Where the averaged weights are in a checkpoint, those that the stage left as they were included.
pub const AVERAGE: &str = "average/";

/// The averaged weights of a stage's checkpoint; `None` if there is none yet.
pub fn trained(path: &Path) -> Result<Option<Tensors>> {
    TensorFile::open(path)?.map(|saved| saved.below(AVERAGE)).transpose()
}

/// Steps that a checkpoint has behind it.
pub fn steps_of(saved: &TensorFile) -> Option<u64> {
    saved.metadata().get("steps")?.parse().ok()
}

fn averages(optimizer: &Optimizer, parameters: &Parameters) -> Result<Tensors> {
    let mut averages = optimizer.averages()?;
    averages.extend(parameters.frozen().clone());
    Ok(averages)
}

fn save(path: &Path, optimizer: &Optimizer, parameters: &Parameters, steps: u64) -> Result<()> {
    let mut tensors = optimizer.save()?;
    let frozen = parameters.frozen().iter();
    tensors.extend(frozen.map(|(name, tensor)| (format!("{AVERAGE}{name}"), Saved::Tensor(tensor.clone()))));
    file_io::write_tensors(path, tensors, Metadata::from([("steps".to_owned(), steps.to_string())]))
}

/// 0 … `batch` in runs of `micro_batch`.
fn shares(batch: usize, micro_batch: usize) -> Vec<Range<usize>> {
    let size = micro_batch.max(1);
    (0..batch).step_by(size).map(|start| start..(start + size).min(batch)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seeded_random::{Random, key};
    use candle_core::Device;
    use candle_nn::Init;
    use instaflow_test_support::{Tolerance, assert_close};

    const SCHEDULE: Schedule = Schedule {
        steps: 12,
        batch: 6,
        micro_batch: 2,
        rate: 0.05,
        final_rate: 1e-3,
        warm_up: 3,
        decay: 0.01,
        average: 0.99,
        rule: Rule::AdamW,
    };

    fn limits(folder: &Path, steps: u64) -> Limits {
        let stop_file = folder.join("stop");
        Limits { deadline: None, steps: Some(steps), checkpoint_every: Duration::from_hours(1), stop_file }
    }

    /// Learns a random linear map; answers all that was saved after `runs` of so many steps each.
    fn learn(folder: &Path, runs: &[u64]) -> Result<Vec<Vec<f32>>> {
        let path = folder.join("state.safetensors");
        for &steps in runs {
            let parameters = Parameters::seeded(5, &Device::Cpu);
            let weight = parameters.builder().get_with_hints((4, 3), "weight", Init::Uniform { lo: -1.0, up: 1.0 })?;
            let loss = |step: u64, range: Range<usize>| {
                let mut x = Vec::new();
                for sample in range.clone() {
                    let mut random = Random::new(key(&[step, sample as u64]));
                    x.extend((0..4).map(|_| random.normal() as f32));
                }
                let x = Tensor::from_vec(x, (range.len(), 4), &Device::Cpu)?;
                Ok((x.matmul(&weight)? - x.narrow(1, 1, 3)?)?.sqr()?.mean_all()?)
            };
            let workers = Workers::new(2)?;
            let look: Look = &mut |_, _| Ok(String::new());
            train(&path, "toy", &SCHEDULE, &limits(folder, steps), &workers, &parameters, &loss, look)?;
        }
        let saved = TensorFile::open(&path)?.context("no checkpoint")?;
        assert_eq!(steps_of(&saved), Some(runs.iter().sum()));
        saved.below("")?.values().map(|tensor| Ok(tensor.flatten_all()?.to_vec1()?)).collect()
    }

    #[test]
    fn a_run_taken_up_again_gives_the_numbers_of_an_unbroken_one() -> Result<()> {
        let (whole, broken) = (tempfile::tempdir()?, tempfile::tempdir()?);
        let unbroken = learn(whole.path(), &[12])?;
        assert_eq!(unbroken, learn(broken.path(), &[1, 4, 7])?);
        assert_ne!(unbroken, learn(tempfile::tempdir()?.path(), &[11])?);
        Ok(())
    }

    #[test]
    fn the_rate_rises_and_falls() {
        let rates: Vec<f64> = (0..12).map(|i| SCHEDULE.rate_at(i)).collect();
        assert!(rates[0] < rates[1] && rates[1] < rates[2]);
        assert_close(rates[3], 0.05, Tolerance::absolute(1e-9));
        assert!(rates[3..].windows(2).all(|pair| pair[1] < pair[0]) && rates[11] < 0.01);
    }

    #[test]
    fn shares_cover_the_batch() {
        assert_eq!(shares(5, 2), [0..2, 2..4, 4..5]);
        assert_eq!(shares(8, 4), [0..4, 4..8]);
    }
}
