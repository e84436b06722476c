//! The command line: one file per subcommand, and what they share.
//!
//! Exit codes: 0; 2 for wrong use (the arguments make no sense as they stand); 1 for a failure (they do, but a file, the
//! memory or the device does not allow it). Both print one line on stderr, and the causes below it.

mod generate;

mod compare;

mod contact_sheet;

mod bench;

mod live_latency;

mod info;

mod tokens;

mod arguments;

mod resolved;

mod output;

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
    /// --sampler and --guidance apply only to the teacher; --steps and --negative apply to the teacher and the baseline.
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
    /// Prints all of them (77 with CLIP), including padding, on one line.
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
        Command::Sheet(arguments) => contact_sheet::run(&arguments),
        Command::Bench(arguments) => bench::run(&arguments),
        Command::Info(arguments) => info::run(&arguments),
        Command::Tokens(arguments) => tokens::run(&arguments),
        Command::Models { .. } => Err(wrong_use(
            "this version cannot download models: get a model folder another way and name it with --model",
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
    // If even stderr is closed, the exit code still tells.
    let _ = io::stderr().write_all(text.as_bytes());
    ExitCode::from(if error.is::<WrongUse>() { 2 } else { 1 })
}

/// Answers arguments that clap could not read, and --help and --version, which it reports the same way.
pub fn refuse(error: &clap::Error) -> ExitCode {
    if !error.use_stderr() {
        // Help and version. A closed pipe is no failure: its reader has seen enough.
        let _ = error.print();
        return ExitCode::SUCCESS;
    }
    report(&wrong_use(usage_error::sentence(error)))
}

/// The arguments make no sense as they stand.
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

/// An error of the engine, with the option that may help; the engine knows nothing of options.
#[derive(Debug)]
struct Hinted(instaflow_engine::Error, &'static str);

impl Display for Hinted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({})", self.0, self.1)
    }
}

impl std::error::Error for Hinted {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source()
    }
}

/// The engine's answer: a setting that cannot be drawn is wrong use, everything else a failure.
fn engine_error(error: instaflow_engine::Error) -> anyhow::Error {
    use instaflow_engine::Error;
    let hint = match &error {
        Error::Setting(message) => return wrong_use(message),
        Error::NotANumber { .. } => "try --dtype f32",
        Error::Device(_) => "--device cpu does without it",
        Error::File { source, .. } if source.kind() == io::ErrorKind::AlreadyExists => "--force overwrites it",
        error if error.is_out_of_memory() => "try a smaller --size",
        _ => return error.into(),
    };
    Hinted(error, hint).into()
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

    #[test]
    fn an_error_names_the_option_that_helps_and_keeps_its_causes() {
        let lines = |error| engine_error(error).chain().map(ToString::to_string).collect::<Vec<_>>();
        let exists = instaflow_engine::Error::File {
            action: "cannot write",
            path: "a.png".into(),
            source: io::Error::new(io::ErrorKind::AlreadyExists, "there is one"),
        };
        assert_eq!(lines(exists), ["cannot write a.png (--force overwrites it)", "there is one"]);
        let memory = instaflow_engine::Error::OutOfMemory("too large".to_owned());
        assert_eq!(lines(memory), ["too large (try a smaller --size)"]);
        let setting = instaflow_engine::Error::Setting("no such size".to_owned());
        assert!(engine_error(setting).is::<WrongUse>());
    }
}
