//! `instaflow models download`: what it would take, the licences, and the download itself.

use std::io::{self, IsTerminal, Write};
use std::path::Path;

use instaflow_hub::selection::Weights;
use instaflow_hub::{Acceptances, Entry, Error, Event, Hub, Licence, Plan, PlanOptions, State, Stop, readable_bytes};

use super::super::progress::Progress;
use super::super::{printable_line, say, wrong_use};
use super::hub_error;
use crate::model_names;

/// What was asked for.
pub(super) struct Wanted<'a> {
    pub name: &'a str,
    pub revision: Option<&'a str>,
    /// The person has accepted the licences by an option.
    pub accepted: bool,
    pub dry: bool,
    /// 16-bit weights if there are any.
    pub half: bool,
}

pub(super) fn run(hub: &Hub, settings: Option<&Path>, wanted: &Wanted<'_>) -> anyhow::Result<()> {
    let entry = hub.catalogue().target(wanted.name).map_err(hub_error)?;
    if wanted.revision.is_some() && entry.pieces.len() > 1 {
        return Err(wrong_use(format!("{} is several repositories: leave --revision out", entry.id)));
    }
    if hub.environment().offline && is_here(hub, &entry, wanted) {
        return say_where(hub, &entry);
    }
    let progress = Progress::new();
    let weights = if wanted.half { Weights::Half } else { Weights::Full };
    let options = PlanOptions { revision: wanted.revision, weights, ..model_names::plan_options() };
    let stop = Stop::default();
    let waits = |wait| progress.aside(|| eprintln!("{wait}"));
    progress.begin("asking the hub", 0);
    let plan = hub.plan(&entry, options, &stop, &waits).map_err(hub_error)?;
    progress.aside(|| print_plan(&plan, wanted.dry))?;
    if wanted.dry {
        return Ok(());
    }
    let mut acceptances = Acceptances::read(settings);
    if !plan.is_complete() && !acceptances.have_all(&plan.licences) {
        if wanted.accepted || progress.aside(|| ask(&plan.licences))? {
            acceptances.accept(&plan.licences).map_err(hub_error)?;
        } else {
            return Err(hub_error(Error::Licence(plan.id.clone())));
        }
    }
    let mut on = |event| match event {
        Event::Begin { files, bytes } => {
            progress.begin_bytes(&format!("downloading {files} file{}", if files == 1 { "" } else { "s" }), bytes);
        }
        Event::Progress(now) => {
            progress.set(now.done);
            if let Some(rate) = now.rate {
                let left =
                    now.left.map(|left| format!(", about {} left", duration(left.as_secs()))).unwrap_or_default();
                progress.tell(format!("{}/s{left}", readable_bytes(rate as u64)));
            }
        }
        Event::Waiting(wait) => waits(wait),
        Event::Arrived { .. } => {}
    };
    let found = hub.download(&plan, &acceptances, &stop, &mut on).map_err(hub_error)?;
    drop(progress);
    found.iter().try_for_each(|piece| say(format!("{} is here: {}", plan.id, piece.path.display())))
}

fn is_here(hub: &Hub, entry: &Entry, wanted: &Wanted<'_>) -> bool {
    wanted.revision.is_none() && matches!(hub.cache().state(entry), State::Here { .. })
}

fn say_where(hub: &Hub, entry: &Entry) -> anyhow::Result<()> {
    let found = hub.cache().find(entry).map_err(hub_error)?;
    found.iter().try_for_each(|piece| say(format!("{} is here: {}", entry.id, piece.path.display())))
}

/// What it takes: repositories, files if `all`, licences, bytes.
fn print_plan(plan: &Plan, all: bool) -> anyhow::Result<()> {
    for piece in &plan.pieces {
        let bytes = piece.files.iter().map(|file| file.bytes).sum();
        let commit: String = piece.commit.chars().take(7).collect();
        say(format!("{} at {commit}: {} files, {}", piece.repository, piece.files.len(), readable_bytes(bytes)))?;
        for file in piece.files.iter().filter(|_| all) {
            let here = match file.here {
                0 => String::new(),
                here if here == file.bytes => ", here".to_owned(),
                here => format!(", {} of it here", readable_bytes(here)),
            };
            say(format!("  {}  {}{here}", file.path, readable_bytes(file.bytes)))?;
        }
    }
    for licence in &plan.licences {
        say(format!(
            "Licence of {}: {} ({}), {}",
            licence.repository,
            printable_line(&licence.name),
            printable_line(&licence.id),
            printable_line(&licence.address)
        ))?;
    }
    if plan.is_complete() {
        return say("Nothing to download: all of it is here");
    }
    say(format!("To download: {}", readable_bytes(plan.bytes_to_fetch())))
}

/// Asks whether the licences are accepted, if anybody is there to answer.
fn ask(licences: &[Licence]) -> anyhow::Result<bool> {
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Ok(false);
    }
    let these = if licences.len() == 1 { "this licence" } else { "these licences" };
    eprint!("Have you read {these}, and do you accept {}? [y/N] ", if licences.len() == 1 { "it" } else { "them" });
    io::stderr().flush()?;
    let mut answer = String::new();
    io::stdin().read_line(&mut answer)?;
    Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}

/// Seconds in two units at most: 45 s, 3 min, 2 h 5 min.
fn duration(seconds: u64) -> String {
    match seconds {
        0..90 => format!("{seconds} s"),
        90..5400 => format!("{} min", seconds.div_ceil(60)),
        _ => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_left_is_written_in_two_units_at_most() {
        let written = [45, 91, 3600, 7500].map(duration);
        assert_eq!(written, ["45 s", "2 min", "60 min", "2 h 5 min"]);
    }
}
