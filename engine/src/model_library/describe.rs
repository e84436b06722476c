//! What one file or folder is: from its headers, its configs, and what lies beside it.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::places::Program;
use super::walk::Candidate;
use super::{FoundKind, FoundModel, Thumbnail, sidecar};
use crate::Error;
use crate::checkpoint::{Base, Files, Kind, ModelFolder, classify};
use crate::protocol::Prediction;

/// Configs are small.
const CONFIG_LIMIT: u64 = 1 << 20;

/// The folders of a model, and those of a pair.
const PARTS: [&str; 5] = ["unet", "vae", "text_encoder", "tokenizer", "vae_tiny"];

pub(super) fn describe(program: Program, candidate: Candidate) -> FoundModel {
    match candidate {
        Candidate::File(path) => file(program, path),
        Candidate::Folder(path) => {
            let base = base_of(&path);
            let unusable = foreign(base).or_else(|| refusal(&path, &path));
            folder(program, path, FoundKind::ModelFolder, base, unusable)
        }
        Candidate::Pair(path) => {
            let teacher = path.join("teacher");
            let base = base_of(&teacher);
            let unusable = foreign(base).or_else(|| refusal(&teacher, &path));
            folder(program, path, FoundKind::Pair, base, unusable)
        }
    }
}

fn file(program: Program, path: PathBuf) -> FoundModel {
    let notes = sidecar::notes(&path);
    let picture = sidecar::picture(&path).map(Thumbnail::File);
    match classify(&path) {
        Ok(file) => {
            let title = file.title.or(notes.title);
            FoundModel {
                program,
                kind: FoundKind::File(file.kind),
                base: file.base,
                name: title.clone().unwrap_or_else(|| stem(program, &path)),
                title,
                trigger_words: if file.trigger_words.is_empty() { notes.trigger_words } else { file.trigger_words },
                tags: file.tags,
                thumbnail: picture.or(file.thumbnail.map(Thumbnail::Embedded)),
                bytes: file.bytes,
                unusable: file.unusable,
                path,
            }
        }
        Err(error) => FoundModel {
            program,
            kind: FoundKind::File(Kind::Unknown),
            base: Base::Unknown,
            name: notes.title.clone().unwrap_or_else(|| stem(program, &path)),
            title: notes.title,
            trigger_words: notes.trigger_words,
            tags: Vec::new(),
            thumbnail: picture,
            bytes: path.metadata().map_or(0, |metadata| metadata.len()),
            unusable: Some(reason(&error, &path)),
            path,
        },
    }
}

fn folder(program: Program, path: PathBuf, kind: FoundKind, base: Base, unusable: Option<String>) -> FoundModel {
    FoundModel {
        program,
        kind,
        base,
        name: folder_name(program, &path),
        title: None,
        trigger_words: Vec::new(),
        tags: Vec::new(),
        thumbnail: None,
        bytes: bytes_in(&path, 0),
        unusable,
        path,
    }
}

/// Why a model in Diffusers layout cannot be opened, by its configs and headers.
fn refusal(model: &Path, shown: &Path) -> Option<String> {
    let open = |wanted| Files::open_folder(model).and_then(|files| ModelFolder::open(&files, None, wanted));
    // A model that does not say what it predicts is one that the person is asked about.
    let opened = open(None).or_else(|error| open(Some(Prediction::Epsilon)).map_err(|_| error));
    opened.err().map(|error| reason(&error, shown))
}

fn foreign(base: Base) -> Option<String> {
    let known = base == Base::Unknown || base.text_width().is_some();
    (!known).then(|| format!("is {}, which this program cannot draw", base.name()))
}

/// The base by the width of the text that the U-Net takes.
fn base_of(model: &Path) -> Base {
    let Some(config) = read(&model.join("unet/config.json")) else { return Base::Unknown };
    match config["cross_attention_dim"].as_u64() {
        Some(768) => Base::Sd1,
        Some(1024) => Base::Sd2,
        Some(1280) => Base::SdxlRefiner,
        Some(2048) => Base::Sdxl,
        _ => Base::Unknown,
    }
}

/// An error as a sentence about the model: without the model's own path, which is shown anyway.
fn reason(error: &Error, path: &Path) -> String {
    match error {
        Error::Checkpoint { path: at, message } if at == path => message.clone(),
        Error::Checkpoint { path: at, message } => {
            let inside = at.strip_prefix(path).unwrap_or(at);
            format!("cannot be opened: {} {message}", inside.display())
        }
        other => {
            let all = std::iter::once(other.to_string()).chain(other.causes()).collect::<Vec<_>>().join(": ");
            format!("cannot be read: {all}")
        }
    }
}

fn stem(program: Program, path: &Path) -> String {
    let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    // Files of the hub have the same few names in all repositories.
    match (program, repository(path)) {
        (Program::HubCache, Some(repository)) => format!("{repository}/{name}"),
        _ => name,
    }
}

fn folder_name(program: Program, path: &Path) -> String {
    match (program, repository(path)) {
        (Program::HubCache, Some(repository)) => repository,
        _ => path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned(),
    }
}

/// ORG/NAME of a path in the hub's cache.
fn repository(path: &Path) -> Option<String> {
    let mut names = path.iter().rev().filter_map(|name| name.to_str()?.strip_prefix("models--"));
    names.next().map(|name| name.replacen("--", "/", 1))
}

/// The bytes of a model's parts.
fn bytes_in(folder: &Path, depth: usize) -> u64 {
    let mut bytes = 0;
    for entry in folder.read_dir().into_iter().flatten().flatten() {
        let (path, name) = (entry.path(), entry.file_name());
        let name = name.to_string_lossy();
        match path.metadata() {
            Ok(metadata) if metadata.is_file() => {
                bytes += if depth == 0 && name != "model_index.json" { 0 } else { metadata.len() };
            }
            Ok(metadata) if metadata.is_dir() && depth == 0 && PARTS.contains(&&*name) => bytes += bytes_in(&path, 1),
            Ok(metadata) if metadata.is_dir() && depth == 0 && (name == "student" || name == "teacher") => {
                bytes += bytes_in(&path, 0);
            }
            _ => {}
        }
    }
    bytes
}

fn read(path: &Path) -> Option<Value> {
    let metadata = path.metadata().ok()?;
    let small = metadata.is_file() && metadata.len() <= CONFIG_LIMIT;
    serde_json::from_slice(&small.then(|| std::fs::read(path).ok()).flatten()?).ok()
}
