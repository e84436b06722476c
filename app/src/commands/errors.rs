//! How a command ends if it does not succeed: with one line on stderr, and the causes below it. The exit code is 2 for
//! wrong use (the arguments make no sense as they stand) and 1 for a failure (they do, but a file, the memory or the
//! device does not allow it). Change here which option an error of the engine points to.

use std::fmt::Display;
use std::io::{self, Write};
use std::process::ExitCode;

use super::{printable_line, usage_error};

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

pub(super) fn wrong_use(message: impl Into<String>) -> anyhow::Error {
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
pub(super) fn engine_error(error: instaflow_engine::Error) -> anyhow::Error {
    use instaflow_engine::Error;
    let hint = match &error {
        Error::Setting(message) => return wrong_use(message),
        Error::NotANumber { .. } => "try --dtype f32",
        Error::UnknownPrediction { .. } => "with --recipe",
        Error::Device(_) => "or use --device cpu",
        Error::File { source, .. } if source.kind() == io::ErrorKind::AlreadyExists => "--force overwrites it",
        error if error.is_out_of_memory() => "try a smaller --size",
        _ => return error.into(),
    };
    Hinted(error, hint).into()
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::super::Arguments;
    use super::*;

    #[test]
    fn refusals_are_one_line() {
        let draw = ["generate", "x", "-o", "a.png"];
        for (arguments, expected) in [
            (&["generate", "x"][..], "missing --output <FILE>"),
            (&[&draw[..], &["--sede", "4"]].concat(), "unexpected argument '--sede'; did you mean --seed?"),
            (&[&draw[..], &["--seed", "1", "--seed", "2"]].concat(), "--seed <S> can be given only once"),
            (&[&draw[..], &["--seed"]].concat(), "--seed <S> needs a value"),
            (
                &[&draw[..], &["--seed", "18446744073709551616"]].concat(),
                "invalid value '18446744073709551616' for --seed <S>: a seed is a whole number from 0 to 18446744073709551615",
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
                "--random <sd15|instaflow-1.7b> cannot be used with --model <DIR|FILE.safetensors>, --tiny-decoder <DIR|FILE.safetensors>",
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
