//! The loop that all stages share: shares of a batch on all workers, one optimizer step, checkpoints, a progress line.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use candle_core::Tensor;

use crate::files::{self, Metadata};
use crate::optimizer::{AdamW, Step};
use crate::parameters::{Parameters, Tensors};
use crate::progress::Progress;
use crate::workers::Workers;

/// How a stage learns.
#[derive(Clone, Copy, Debug)]
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
}

impl Schedule {
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

/// Looks at the averaged weights at every checkpoint; answers a few words for the log.
pub type Look<'a> = &'a mut dyn FnMut(&Tensors) -> Result<String>;

/// Trains until the schedule or a limit ends, from the checkpoint `path` where there is one. True: the schedule is done.
pub fn train(
    path: &Path,
    name: &str,
    schedule: &Schedule,
    limits: &Limits,
    workers: &Workers,
    parameters: &Parameters,
    loss: Loss,
    look: Look,
) -> Result<bool> {
    let mut adam = AdamW::new(parameters)?;
    let mut done = 0;
    if let Some((saved, metadata)) = files::read_tensors(path)? {
        adam.restore(&saved).with_context(|| format!("cannot go on from {}", path.display()))?;
        done = steps_of(&metadata).with_context(|| format!("{} does not say how far it got", path.display()))?;
        eprintln!("{name}: going on after step {done}");
    }
    eprintln!("{name}: {} parameters learn, {} workers", adam.numbers(), workers.count());
    let mut progress = Progress::new(name, done, schedule.steps, schedule.batch);
    let mut saved_at = Instant::now();
    let mut unsaved = !path.exists();
    while done < schedule.steps && !limits.reached() {
        let shares = shares(schedule.batch, schedule.micro_batch);
        let results = workers.map(shares, |share| {
            let weight = share.len() as f64 / schedule.batch as f64;
            let loss = (loss(done, share)? * weight)?;
            Ok((f64::from(loss.to_scalar::<f32>()?), loss.backward()?))
        })?;
        let (losses, gradients): (Vec<f64>, Vec<_>) = results.into_iter().unzip();
        let loss: f64 = losses.iter().sum();
        if !loss.is_finite() {
            bail!("{name}: the loss of step {done} is no number: lower --rate and continue from the last checkpoint");
        }
        let rate = schedule.rate_at(done);
        done += 1;
        let step = Step { rate, count: done, decay: schedule.decay, clip: 1.0, average: schedule.average };
        adam.step(&gradients, &step, workers)?;
        progress.step(done, loss);
        unsaved = true;
        if saved_at.elapsed() >= limits.checkpoint_every {
            save(path, &adam, parameters, done)?;
            progress.note(&look(&averages(&adam, parameters)?)?);
            (saved_at, unsaved) = (Instant::now(), false);
        }
    }
    if unsaved {
        save(path, &adam, parameters, done)?;
        progress.note(&look(&averages(&adam, parameters)?)?);
    }
    Ok(done >= schedule.steps)
}

/// The averaged weights of a stage's checkpoint, those it left as they were included, and the steps it has made.
pub fn trained(path: &Path) -> Result<Option<(Tensors, u64)>> {
    let Some((saved, metadata)) = files::read_tensors(path)? else { return Ok(None) };
    let steps = steps_of(&metadata).with_context(|| format!("{} does not say how far it got", path.display()))?;
    let averages =
        saved.into_iter().filter_map(|(name, tensor)| Some((name.strip_prefix("average/")?.to_owned(), tensor)));
    Ok(Some((averages.collect(), steps)))
}

/// The names that learn, by a checkpoint: those that have moments.
pub fn is_trained(saved: &Tensors, name: &str) -> bool {
    saved.contains_key(&format!("mean/{name}"))
}

fn steps_of(metadata: &Metadata) -> Option<u64> {
    metadata.get("steps")?.parse().ok()
}

fn averages(adam: &AdamW, parameters: &Parameters) -> Result<Tensors> {
    let mut averages = adam.averages()?;
    averages.extend(parameters.frozen().clone());
    Ok(averages)
}

fn save(path: &Path, adam: &AdamW, parameters: &Parameters, steps: u64) -> Result<()> {
    let mut tensors = adam.save()?;
    tensors.extend(parameters.frozen().iter().map(|(name, tensor)| (format!("average/{name}"), tensor.clone())));
    files::write_tensors(path, &tensors, Metadata::from([("steps".to_owned(), steps.to_string())]))
}

/// 0 … `batch` in runs of `micro_batch`.
fn shares(batch: usize, micro_batch: usize) -> Vec<Range<usize>> {
    let size = micro_batch.max(1);
    (0..batch).step_by(size).map(|start| start..(start + size).min(batch)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::{Random, key};
    use candle_core::Device;
    use candle_nn::Init;

    const SCHEDULE: Schedule = Schedule {
        steps: 12,
        batch: 6,
        micro_batch: 2,
        rate: 0.05,
        final_rate: 1e-3,
        warm_up: 3,
        decay: 0.01,
        average: 0.99,
    };

    fn limits(folder: &Path) -> Limits {
        Limits { deadline: None, checkpoint_every: Duration::from_hours(1), stop_file: folder.join("stop") }
    }

    /// Learns a random linear map; answers weights and averages after `runs`, each up to a given step.
    fn learn(folder: &Path, runs: &[u64]) -> Result<Vec<Vec<f32>>> {
        let path = folder.join("state.safetensors");
        for &end in runs {
            let parameters = Parameters::seeded(5);
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
            // The schedule is that of the whole; only the run is cut short.
            let stop_after = |step: u64, range: Range<usize>| {
                if step + 1 == end && range.start == 0 {
                    std::fs::write(folder.join("stop"), "")?;
                }
                loss(step, range)
            };
            let workers = Workers::new(2)?;
            train(&path, "toy", &SCHEDULE, &limits(folder), &workers, &parameters, &stop_after, &mut |_| {
                Ok(String::new())
            })?;
            std::fs::remove_file(folder.join("stop"))?;
        }
        let (saved, metadata) = files::read_tensors(&path)?.context("no checkpoint")?;
        assert_eq!(steps_of(&metadata), runs.last().copied());
        saved.values().map(|tensor| Ok(tensor.flatten_all()?.to_vec1()?)).collect()
    }

    #[test]
    fn a_run_taken_up_again_gives_the_numbers_of_an_unbroken_one() -> Result<()> {
        let (whole, broken) = (tempfile::tempdir()?, tempfile::tempdir()?);
        let unbroken = learn(whole.path(), &[12])?;
        assert_eq!(unbroken, learn(broken.path(), &[1, 5, 12])?);
        assert_ne!(unbroken, learn(tempfile::tempdir()?.path(), &[11])?);
        Ok(())
    }

    #[test]
    fn the_rate_rises_and_falls() {
        let rates: Vec<f64> = (0..12).map(|i| SCHEDULE.rate_at(i)).collect();
        assert!(rates[0] < rates[1] && rates[1] < rates[2]);
        assert!((rates[3] - 0.05).abs() < 1e-9, "{rates:?}");
        assert!(rates[3..].windows(2).all(|pair| pair[1] < pair[0]) && rates[11] < 0.01);
    }

    #[test]
    fn shares_cover_the_batch() {
        assert_eq!(shares(5, 2), [0..2, 2..4, 4..5]);
        assert_eq!(shares(8, 4), [0..4, 4..8]);
    }
}
