//! Does what the command line asks for. Change here how subcommands reach the stages.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use candle_core::Device;
use instaflow_engine::device;
use instaflow_engine::protocol::DeviceChoice;

use crate::bpe::{self, BpeVocabulary};
use crate::cli::{Arguments, Command, DeviceArg, FlowArg, StudentArgs};
use crate::eval_target::EvalTarget;
use crate::file_io;
use crate::pictures::HELD_OUT_SEEDS;
use crate::run_config::{Base, Config, Decoder, Distill, Reflow};
use crate::scenes;
use crate::stage::{STACKS, Stage, Student};
use crate::stages::bench_step::{self, Timing};
use crate::stages::evaluate::EvalSize;
use crate::stages::pairs::{Amount, Solver};
use crate::stages::{
    adopt, autoencoder, base, classifier, contact_sheet, decoder, distill, evaluate, export, pairs, plot, reflow,
};
use crate::training::Limits;
use crate::training_run::Run;
use crate::workers::Workers;

/// Does it.
pub fn execute(arguments: Arguments) -> Result<()> {
    let device = match arguments.device {
        DeviceArg::Cpu => Device::Cpu,
        DeviceArg::Cuda => device::open(DeviceChoice::Cuda)?.0,
    };
    if let Command::BenchStep { batch, micro_batch, serve } = arguments.command {
        let replicas = replicas(&device, arguments.threads)?;
        return bench_step::run(&Config::pocket(), &device, &replicas, Timing { batch, micro_batch, serve });
    }
    if let Command::Vocabulary { file } = &arguments.command {
        return file_io::write_json(file, &scenes::vocabulary_json::vocabulary());
    }
    let mut run = open(&arguments, device)?;
    match arguments.command {
        Command::Scenes { count, output } => {
            let chosen: Vec<_> = (0..count).map(|seed| scenes::sample(HELD_OUT_SEEDS + seed)).collect();
            file_io::print(&chosen.iter().map(|scene| scene.caption(0) + "\n").collect::<String>())?;
            let side = run.config.sizes.drawn();
            let pictures = run.cores.map(chosen, |scene| Ok(scene.render(side)))?;
            let output = output.unwrap_or_else(|| run.path("scenes.png"));
            file_io::write_png(&output, &scenes::contact_sheet(&pictures, side, 8))
        }
        Command::Tokenizer => {
            run.require_scenes("a vocabulary")?;
            let words = scenes::words();
            let folder = run.tokenizer_folder();
            BpeVocabulary::learn(&words).write(&folder, run.config.sizes.tokens)?;
            let vocabulary = bpe::size(&folder)?;
            bpe::check(&run.tokenizer()?, &words, vocabulary)?;
            file_io::print(&format!("{} words, {vocabulary} tokens\n", words.len()))
        }
        Command::Adopt { folder } => adopt::adopt(&run, &folder),
        Command::Autoencoder(options) => {
            let (schedule, pool) = options.apply(run.config.autoencoder.schedule, run.config.autoencoder.pool)?;
            autoencoder::train(&run, &schedule, pool)
        }
        Command::Decoder { options, student } => {
            let given = &run.config.decoder;
            let (schedule, pool) = options.apply(given.schedule, given.pool)?;
            let student = student.unwrap_or_else(|| given.student.clone());
            decoder::train(&run, &Decoder { pool, student, schedule, ..given.clone() })
        }
        Command::Classifier(options) => {
            let (schedule, pool) = options.apply(run.config.classifier.schedule, run.config.classifier.pool)?;
            classifier::train(&run, &schedule, pool)
        }
        Command::Base { options, timestep_sampling } => {
            let (schedule, pool) = options.apply(run.config.base.schedule, run.config.base.pool)?;
            let timestep_sampling = timestep_sampling.unwrap_or(run.config.base.timestep_sampling);
            base::train(&run, &Base { pool, timestep_sampling, schedule })
        }
        Command::Pairs { from, count, shard, steps, guidance, batch } => {
            pairs::make(&run, from.stage(), Amount { count, shard, batch }, Solver { steps, guidance })
        }
        Command::Reflow { from, loss, timestep_sampling, pairs } => {
            run.lpips = pairs.lpips;
            let given = &run.config.reflow;
            let settings = Reflow {
                loss: loss.unwrap_or(given.loss),
                timestep_sampling: timestep_sampling.unwrap_or(given.timestep_sampling),
                schedule: pairs.changes.apply(given.schedule)?,
            };
            reflow::train(&run, &settings, from as u8, pairs.limit)
        }
        Command::Distill { from, single, loss, second_loss, pairs } => {
            run.lpips = pairs.lpips;
            let given = &run.config.distill;
            let settings = Distill {
                loss: loss.unwrap_or(given.loss),
                second_loss: second_loss.unwrap_or(given.second_loss),
                first_share: given.first_share,
                schedule: pairs.changes.apply(given.schedule)?,
            };
            distill::train(&run, &settings, StudentArgs { from, single }.student(), pairs.limit)
        }
        Command::Sheet { rows, seeds, teacher, which, output } => {
            let output = output.unwrap_or_else(|| run.path("sheet.png"));
            let Some(seeds) = seeds else { return contact_sheet::write_targets(&run, &output, rows) };
            let target = if teacher {
                EvalTarget::teacher(&run, which.from.stage())?
            } else {
                EvalTarget::one_step(Stage::Student(which.student()))
            };
            contact_sheet::write_seeds(&run, &target, &run.trained(target.stage)?, &output, rows, seeds)
        }
        Command::Evaluate { count, sweep, varied } => evaluate::write(&run, EvalSize { count, sweep, varied }),
        Command::Plot { stage } => plot::write(&run, stage.as_deref()),
        Command::Export { folder, decoder_only: true, .. } => export::write_decoder(&run, &folder),
        Command::Export { folder, which, .. } => export::write(&run, &folder, which.student()),
        // Done before a run was opened.
        Command::BenchStep { .. } | Command::Vocabulary { .. } => bail!("this needs no run"),
    }
}

fn open(arguments: &Arguments, device: Device) -> Result<Run> {
    let minutes = arguments.minutes;
    ensure!(minutes.is_none_or(|m| m.is_finite() && m >= 0.0), "--minutes takes a number of minutes, 0 or more");
    let limits = Limits {
        deadline: minutes.map(|minutes| Instant::now() + Duration::from_secs_f64((60.0 * minutes).min(1e9))),
        steps: arguments.stop_after,
        checkpoint_every: Duration::from_secs(arguments.checkpoint_seconds),
        stop_file: arguments.run.join("stop"),
    };
    // One that is still there ended an earlier run, or is to end one that works while this only looks.
    let looks = matches!(arguments.command, Command::Sheet { .. } | Command::Plot { .. } | Command::Export { .. });
    if !looks && limits.stop_file.exists() {
        std::fs::remove_file(&limits.stop_file)
            .with_context(|| format!("cannot remove {}", limits.stop_file.display()))?;
    }
    let mut config = arguments.config.as_deref().map(Config::read).transpose()?;
    if let Some(model) = &arguments.model {
        // The whole path: a run may be taken up again from another folder.
        let model = std::path::absolute(model).with_context(|| format!("cannot find {}", model.display()))?;
        let begun = arguments.run.join(crate::run_config::FILE);
        let mut given = match config.take() {
            Some(config) => config,
            None if begun.exists() => Config::read(&begun)?,
            None => Config::pocket(),
        };
        model.to_str().context("--model takes a path in Unicode")?.clone_into(&mut given.model);
        config = Some(given);
    }
    Run::open(arguments.run.clone(), config, device, arguments.threads, limits)
}

fn replicas(device: &Device, threads: usize) -> Result<Workers> {
    if device.is_cpu() { Workers::new(threads) } else { Workers::of_threads(1, threads) }
}

impl FlowArg {
    fn stage(self) -> Stage {
        Stage::Flow(self as u8)
    }
}

impl StudentArgs {
    fn student(self) -> Student {
        Student { from: self.from as u8, stacks: if self.single { 1 } else { STACKS } }
    }
}
