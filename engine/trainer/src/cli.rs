//! The command line.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::config::{self, Architecture};
use crate::files;
use crate::pictures::HELD_OUT;
use crate::run::{Run, Stage};
use crate::scenes;
use crate::stages::pairs::Solver;
use crate::stages::{autoencoder, base, decoder, distill, export, pairs, reflow, sheet};
use crate::training::{Limits, Schedule};
use crate::vocabulary::{self, Vocabulary};
use crate::workers::Workers;

/// Trains the pair of models that InstaFlow carries inside itself.
///
/// Run the subcommands in the order in which they are listed. Each goes on from its last checkpoint: stop it whenever
/// you like (a file named `stop` in the run's folder ends it at the next step, with a checkpoint) and give the same
/// command again.
#[derive(Debug, Parser)]
#[command(version)]
pub struct Arguments {
    /// Folder of the run; everything is read from it and written to it.
    #[arg(long, global = true, default_value = "runs/pocket")]
    run: PathBuf,
    /// Cores to use: each works on its own share of every batch.
    #[arg(long, global = true, default_value_t = 2)]
    threads: usize,
    /// Save and stop after this many minutes, whatever is done by then.
    #[arg(long, global = true)]
    minutes: Option<f64>,
    /// Seconds between two checkpoints.
    #[arg(long, global = true, default_value_t = 120)]
    checkpoint_seconds: u64,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Draw a sheet of rendered scenes, with their captions on stdout.
    Scenes {
        /// How many.
        #[arg(long, default_value_t = 48)]
        count: u64,
        /// Where to; in the run's folder if not given.
        #[arg(long, short)]
        output: Option<PathBuf>,
    },
    /// Learn a vocabulary in which every word of the captions is one token.
    Tokenizer,
    /// Train pictures to latents and back.
    Autoencoder {
        #[command(flatten)]
        changes: Changes,
        /// Different scenes to train on; each takes 48 KiB of memory.
        #[arg(long, default_value_t = 12_000)]
        pool: usize,
    },
    /// Normalise and freeze the latents, then train the decoder alone.
    Decoder {
        #[command(flatten)]
        changes: Changes,
        /// Different scenes to train on; each takes 48 KiB of memory.
        #[arg(long, default_value_t = 12_000)]
        pool: usize,
    },
    /// Train text encoder and base flow.
    Base {
        #[command(flatten)]
        changes: Changes,
        /// Different scenes to train on; they are encoded first.
        #[arg(long, default_value_t = 30_000)]
        pool: usize,
    },
    /// Draw with a flow: data for reflow (from the base) and distillation (from the 2-rectified flow).
    Pairs {
        /// Whose pairs.
        #[arg(long)]
        from: From,
        /// How many.
        #[arg(long, default_value_t = 4_096)]
        count: usize,
        /// Euler steps of each.
        #[arg(long, default_value_t = 12)]
        steps: usize,
        /// Guidance scale; only above 1 is applied.
        #[arg(long, default_value_t = 1.5)]
        guidance: f64,
    },
    /// Train the 2-rectified flow on pairs of the base flow.
    Reflow {
        #[command(flatten)]
        changes: Changes,
        /// Use at most this many pairs.
        #[arg(long, default_value_t = 100_000)]
        limit: usize,
    },
    /// Train the stacked one-step student on pairs of the 2-rectified flow.
    Distill {
        #[command(flatten)]
        changes: Changes,
        /// Use at most this many pairs.
        #[arg(long, default_value_t = 100_000)]
        limit: usize,
    },
    /// Draw held-out prompts with everything trained so far, as a sheet and in numbers.
    Sheet {
        /// Rows of the sheet.
        #[arg(long, default_value_t = 8)]
        rows: usize,
        /// Prompts that the numbers are taken over.
        #[arg(long, default_value_t = 32)]
        count: usize,
        /// Where to; in the run's folder if not given.
        #[arg(long, short)]
        output: Option<PathBuf>,
    },
    /// Write the pair in the layout that ships: f16, teacher and student.
    Export {
        /// Folder that gets `teacher` and `student`.
        folder: PathBuf,
    },
}

/// What to change in a stage's schedule. A run that goes on may change it, too: the learning rate follows at once.
#[derive(Clone, Copy, Debug, Args)]
struct Changes {
    /// Optimizer steps from start to end, those of earlier runs included.
    #[arg(long)]
    steps: Option<u64>,
    /// Samples of a step.
    #[arg(long)]
    batch: Option<usize>,
    /// Samples that one core computes at once.
    #[arg(long)]
    micro_batch: Option<usize>,
    /// Highest learning rate.
    #[arg(long)]
    rate: Option<f64>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum From {
    /// The base flow.
    Base,
    /// The 2-rectified flow.
    Reflow,
}

/// Does what was asked.
pub fn execute(arguments: &Arguments) -> Result<()> {
    let run = open(arguments)?;
    match &arguments.command {
        Command::Scenes { count, output } => {
            let chosen: Vec<_> = (0..*count).map(|seed| scenes::sample(HELD_OUT + seed)).collect();
            files::print(&chosen.iter().map(|scene| scene.caption(0) + "\n").collect::<String>())?;
            let side = run.architecture.picture;
            let pictures = run.workers.map(chosen, |scene| Ok(scene.render(side)))?;
            let output = output.clone().unwrap_or_else(|| run.path("scenes.png"));
            files::write_png(&output, &scenes::contact_sheet(&pictures, side, 8))
        }
        Command::Tokenizer => {
            let words = scenes::words();
            Vocabulary::learn(&words).write(&run.path("tokenizer"), run.architecture.tokens)?;
            let (tokenizer, vocabulary) = run.tokenizer()?;
            vocabulary::check(&tokenizer, &words, vocabulary)?;
            files::print(&format!("{} words, {vocabulary} tokens\n", words.len()))
        }
        Command::Autoencoder { changes, pool } => autoencoder::train(&run, &changes.apply(config::AUTOENCODER)?, *pool),
        Command::Decoder { changes, pool } => decoder::train(&run, &changes.apply(config::DECODER)?, *pool),
        Command::Base { changes, pool } => base::train(&run, &changes.apply(config::BASE)?, *pool),
        Command::Pairs { from, count, steps, guidance } => {
            let from = match from {
                From::Base => Stage::Base,
                From::Reflow => Stage::Reflow,
            };
            pairs::make(&run, from, *count, Solver { steps: *steps, guidance: *guidance })
        }
        Command::Reflow { changes, limit } => reflow::train(&run, &changes.apply(config::REFLOW)?, *limit),
        Command::Distill { changes, limit } => distill::train(&run, &changes.apply(config::DISTILL)?, *limit),
        Command::Sheet { rows, count, output } => {
            let output = output.clone().unwrap_or_else(|| run.path("sheet.png"));
            sheet::write(&run, &output, *rows, *count)
        }
        Command::Export { folder } => export::write(&run, folder),
    }
}

fn open(arguments: &Arguments) -> Result<Run> {
    let minutes = arguments.minutes;
    ensure!(minutes.is_none_or(|m| m.is_finite() && m >= 0.0), "--minutes takes a number of minutes, 0 or more");
    let limits = Limits {
        deadline: minutes.map(|minutes| Instant::now() + Duration::from_secs_f64((60.0 * minutes).min(1e9))),
        checkpoint_every: Duration::from_secs(arguments.checkpoint_seconds),
        stop_file: arguments.run.join("stop"),
    };
    // One that is still there ended an earlier run.
    if limits.stop_file.exists() {
        std::fs::remove_file(&limits.stop_file)
            .with_context(|| format!("cannot remove {}", limits.stop_file.display()))?;
    }
    Run::open(arguments.run.clone(), Architecture::pocket(), Workers::new(arguments.threads)?, limits)
}

impl Changes {
    fn apply(self, schedule: Schedule) -> Result<Schedule> {
        let changed = Schedule {
            steps: self.steps.unwrap_or(schedule.steps),
            batch: self.batch.unwrap_or(schedule.batch),
            micro_batch: self.micro_batch.unwrap_or(schedule.micro_batch),
            rate: self.rate.unwrap_or(schedule.rate),
            ..schedule
        };
        ensure!(changed.batch > 0 && changed.micro_batch > 0, "--batch and --micro-batch take 1 or more");
        ensure!(changed.rate.is_finite() && changed.rate > 0.0, "--rate takes a number above 0");
        Ok(changed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_well_formed() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn a_schedule_takes_changes_and_refuses_nonsense() -> Result<()> {
        let none = Changes { steps: None, batch: None, micro_batch: None, rate: None };
        let changed = Changes { steps: Some(7), rate: Some(0.5), ..none }.apply(config::BASE)?;
        assert_eq!((changed.steps, changed.batch, changed.rate), (7, config::BASE.batch, 0.5));
        assert!(Changes { batch: Some(0), ..none }.apply(config::BASE).is_err());
        assert!(Changes { rate: Some(f64::NAN), ..none }.apply(config::BASE).is_err());
        Ok(())
    }
}
