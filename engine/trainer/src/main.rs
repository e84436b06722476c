//! Trains the Pocket pair: scenes, autoencoder, base flow, reflow, one-step students; and measures what came out.
//!
//! Every stage is a subcommand that reads what the stages before it left in the run's folder, goes on from its own
//! checkpoint, and may be stopped at any time. `README.md` beside the sources lists them in order. Change here how the
//! process starts; the modules stand in the order from what is asked for to what it rests on.

mod cli;

mod commands;

mod stages;

mod stage;

mod config;
mod coupling;

mod architecture;

mod run;

mod model;

mod prompts;

mod flow;

mod told;

mod draw;

mod stack;

mod training;

mod optimizer;

mod parameters;

mod workers;

mod times;

mod losses;

mod perceptual;

mod lpips;

mod classifier;

mod frechet;

mod plot;

mod shards;

mod pictures;

mod scenes;

mod vocabulary;

mod files;

mod progress;

mod random;

#[cfg(test)]
mod tests;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let arguments = cli::Arguments::parse();
    match prepared().unwrap_or_else(|| commands::execute(arguments).map(|()| ExitCode::SUCCESS)) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Starts this program once more with what has to be in the environment before its first thread: one thread for
/// candle's own operations, as every worker is a replica; and an allocator that keeps its memory, since a step gives
/// back hundreds of large tensors that the next one wants again, and fresh pages are slow. `None` if that is done.
fn prepared() -> Option<anyhow::Result<ExitCode>> {
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
    Some(started(command))
}

/// Takes this process's place, so that signals reach the one that works.
#[cfg(unix)]
fn started(mut command: std::process::Command) -> anyhow::Result<ExitCode> {
    Err(anyhow::Error::new(std::os::unix::process::CommandExt::exec(&mut command)).context("cannot start the trainer"))
}

#[cfg(not(unix))]
fn started(mut command: std::process::Command) -> anyhow::Result<ExitCode> {
    let status = anyhow::Context::context(command.status(), "cannot start the trainer")?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
