//! The command line: one file per subcommand, and what they share.
//!
//! Exit codes: 0; 2 for wrong use (what was asked for cannot be meant); 1 for a failure (it could, but the world said
//! no). Both print one line on stderr, and the causes under it.

mod generate;

mod compare;

mod sheet;

mod bench;

mod live;

mod info;

mod tokens;

mod arguments;

mod plan;

mod progress;

mod usage_error;

use std::fmt::Display;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Parser, Subcommand};
use instaflow_engine::threads::{self, Priority};

pub use arguments::absolute;
use arguments::{BaselineArguments, ModelArguments, TraceArguments};

/// Types a prompt, gets a picture: in a window, or by one of the commands below.
///
/// Without a command the window opens. The options beside --help and --version say what it opens with.
#[derive(Debug, Parser)]
#[command(name = "instaflow", version, args_conflicts_with_subcommands = true, after_help = EXAMPLES)]
pub struct Arguments {
    /// What to do; without it, the window opens.
    #[command(subcommand)]
    pub command: Option<Command>,

    /// What the window opens with.
    #[command(flatten)]
    pub model: ModelArguments,

    /// What it compares with beside that.
    #[command(flatten)]
    pub baseline: BaselineArguments,

    /// What the window writes down of itself.
    #[command(flatten)]
    pub trace: TraceArguments,

    /// Draw frames without a pause, to measure how many a second the window reaches.
    #[arg(long, hide = true)]
    pub repaint: bool,
}

impl Arguments {
    /// Where a trace was asked for.
    pub fn trace(&self) -> Option<&Path> {
        let trace = match &self.command {
            None => &self.trace,
            Some(Command::Generate(arguments)) => &arguments.draw.trace,
            Some(Command::Compare(arguments)) => &arguments.draw.trace,
            Some(Command::Sheet(arguments)) => &arguments.trace,
            Some(Command::Bench(arguments)) => &arguments.trace,
            Some(Command::Info(_) | Command::Tokens(_) | Command::Models { .. }) => return None,
        };
        trace.trace.as_deref()
    }
}

const EXAMPLES: &str = "\
Examples:
  instaflow                                        open the window with the built-in model
  instaflow --model ~/models/instaflow_0_9B        open the window with the published weights
  instaflow generate \"a lake at sunset\" -o lake.png
  instaflow info lake.png                          show the settings that made a picture
  instaflow generate --help                        all about one command";

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Draw a prompt and save it as a PNG.
    ///
    /// The one-step student draws, or with --teacher the teacher; the PNG carries the settings that made it.
    Generate(generate::Generate),
    /// Draw student and teacher from the same noise, side by side with their difference.
    ///
    /// The student draws in one step without guidance. --sampler and --guidance are the teacher's alone; --steps and
    /// --negative are the baseline's, too: with --baseline-model a third model draws from the same noise.
    Compare(compare::Compare),
    /// Draw many prompts from several seeds as one contact sheet.
    ///
    /// A row for each line of a text file: the student's picture from each seed, then the teacher's from the same ones.
    Sheet(sheet::Sheet),
    /// Time a model stage by stage on this machine.
    ///
    /// Prints the medians in seconds, each run from prompt to RGB pixels with nothing cached. With a pair, or with
    /// --teacher, the teacher's 25 steps with guidance are timed too; with --baseline-model, the baseline's.
    Bench(bench::Bench),
    /// Show a PNG's settings, or a model folder's parts, sizes and problems.
    Info(info::Info),
    /// Print a prompt's token ids as the text encoder gets them.
    ///
    /// All of them (77 with CLIP), padding included, on one line with nothing else.
    Tokens(tokens::Tokens),
    /// List, download and remove models (not available yet).
    #[command(hide = true)]
    Models {
        /// Whatever was asked.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
        rest: Vec<std::ffi::OsString>,
    },
}

/// Carries out a command.
pub fn run(command: Command) -> anyhow::Result<()> {
    threads::compute_here(Priority::Normal);
    match command {
        Command::Generate(arguments) => generate::run(&arguments),
        Command::Compare(arguments) => compare::run(&arguments),
        Command::Sheet(arguments) => sheet::run(&arguments),
        Command::Bench(arguments) => bench::run(&arguments),
        Command::Info(arguments) => info::run(&arguments),
        Command::Tokens(arguments) => tokens::run(&arguments),
        Command::Models { .. } => Err(wrong_use(
            "this version does not download models yet: fetch a model folder by other means and name it with --model",
        )),
    }
}

/// Prints why a command failed, and its exit code: 2 for wrong use, else 1.
pub fn report(error: &anyhow::Error) -> ExitCode {
    let mut text = format!("error: {}\n", printable_line(&error.to_string()));
    for cause in error.chain().skip(1) {
        text.push_str("  caused by: ");
        text.push_str(&printable_line(&cause.to_string()));
        text.push('\n');
    }
    // Where stderr itself is gone, the exit code still tells.
    let _ = io::stderr().write_all(text.as_bytes());
    ExitCode::from(if error.is::<WrongUse>() { 2 } else { 1 })
}

/// Answers arguments that clap could not read, or --help and --version, which it treats alike.
pub fn refuse(error: &clap::Error) -> ExitCode {
    if !error.use_stderr() {
        // Help and version; a closed pipe has had enough of them.
        let _ = error.print();
        return ExitCode::SUCCESS;
    }
    report(&wrong_use(usage_error::sentence(error)))
}

/// The arguments cannot be meant as they stand.
#[derive(Debug)]
struct WrongUse(String);

impl Display for WrongUse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for WrongUse {}

fn wrong_use(message: impl Into<String>) -> anyhow::Error {
    WrongUse(message.into()).into()
}

/// The engine's word on what was asked for: a setting that cannot be drawn is wrong use, all else a failure.
fn engine_error(error: instaflow_engine::Error) -> anyhow::Error {
    match error {
        instaflow_engine::Error::Setting(message) => wrong_use(message),
        error => error.into(),
    }
}

/// Prints one line on stdout. That nobody reads on (`instaflow … | head`) is no error.
fn say(line: impl Display) -> anyhow::Result<()> {
    match writeln!(io::stdout(), "{line}") {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(error).context("cannot write to standard output")
        }
        _ => Ok(()),
    }
}

/// Text of a file or a system on one line, with nothing in it that a terminal would obey.
fn printable_line(text: &str) -> String {
    printable(&text.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// Text of a file, control characters other than line ends and tabs spelled out.
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

    #[test]
    fn refusals_are_one_line() {
        let draw = ["generate", "x", "-o", "a.png"];
        for (arguments, expected) in [
            (&["generate", "x"][..], "missing --output <FILE.png>"),
            (&[&draw[..], &["--sede", "4"]].concat(), "unexpected argument '--sede'; did you mean --seed?"),
            (&[&draw[..], &["--seed", "1", "--seed", "2"]].concat(), "--seed <S> can be given only once"),
            (&[&draw[..], &["--seed"]].concat(), "--seed <S> needs a value"),
            (
                &[&draw[..], &["--seed", "4294967296"]].concat(),
                "invalid value '4294967296' for --seed <S>: 4294967296 is not in 0..=4294967295",
            ),
            (
                &[&draw[..], &["--size", "12"]].concat(),
                "invalid value '12' for --size <WIDTHxHEIGHT>: write WIDTHxHEIGHT in pixels, for example 512x512",
            ),
            (
                &[&draw[..], &["--decoder", "tinny"]].concat(),
                "invalid value 'tinny' for --decoder <full|tiny>: expected one of full, tiny; did you mean tiny?",
            ),
            (
                &["bench", "--random", "sd15", "--model", "a", "--tiny-decoder", "b"],
                "--random <sd15|instaflow-1.7b> cannot be used with --model <DIR>, --tiny-decoder <DIR>",
            ),
            (&["generat"], "there is no command 'generat'; did you mean generate?"),
        ] {
            let error = Arguments::try_parse_from([&["instaflow"], arguments].concat()).expect_err("wrong use");
            assert_eq!(usage_error::sentence(&error), format!("{expected} (see --help)"));
        }
    }
}
