//! Trains the Pocket pair: scenes, autoencoder, base flow, reflow, one-step students; and measures what came out.
//!
//! Every stage is a subcommand. It reads what earlier stages left in the run's folder, continues from its own
//! checkpoint, and may be stopped at any time. `README.md` beside the sources lists the stages in order. Change here how
//! the process starts. The modules are listed from the command line down to what everything rests on.

mod cli;

mod commands;

mod stages;

mod stage;

mod run_config;

mod architecture;

mod training_run;

mod base_model;

mod pair_prompts;

mod pair_data;

mod held_out_prompts;

mod eval_target;

mod perceptual;

mod flow_matching;

mod flow_model;

mod caption_probe;

mod coupling;

mod stack;

mod training;

mod optimizer;

mod parameters;

mod workers;

mod timestep_sampling;

mod losses;

mod lpips;

mod attribute_classifier;

mod discriminator;

mod frechet;

mod chart;

mod shards;

mod sharpness;

mod pictures;

mod scenes;

mod bpe;

mod file_io;

mod progress_log;

mod seeded_random;

#[cfg(test)]
mod tests;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let arguments = cli::Arguments::parse();
    match with_prepared_environment().unwrap_or_else(|| commands::execute(arguments).map(|()| ExitCode::SUCCESS)) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Starts this program once more with the environment variables that must be set before its first thread: one thread
/// for candle's own operations, because every worker is a replica, and an allocator that keeps its memory, because each
/// step frees hundreds of large tensors that the next one needs again, and fresh pages are slow. `None` if they are set
/// already.
fn with_prepared_environment() -> Option<anyhow::Result<ExitCode>> {
    const VARIABLES: [(&str, &str); 6] = [
        ("INSTAFLOW_TRAINER_PREPARED", "1"),
        ("RAYON_NUM_THREADS", "1"),
        ("MALLOC_ARENA_MAX", "1"),
        ("MALLOC_MMAP_MAX_", "0"),
        ("MALLOC_TRIM_THRESHOLD_", "68719476736"),
        ("MALLOC_TOP_PAD_", "268435456"),
    ];
    if std::env::var_os(VARIABLES[0].0).is_some() {
        return None;
    }
    let program = std::env::current_exe().ok()?;
    let mut command = std::process::Command::new(program);
    command.args(std::env::args_os().skip(1)).envs(VARIABLES);
    Some(replace_process(command))
}

/// Replaces this process, so that signals reach the one that does the work.
#[cfg(unix)]
fn replace_process(mut command: std::process::Command) -> anyhow::Result<ExitCode> {
    Err(anyhow::Error::new(std::os::unix::process::CommandExt::exec(&mut command)).context("cannot start the trainer"))
}

#[cfg(not(unix))]
fn replace_process(mut command: std::process::Command) -> anyhow::Result<ExitCode> {
    let status = anyhow::Context::context(command.status(), "cannot start the trainer")?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
