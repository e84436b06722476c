//! The command line: one file per subcommand, and what they share.

mod generate;

mod compare;

mod contact_sheet;

mod bench;

mod live_latency;

mod info;

mod tokens;

mod models;

mod arguments;

mod resolved;

mod output;
mod picture_info;

mod progress;

mod errors;

mod usage_error;

use std::fmt::Display;
use std::io::{self, Write};
use std::path::Path;

use anyhow::Context;
use clap::{Parser, Subcommand};
use instaflow_engine::threads::{self, Priority};

pub use arguments::absolute;
use arguments::{BaselineArguments, ModelArguments, TraceArguments};
use errors::{engine_error, wrong_use};
pub use errors::{refuse, report};

/// Type a prompt, get a picture: in a window, or with one of the commands below.
///
/// Without a command, the window opens. The options below choose its models.
#[derive(Debug, Parser)]
#[command(name = "instaflow", version, args_conflicts_with_subcommands = true, after_help = EXAMPLES)]
pub struct Arguments {
    /// What to do; without it, the window opens.
    #[command(subcommand)]
    pub command: Option<Command>,

    /// The models that the window opens.
    #[command(flatten)]
    pub model: ModelArguments,

    /// What it compares them with.
    #[command(flatten)]
    pub baseline: BaselineArguments,

    /// What the window records of its work.
    #[command(flatten)]
    pub trace: TraceArguments,

    /// Draw frames without a pause, to measure how many a second the window reaches.
    #[arg(long, hide = true)]
    pub repaint: bool,
}

impl Arguments {
    /// The file for the trace, if one was asked for.
    pub fn trace(&self) -> Option<&Path> {
        let trace = match &self.command {
            None => &self.trace,
            Some(Command::Generate(arguments)) => &arguments.draw.trace,
            Some(Command::Compare(arguments)) => &arguments.draw.trace,
            Some(Command::Sheet(arguments)) => &arguments.trace,
            Some(Command::Bench(arguments)) => &arguments.trace,
            Some(Command::Info(_) | Command::Tokens(_) | Command::Models(_)) => return None,
        };
        trace.trace.as_deref()
    }
}

const EXAMPLES: &str = "\
Examples:
  instaflow                                        open the window with the built-in model
  instaflow models download instaflow              get the published weights
  instaflow --model instaflow                      open the window with them
  instaflow generate \"a lake at sunset\" -o lake.png
  instaflow info lake.png                          show the settings that made a picture
  instaflow generate --help                        everything about one command";

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Draw a prompt and save it as a PNG.
    ///
    /// The student draws in one step; with --teacher, the teacher draws instead. The PNG carries the settings that made
    /// it.
    Generate(generate::Generate),
    /// Draw student and teacher from the same noise, side by side with their difference.
    ///
    /// The student draws in one step without guidance. With --baseline-model, a third model draws from the same noise.
    /// --sampler, --schedule and --guidance apply only to the teacher; --steps and --negative apply to the teacher and the baseline.
    Compare(compare::Compare),
    /// Draw many prompts from several seeds as one contact sheet.
    ///
    /// Each line of a text file becomes a row: the student's pictures, one for each seed, then the teacher's from the
    /// same seeds.
    Sheet(contact_sheet::ContactSheet),
    /// Time a model stage by stage on this machine.
    ///
    /// Prints medians in seconds. Each run goes from the prompt to RGB pixels with nothing cached. With a pair, or with
    /// --teacher, the teacher's 25 steps with guidance are timed too; with --baseline-model, also the baseline's.
    Bench(bench::Bench),
    /// Show a PNG's settings, or a model folder's parts, sizes and problems.
    Info(info::Info),
    /// Print a prompt's token ids as the text encoder gets them.
    ///
    /// Prints all of them (77 with CLIP; as many again for each further chunk of a long prompt), including padding, on one
    /// line.
    Tokens(tokens::Tokens),
    /// List, download, remove and find models.
    #[command(subcommand, after_help = models::EXAMPLES)]
    Models(models::Models),
}

impl Command {
    /// Puts the folders of downloaded models in place of their names.
    fn find_models(&mut self) -> anyhow::Result<()> {
        match self {
            Self::Generate(arguments) => arguments.draw.model.find_named(),
            Self::Compare(arguments) => {
                arguments.draw.model.find_named()?;
                arguments.baseline.find_named()
            }
            Self::Sheet(arguments) => arguments.model.find_named(),
            Self::Bench(arguments) => {
                arguments.model.find_named()?;
                arguments.baseline.find_named()
            }
            Self::Info(_) | Self::Tokens(_) | Self::Models(_) => Ok(()),
        }
    }
}

/// Carries out a command.
pub fn run(mut command: Command) -> anyhow::Result<()> {
    command.find_models()?;
    threads::compute_here(Priority::Normal);
    match command {
        Command::Generate(arguments) => generate::run(&arguments),
        Command::Compare(arguments) => compare::run(&arguments),
        Command::Sheet(arguments) => contact_sheet::run(&arguments),
        Command::Bench(arguments) => bench::run(&arguments),
        Command::Info(arguments) => info::run(&arguments),
        Command::Tokens(arguments) => tokens::run(&arguments),
        Command::Models(command) => models::run(&command),
    }
}

/// Prints one line on stdout. If nobody reads any more (`instaflow … | head`), that is no error.
fn say(line: impl Display) -> anyhow::Result<()> {
    match writeln!(io::stdout(), "{line}") {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(error).context("cannot write to standard output")
        }
        _ => Ok(()),
    }
}

/// Text from a file or the system on one line, without anything that a terminal would obey.
fn printable_line(text: &str) -> String {
    printable(&text.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// Text from a file, with control characters other than line ends and tabs spelled out.
fn printable(text: &str) -> String {
    let mut printable = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() && c != '\n' && c != '\t' {
            printable.extend(c.escape_default());
        } else {
            printable.push(c);
        }
    }
    printable
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Arguments::command().debug_assert();
    }
}
