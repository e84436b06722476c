//! Arguments that clap could not read, told in one line. Change the sentences here.

use std::error::Error as _;

use clap::error::{ContextKind, ErrorKind};

/// One sentence, what was probably meant, and where to read more.
pub(super) fn sentence(error: &clap::Error) -> String {
    let all: Vec<String> = std::iter::once(what_is_wrong(error)).chain(suggestions(error)).collect();
    format!("{} (see --help)", all.join("; "))
}

fn what_is_wrong(error: &clap::Error) -> String {
    let (argument, value) = (text(error, ContextKind::InvalidArg), text(error, ContextKind::InvalidValue));
    match error.kind() {
        ErrorKind::UnknownArgument => format!("unexpected argument '{argument}'"),
        ErrorKind::InvalidSubcommand => {
            format!("there is no command '{}'", text(error, ContextKind::InvalidSubcommand))
        }
        ErrorKind::MissingRequiredArgument => format!("missing {argument}"),
        ErrorKind::ArgumentConflict => match text(error, ContextKind::PriorArg) {
            prior if prior == argument => format!("{argument} can be given only once"),
            prior => format!("{argument} cannot be used with {prior}"),
        },
        ErrorKind::InvalidValue | ErrorKind::ValueValidation => {
            let what = if value.is_empty() {
                format!("{argument} needs a value")
            } else {
                format!("invalid value '{value}' for {argument}")
            };
            let valid = text(error, ContextKind::ValidValue);
            let reason = error.source().map(ToString::to_string);
            let reason = reason.or_else(|| (!valid.is_empty()).then(|| format!("expected one of {valid}")));
            reason.map_or(what.clone(), |reason| format!("{what}: {reason}"))
        }
        kind => {
            let what = kind.as_str().unwrap_or("the arguments cannot be read");
            if argument.is_empty() { what.to_owned() } else { format!("{what}: {argument}") }
        }
    }
}

fn suggestions(error: &clap::Error) -> impl Iterator<Item = String> {
    let meant = [ContextKind::SuggestedArg, ContextKind::SuggestedSubcommand, ContextKind::SuggestedValue];
    let meant = meant.map(|kind| text(error, kind)).into_iter().filter(|meant| !meant.is_empty());
    // Whole sentences of clap's own.
    let tips = Some(text(error, ContextKind::Suggested)).filter(|tips| !tips.is_empty());
    meant.map(|meant| format!("did you mean {meant}?")).chain(tips)
}

fn text(error: &clap::Error, kind: ContextKind) -> String {
    error.get(kind).map(ToString::to_string).unwrap_or_default()
}
