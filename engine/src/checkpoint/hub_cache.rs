//! Hugging Face's cache of downloads, as other programs fill it:
//!
//! ```text
//! models--ORG--NAME/refs/main                   the name of a snapshot
//!                   snapshots/COMMIT/unet/…     links into blobs/, or files where links are not possible
//!                   blobs/ETAG                  the files, or links into the cache's own blobs/
//!                   trees/COMMIT.json           which files the repository has
//! ```
//!
//! Change here how a repository's folder is read.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::text_file;
use crate::{Error, Result};

/// Longest name of a snapshot that a file in `refs/` may hold. Commits have 40 letters.
const LONGEST_NAME: u64 = 200;

/// Largest list of a repository's files.
const LARGEST_TREE: u64 = 64 << 20;

/// Most links from a file to its contents. The cache has two.
const MOST_LINKS: usize = 4;

const AGAIN: &str = "download the model again";

/// The snapshot that a repository's folder stands for: the one that `refs/main` names or, without any `refs/`, the only
/// one. Every other folder stands for itself.
pub(super) fn snapshot(folder: &Path) -> Result<PathBuf> {
    let fault = |message: String| Error::Checkpoint { path: folder.to_owned(), message };
    let snapshots = folder.join("snapshots");
    let whole = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    if repository(&whole).is_none() || !snapshots.is_dir() {
        return Ok(folder.to_owned());
    }
    if let Some(commit) = main_reference(folder) {
        let named = snapshots.join(&commit);
        // A name with folders in it could lead out of the cache.
        let plain = !commit.is_empty() && !commit.contains(['/', '\\', ':']) && commit != "..";
        return if plain && named.is_dir() {
            Ok(named)
        } else {
            Err(fault(format!("names the snapshot {commit:?} in refs/main, which is not in snapshots/: {AGAIN}")))
        };
    }
    let mut found = names_in(&snapshots);
    found.retain(|name| snapshots.join(name).is_dir());
    match found.as_slice() {
        [] => Err(fault(format!("holds no snapshot: {AGAIN}"))),
        [only] => Ok(snapshots.join(only)),
        several => Err(fault(format!(
            "holds several snapshots ({}) and no refs/main that chooses one: open one of them in snapshots/",
            several.join(", ")
        ))),
    }
}

/// What a snapshot's model is called, `NAME` of `models--ORG--NAME`; `None` for a folder that is no snapshot.
pub(super) fn repository_name(folder: &Path) -> Option<String> {
    let (repository_folder, _, inside) = place(folder)?;
    let name = repository(repository_folder)?.rsplit("--").next()?;
    (inside.as_os_str().is_empty() && !name.is_empty()).then(|| name.to_owned())
}

/// Why a link leads nowhere, as a sentence whose subject, the file, is left out; `None` if it is no link.
pub(super) fn broken_link(path: &Path) -> Option<String> {
    let mut at = path.to_owned();
    let mut broken_off = false;
    for _ in 0..MOST_LINKS {
        let Ok(target) = fs::read_link(&at) else { break };
        at = at.parent().unwrap_or(Path::new("")).join(target);
        broken_off |= is_incomplete(&at);
    }
    if at == path {
        return None;
    }
    let blob = at.file_name().unwrap_or(at.as_os_str()).to_string_lossy().into_owned();
    Some(if broken_off {
        format!("is incomplete: its download was broken off ({blob}.incomplete): {AGAIN}")
    } else {
        format!("is a link to {blob}, which was not downloaded or was deleted: {AGAIN}")
    })
}

/// What a snapshot's folder lacks although the repository has it, as a sentence whose subject, the folder, is left out.
/// `None` if nothing is known to be missing.
pub(super) fn not_downloaded(folder: &Path) -> Option<String> {
    let (repository_folder, commit, inside) = place(folder)?;
    let tree = read_limited(&repository_folder.join("trees").join(format!("{commit}.json")), LARGEST_TREE)?;
    let tree = text_file::json(&tree).ok()?;
    let snapshot = repository_folder.join("snapshots").join(commit);
    let weights = |name: &str| [".safetensors", ".json", ".txt"].iter().any(|ending| name.ends_with(ending));
    let files = tree["files"].as_object().into_iter().flatten().map(|(name, _): (&String, &Value)| name);
    let mut absent = files.filter(|name| {
        Path::new(name).starts_with(inside) && weights(name) && snapshot.join(name).symlink_metadata().is_err()
    });
    let first = absent.next()?;
    Some(format!("lacks {first}, which the repository lists but which was not downloaded: {AGAIN}"))
}

/// The part of a repository's folder name after "models--".
fn repository(folder: &Path) -> Option<&str> {
    folder.file_name()?.to_str()?.strip_prefix("models--")
}

/// A folder in a snapshot as the repository's folder, the snapshot's name, and the path from there.
fn place(folder: &Path) -> Option<(&Path, &str, &Path)> {
    let snapshot = folder.ancestors().find(|ancestor| {
        let parent = ancestor.parent();
        parent.is_some_and(|parent| parent.file_name().is_some_and(|name| name == "snapshots"))
    })?;
    let repository_folder = snapshot.parent()?.parent()?;
    repository(repository_folder)?;
    Some((repository_folder, snapshot.file_name()?.to_str()?, folder.strip_prefix(snapshot).ok()?))
}

/// What `refs/main` says or, if there is one other reference alone, that one.
fn main_reference(folder: &Path) -> Option<String> {
    let references = folder.join("refs");
    let read = |name: &str| {
        let text = text_file::decode(&read_limited(&references.join(name), LONGEST_NAME)?).ok()?;
        Some(text.trim().to_owned())
    };
    read("main").or_else(|| match names_in(&references).as_slice() {
        [only] => read(only),
        _ => None,
    })
}

/// Whether the download of this file has begun and not ended: `ETAG.incomplete`, or `ETAG.SOMETHING.incomplete`.
fn is_incomplete(blob: &Path) -> bool {
    let (Some(folder), Some(name)) = (blob.parent(), blob.file_name().and_then(|name| name.to_str())) else {
        return false;
    };
    !blob.exists()
        && names_in(folder).iter().any(|other| {
            other.strip_prefix(name).is_some_and(|rest| rest.starts_with('.') && rest.ends_with(".incomplete"))
        })
}

/// The names in a folder, sorted; none if it cannot be read.
fn names_in(folder: &Path) -> Vec<String> {
    let entries = folder.read_dir().into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    names
}

/// A file of at most this many bytes; `None` if it is absent, larger or cannot be read.
fn read_limited(path: &Path, limit: u64) -> Option<Vec<u8>> {
    let metadata = path.metadata().ok()?;
    if !metadata.is_file() || metadata.len() > limit {
        return None;
    }
    let mut bytes = Vec::new();
    fs::File::open(path).ok()?.take(limit).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}
