//! How long one training step of Pocket's U-Net takes, on random data: forward, backward, AdamW. Change here what is
//! timed; the step itself is `training.rs`'s.

use std::io::BufRead;
use std::ops::Range;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use candle_core::{Device, Tensor};
use instaflow_engine::Cancel;
use instaflow_engine::unet::UNet;
use serde_json::json;

use crate::architecture::Architecture;
use crate::file_io;
use crate::losses;
use crate::optimizer::{Optimizer, Rule};
use crate::parameters::Parameters;
use crate::run_config::Config;
use crate::seeded_random::Random;
use crate::training::{self, Schedule};
use crate::workers::Workers;

/// How it is timed.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// Samples of a step.
    pub batch: usize,
    /// Samples that one replica computes at once; 0: an equal share of the batch for each replica.
    pub micro_batch: usize,
    /// One answer for each line `run` on stdin until it ends, instead of the median of [`RUNS`].
    pub serve: bool,
}

/// Steps whose median is reported.
const RUNS: usize = 5;
/// Steps before them that do not count.
const WARM_UP: u64 = 2;

/// Times steps and prints one JSON object a line: seconds, and samples per second.
pub fn run(config: &Config, device: &Device, replicas: &Workers, timing: Timing) -> Result<()> {
    ensure!(timing.batch > 0, "--batch takes 1 or more");
    let share = timing.batch.div_ceil(replicas.count());
    let micro_batch = if timing.micro_batch == 0 { share } else { timing.micro_batch };
    let schedule = Schedule { batch: timing.batch, micro_batch, rule: Rule::AdamW, ..config.base.schedule };
    let networks = Architecture::of(&config.sizes);
    let parameters = Parameters::seeded(1, device);
    let unet = UNet::new(parameters.builder(), &networks.unet(1)?)?;
    let (channels, side) = networks.latent();
    let random = |seed: u64, shape: &[usize]| -> Result<Tensor> {
        let mut random = Random::new(seed);
        let values: Vec<f32> = (0..shape.iter().product()).map(|_| random.normal() as f32).collect();
        Ok(Tensor::from_vec(values, shape, device)?)
    };
    let x = random(1, &[timing.batch, channels, side, side])?;
    let direction = random(2, &[timing.batch, channels, side, side])?;
    let context = random(3, &[timing.batch, networks.tokens, config.sizes.text_width])?;
    let times = (random(4, &[timing.batch])?.abs()? * 300.0)?;
    let never = Cancel::default();
    let loss = |_: u64, range: Range<usize>| {
        let part = |tensor: &Tensor| tensor.narrow(0, range.start, range.len());
        let v = unet.forward(&part(&x)?, &part(&times)?, &part(&context)?, &never)?;
        Ok(losses::squared(&v, &part(&direction)?)?)
    };
    let mut optimizer = Optimizer::new(&parameters, schedule.rule)?;
    let mut done = 0;
    let mut step = || -> Result<f64> {
        let began = Instant::now();
        training::step(&mut optimizer, &schedule, done, replicas, &loss)?;
        device.synchronize()?;
        done += 1;
        Ok(began.elapsed().as_secs_f64())
    };
    for _ in 0..WARM_UP {
        step()?;
    }
    let tell = |seconds: f64| {
        let answer = json!({"seconds": seconds, "samples_per_second": timing.batch as f64 / seconds});
        file_io::print(&format!("{answer}\n"))
    };
    if !timing.serve {
        let mut times = (0..RUNS).map(|_| step()).collect::<Result<Vec<f64>>>()?;
        times.sort_by(f64::total_cmp);
        return tell(times[RUNS / 2]);
    }
    for line in std::io::stdin().lock().lines() {
        match line.context("cannot read stdin")?.trim() {
            "run" => tell(step()?)?,
            other => bail!("{other:?} is not a request: each line must be `run`"),
        }
    }
    Ok(())
}
