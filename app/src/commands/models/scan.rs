//! `instaflow models scan`: which models are on this computer.

use std::path::PathBuf;

use instaflow_engine::Cancel;
use instaflow_engine::model_library::{self, FoundModel, Scan, ScanEvent, Thumbnail};
use instaflow_hub::readable_bytes;
use serde_json::{Value, json};

use super::super::progress::Progress;
use super::super::{engine_error, printable_line, say};
use crate::model_names;

pub(super) fn run(folders: &[PathBuf], as_json: bool) -> anyhow::Result<()> {
    let (mut places, mut warnings) = (Vec::new(), Vec::new());
    if folders.is_empty() {
        (places, warnings) = model_names::known_places();
    }
    for folder in folders {
        anyhow::ensure!(folder.is_dir(), "{} is no folder: name one that holds models", folder.display());
        let (mut found, mut told) = model_library::places_in(folder);
        places.append(&mut found);
        warnings.append(&mut told);
    }
    let progress = Progress::new();
    progress.begin("looking for models", 0);
    let mut on = |event: ScanEvent<'_>| {
        if let ScanEvent::Read { done, total, .. } = event {
            if done == 1 {
                progress.begin("reading headers", total as u64);
            }
            progress.set(done as u64);
        }
    };
    let mut scan = model_library::scan(&places, &mut on, &Cancel::default()).map_err(engine_error)?;
    drop(progress);
    warnings.append(&mut scan.warnings);
    scan.warnings = warnings;
    if as_json { say(object(&scan)) } else { print(&scan) }
}

fn print(scan: &Scan) -> anyhow::Result<()> {
    for model in &scan.models {
        say(format!("{}: {}, {}", model.path.display(), what(model), readable_bytes(model.bytes)))?;
        if model.title.is_some() {
            say(format!("  Title: {}", printable_line(&model.name)))?;
        }
        if !model.trigger_words.is_empty() {
            say(format!("  Trigger words: {}", printable_line(&model.trigger_words.join(", "))))?;
        }
        if let Some(why) = &model.unusable {
            say(format!("  Cannot be used: it {}", printable_line(why)))?;
        }
    }
    for warning in &scan.warnings {
        say(format!("Note: {}", printable_line(warning)))?;
    }
    let usable = scan.models.iter().filter(|model| model.unusable.is_none()).count();
    let places = scan.places.len();
    let folders = if places == 1 { "folder" } else { "folders" };
    let models = if scan.models.len() == 1 { "model" } else { "models" };
    say(format!("{} {models} in {places} {folders}, {usable} of them usable", scan.models.len()))
}

fn what(model: &FoundModel) -> String {
    format!("{} for {}", model.kind.name(), model.base.name())
}

fn object(scan: &Scan) -> Value {
    let model = |model: &FoundModel| {
        let thumbnail = match &model.thumbnail {
            Some(Thumbnail::File(path)) => json!({"file": path}),
            // The picture itself would be longer than everything else.
            Some(Thumbnail::Embedded(_)) => json!("embedded"),
            None => Value::Null,
        };
        json!({
            "path": model.path,
            "program": model.program,
            "kind": model.kind.name(),
            "base": model.base,
            "name": model.name,
            "title": model.title,
            "trigger_words": model.trigger_words,
            "tags": model.tags,
            "thumbnail": thumbnail,
            "bytes": model.bytes,
            "usable": model.unusable.is_none(),
            "why_not": model.unusable,
        })
    };
    json!({
        "models": scan.models.iter().map(model).collect::<Vec<_>>(),
        "folders": scan.places,
        "warnings": scan.warnings,
    })
}
