//! `instaflow models list`: the catalogue, and what is in the hub's cache.

use instaflow_hub::{Catalogue, Entry, Hub, State, readable_bytes};
use serde_json::{Value, json};

use super::super::{printable_line, say};

pub(super) fn run(hub: &Hub, as_json: bool) -> anyhow::Result<()> {
    let others = others(hub);
    if as_json {
        let models: Vec<Value> = hub.catalogue().models.iter().chain(&others).map(|entry| object(hub, entry)).collect();
        let all = json!({
            "cache": hub.cache().folder(),
            "endpoint": hub.environment().endpoint,
            "models": models,
        });
        return say(all);
    }
    let width = hub.catalogue().models.iter().map(|entry| entry.id.len()).max().unwrap_or_default();
    for entry in &hub.catalogue().models {
        say(line(hub, entry, width))?;
    }
    if !others.is_empty() {
        say("")?;
        say("Others in the hub's cache:")?;
        let width = others.iter().map(|entry| entry.id.len()).max().unwrap_or_default();
        for entry in &others {
            say(line(hub, entry, width))?;
        }
    }
    say("")?;
    say(format!("Download one:  instaflow models download ID        Cache: {}", hub.cache().folder().display()))
}

/// Models in the cache that the catalogue does not have.
fn others(hub: &Hub) -> Vec<Entry> {
    let catalogue = hub.catalogue();
    let known = |entry: &Entry| {
        let repository = &entry.pieces[0].repository;
        catalogue.models.iter().any(|model| model.pieces.iter().any(|piece| piece.repository == *repository))
    };
    let all = hub.cache().repositories().into_iter().filter_map(|id| catalogue.target(&id.to_string()).ok());
    all.filter(|entry| !known(entry) && matches!(hub.cache().state(entry), State::Here { .. })).collect()
}

fn line(hub: &Hub, entry: &Entry, width: usize) -> String {
    let (mark, size) = match hub.cache().state(entry) {
        State::Here { bytes, .. } => ("here", readable_bytes(bytes)),
        State::Partial { bytes } => ("partly", format!("{} so far", readable_bytes(bytes))),
        State::Absent => ("-", entry.bytes.map(readable_bytes).unwrap_or_default()),
    };
    let licences = licences(hub.catalogue(), entry).join(", ");
    let good_for = if entry.good_for.is_empty() { &entry.name } else { &entry.good_for };
    let good_for = printable_line(good_for);
    let text = format!("{:width$}  {mark:6}  {size:13}  {licences:35}  {good_for}", entry.id);
    text.trim_end().to_owned()
}

/// The short names of a model's licences.
fn licences(catalogue: &Catalogue, entry: &Entry) -> Vec<String> {
    let name = |id: &String| catalogue.licences.get_key_value(id).map_or(id.clone(), |(id, _)| id.clone());
    entry.licences.iter().map(name).collect()
}

fn object(hub: &Hub, entry: &Entry) -> Value {
    let (state, bytes_here, paths) = match hub.cache().state(entry) {
        State::Here { bytes, paths } => ("here", bytes, paths),
        State::Partial { bytes } => ("partly", bytes, Vec::new()),
        State::Absent => ("absent", 0, Vec::new()),
    };
    let licence = |id: &String| {
        let text = hub.catalogue().licences.get(id);
        json!({"id": id, "name": text.map(|text| &text.name), "address": text.map(|text| &text.address)})
    };
    let piece = |piece: &instaflow_hub::Piece| {
        json!({
            "repository": piece.repository.to_string(),
            "revision": piece.revision(),
            "role": piece.role,
            "files": piece.files,
        })
    };
    json!({
        "id": entry.id,
        "name": entry.name,
        "good_for": entry.good_for,
        "licences": entry.licences.iter().map(licence).collect::<Vec<_>>(),
        "bytes": entry.bytes,
        "pieces": entry.pieces.iter().map(piece).collect::<Vec<_>>(),
        "state": state,
        "bytes_here": bytes_here,
        "paths": paths,
    })
}
