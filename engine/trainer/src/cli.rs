//! The command line as it is typed. Change here the subcommands and options; `commands.rs` carries them out.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::run_config::Loss;
use crate::shards::Shard;
use crate::timestep_sampling::TimestepSampling;
use crate::training::Schedule;

/// Trains the pair of models that InstaFlow carries inside itself, or fine-tunes a rectified flow in Diffusers layout.
///
/// The stages build on each other in the order in which they are listed, with `pairs --from reflow-1` once more before
/// `distill`. `adopt` replaces `autoencoder` unless it widens what it adopts. Each stage continues from its last
/// checkpoint: stop it at any time (a file named `stop` in the run's folder ends it at the next step, with a checkpoint)
/// and give the same command again.
#[derive(Debug, Parser)]
#[command(version)]
pub struct Arguments {
    /// Folder of the run, which everything is read from and written to.
    #[arg(long, global = true, default_value = "runs/pocket")]
    pub run: PathBuf,
    /// Configuration of a new run; it is kept as `config.toml` in the run's folder. Default: Pocket's.
    #[arg(long, global = true)]
    pub config: Option<PathBuf>,
    /// Folder of a rectified flow in Diffusers layout that replaces the base flow in a new run.
    #[arg(long, global = true)]
    pub model: Option<PathBuf>,
    /// Where the networks compute.
    #[arg(long, global = true, value_enum, default_value_t = DeviceArg::Cpu)]
    pub device: DeviceArg,
    /// Cores to use. On the CPU each works on its own share of every batch; with a GPU they prepare batches.
    #[arg(long, global = true, default_value_t = 2)]
    pub threads: usize,
    /// Save and stop after this many minutes.
    #[arg(long, global = true)]
    pub minutes: Option<f64>,
    /// Save and stop after this many steps.
    #[arg(long, global = true)]
    pub stop_after: Option<u64>,
    /// Seconds between two checkpoints.
    #[arg(long, global = true, default_value_t = 120)]
    pub checkpoint_seconds: u64,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Draw a sheet of rendered scenes, with their captions on stdout.
    Scenes {
        /// Number of scenes.
        #[arg(long, default_value_t = 48)]
        count: u64,
        /// Output file. Default: in the run's folder.
        #[arg(long, short)]
        output: Option<PathBuf>,
    },
    /// Learn a vocabulary in which every word of the captions is one token.
    Tokenizer,
    /// Begin with the autoencoder and the teacher of an exported pair instead of random weights.
    Adopt {
        /// Folder with `teacher` in it.
        folder: PathBuf,
    },
    /// Train pictures to latents and back.
    Autoencoder(Scenes),
    /// Normalise and freeze the latents, then train the decoder alone.
    Decoder {
        #[command(flatten)]
        options: Scenes,
        /// An exported pair, whose student's latents it learns to draw sharply, too. Default: as the configuration says.
        #[arg(long, value_name = "PAIR")]
        student: Option<String>,
    },
    /// Train the network that names a scene's attributes.
    Classifier(Scenes),
    /// Train text encoder and base flow.
    Base {
        #[command(flatten)]
        options: Scenes,
        /// How to draw times. Default: as the configuration says.
        #[arg(long = "times", value_enum)]
        timestep_sampling: Option<TimestepSampling>,
    },
    /// Draw pairs with a flow: training data for the next reflow and for distillation.
    Pairs {
        /// The flow that draws.
        #[arg(long, value_enum)]
        from: FlowArg,
        /// Number of pairs of all shards together; they are kept in files of 256.
        #[arg(long, default_value_t = 4_096)]
        count: usize,
        /// Make only shard i of n, written `i/n`. Any number of machines can each make one; the files of all shards in one
        /// folder are those that one machine would have made.
        #[arg(long, default_value = "1/1")]
        shard: Shard,
        /// Euler steps of each pair.
        #[arg(long, default_value_t = 25)]
        steps: usize,
        /// Guidance scale; only above 1 is applied.
        #[arg(long, default_value_t = 1.5)]
        guidance: f64,
        /// Pairs that one replica draws at once.
        #[arg(long, default_value_t = 16)]
        batch: usize,
    },
    /// Train the next rectified flow on pairs of the one before.
    Reflow {
        /// The previous flow, whose weights and pairs it starts from.
        #[arg(long, value_enum, default_value_t = FlowArg::Base)]
        from: FlowArg,
        /// What to minimise. Default: as the configuration says.
        #[arg(long, value_enum)]
        loss: Option<Loss>,
        /// How to draw times. Default: as the configuration says.
        #[arg(long = "times", value_enum)]
        timestep_sampling: Option<TimestepSampling>,
        #[command(flatten)]
        pairs: PairArgs,
    },
    /// Train a one-step student on pairs of a flow.
    Distill {
        /// The flow whose weights and pairs it starts from.
        #[arg(long, value_enum, default_value_t = FlowArg::Reflow1)]
        from: FlowArg,
        /// Make a student of one U-Net instead of two in series.
        #[arg(long)]
        single: bool,
        /// What to minimise first. Default: as the configuration says.
        #[arg(long, value_enum)]
        loss: Option<Loss>,
        /// What to minimise after that.
        #[arg(long, value_enum)]
        second_loss: Option<Loss>,
        #[command(flatten)]
        pairs: PairArgs,
    },
    /// Draw held-out prompts with everything trained so far, as a sheet.
    Sheet {
        /// Number of prompts, one per row.
        #[arg(long, default_value_t = 8)]
        rows: usize,
        /// Draw only with the student that `--from` and `--single` name, from this many noises per prompt.
        #[arg(long)]
        seeds: Option<usize>,
        /// With `--seeds`: draw with the flow in 25 steps instead of the student.
        #[arg(long, requires = "seeds")]
        teacher: bool,
        #[command(flatten)]
        which: StudentArgs,
        /// Output file. Default: in the run's folder.
        #[arg(long, short)]
        output: Option<PathBuf>,
    },
    /// Measure everything trained so far on held-out prompts: tables, plots, JSON.
    Evaluate {
        /// Number of prompts, and of fresh renders to compare with.
        #[arg(long, default_value_t = 5_000)]
        count: usize,
        /// Prompts for each point of the sweeps over guidance and steps; 0: no sweeps.
        #[arg(long, default_value_t = 1_000)]
        sweep: usize,
        /// Prompts for which pictures from four seeds are compared; 0: none.
        #[arg(long, default_value_t = 256)]
        varied: usize,
    },
    /// Plot the logs of the stages: loss and samples per second.
    Plot {
        /// One stage alone, by the name of its folder.
        stage: Option<String>,
    },
    /// Write a pair, teacher and student in f16, in the layout that the program ships.
    Export {
        /// Folder that gets `teacher` and `student`.
        folder: PathBuf,
        /// Put the autoencoder alone into the pair that is in the folder, which this run has adopted.
        #[arg(long)]
        decoder_only: bool,
        #[command(flatten)]
        which: StudentArgs,
    },
    /// Write what `export` writes as `vocabulary.json`, for a pair whose weights stay; needs no run.
    Vocabulary {
        /// The file.
        file: PathBuf,
    },
    /// Time a training step of Pocket's U-Net on random data; needs no run.
    BenchStep {
        /// Samples of a step.
        #[arg(long, default_value_t = 32)]
        batch: usize,
        /// Samples that one replica computes at once. Default: an equal share of the batch.
        #[arg(long, default_value_t = 0)]
        micro_batch: usize,
        /// Read lines from stdin, time one step for each `run`, and end with the input.
        #[arg(long)]
        serve: bool,
    },
}

/// Where networks compute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DeviceArg {
    /// One replica per core.
    Cpu,
    /// One replica on the first GPU.
    Cuda,
}

/// A flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum FlowArg {
    /// The base flow, or the model's.
    Base,
    /// The 2-rectified flow.
    #[value(name = "reflow-1")]
    Reflow1,
    /// The 3-rectified flow.
    #[value(name = "reflow-2")]
    Reflow2,
    /// The 4-rectified flow.
    #[value(name = "reflow-3")]
    Reflow3,
}

/// Options of the stages that learn from scenes.
#[derive(Clone, Copy, Debug, Args)]
pub struct Scenes {
    #[command(flatten)]
    changes: ScheduleArgs,
    /// Number of different scenes to train on; each takes 48 KiB of memory at 128×128.
    #[arg(long)]
    pool: Option<usize>,
}

/// Options of the stages that learn from pairs.
#[derive(Clone, Debug, Args)]
pub struct PairArgs {
    /// What to change in the schedule.
    #[command(flatten)]
    pub changes: ScheduleArgs,
    /// Use at most this many pairs.
    #[arg(long, default_value_t = usize::MAX, hide_default_value = true)]
    pub limit: usize,
    /// LPIPS weights (version 0.1, AlexNet or VGG) as safetensors, for perceptual losses.
    #[arg(long)]
    pub lpips: Option<PathBuf>,
}

/// Which student.
#[derive(Clone, Copy, Debug, Args)]
pub struct StudentArgs {
    /// The flow that it was distilled from.
    #[arg(long, value_enum, default_value_t = FlowArg::Reflow1)]
    pub from: FlowArg,
    /// The student of one U-Net instead of the stacked one.
    #[arg(long)]
    pub single: bool,
}

/// Changes to a stage's schedule. A run that continues may change it; the learning rate follows at once.
#[derive(Clone, Copy, Debug, Default, Args)]
pub struct ScheduleArgs {
    /// Optimizer steps from start to end, those of earlier runs included.
    #[arg(long)]
    steps: Option<u64>,
    /// Samples of a step.
    #[arg(long)]
    batch: Option<usize>,
    /// Samples that one replica computes at once.
    #[arg(long)]
    micro_batch: Option<usize>,
    /// Highest learning rate.
    #[arg(long)]
    rate: Option<f64>,
}

impl ScheduleArgs {
    /// The schedule with what was asked for.
    pub fn apply(self, schedule: Schedule) -> Result<Schedule> {
        let rate = self.rate.unwrap_or(schedule.rate);
        let changed = Schedule {
            steps: self.steps.unwrap_or(schedule.steps),
            batch: self.batch.unwrap_or(schedule.batch),
            micro_batch: self.micro_batch.unwrap_or(schedule.micro_batch),
            rate,
            final_rate: schedule.final_rate.min(rate.max(0.0)),
            ..schedule
        };
        ensure!(changed.batch > 0 && changed.micro_batch > 0, "--batch and --micro-batch take 1 or more");
        ensure!(changed.rate.is_finite() && changed.rate > 0.0, "--rate takes a number above 0");
        Ok(changed)
    }
}

impl Scenes {
    /// Schedule and pool with what was asked for.
    pub fn apply(self, schedule: Schedule, pool: usize) -> Result<(Schedule, usize)> {
        Ok((self.changes.apply(schedule)?, self.pool.unwrap_or(pool)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run_config::Config;
    use clap::CommandFactory;
    use instaflow_test_support::assert_error;

    #[test]
    fn the_command_line_is_well_formed() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn a_schedule_takes_changes_and_refuses_nonsense() -> Result<()> {
        let base = Config::pocket().base.schedule;
        let none = ScheduleArgs::default();
        let changed = ScheduleArgs { steps: Some(7), rate: Some(0.5), ..none }.apply(base)?;
        assert_eq!((changed.steps, changed.batch, changed.rate), (7, base.batch, 0.5));
        assert!(ScheduleArgs { rate: Some(1e-6), ..none }.apply(base)?.validate().is_ok());
        assert_error(ScheduleArgs { batch: Some(0), ..none }.apply(base), "--batch");
        assert_error(ScheduleArgs { rate: Some(f64::NAN), ..none }.apply(base), "--rate");
        Ok(())
    }
}
