//! Takes models out of the cache again. What other models still use stays.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};

use crate::cache::is_there;
use crate::catalogue::{Entry, Piece};
use crate::{Cache, Error, Hub, Result};

/// What a removal did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    /// Files that no longer exist.
    pub files: usize,
    /// Bytes that are free again.
    pub bytes: u64,
}

impl Hub {
    /// Removes a model: its repositories, or of a repository with several models the one file. Other programs that share
    /// the cache lose it, too.
    pub fn remove(&self, entry: &Entry) -> Result<Removed> {
        let mut removed = Removed::default();
        let mut any = false;
        for piece in &entry.pieces {
            let folder = self.cache.repository(&piece.repository);
            if !is_there(&folder).map_err(|source| Error::file("cannot read", &folder, source))? {
                continue;
            }
            let _locks = lock_all(&self.cache, piece)?;
            let before = removed.files;
            match &piece.files {
                Some(files) => remove_files(&self.cache, &folder, files, &mut removed)?,
                None => remove_repository(&self.cache, piece, &folder, &mut removed)?,
            }
            any |= removed.files > before;
        }
        if any { Ok(removed) } else { Err(Error::NotHere(entry.id.clone())) }
    }
}

fn remove_repository(cache: &Cache, piece: &Piece, folder: &Path, removed: &mut Removed) -> Result<()> {
    let blobs = folder.join("blobs");
    for blob in entries(&blobs) {
        remove_blob(cache, &blob, removed)?;
    }
    // Where there are no links, snapshots have the files.
    if let Some(snapshots) = Some(folder.join("snapshots")).filter(|snapshots| snapshots.is_dir()) {
        count(&snapshots, 0, removed);
    }
    fs::remove_dir_all(folder).map_err(|source| Error::file("cannot remove", folder, source))?;
    let locks = cache.folder().join(".locks").join(piece.repository.folder());
    // Windows keeps files that are open; they are empty.
    let _ = fs::remove_dir_all(locks);
    Ok(())
}

/// Counts files that are no links.
fn count(folder: &Path, depth: usize, removed: &mut Removed) {
    for path in entries(folder) {
        match path.symlink_metadata() {
            Ok(metadata) if metadata.is_file() => {
                removed.files += 1;
                removed.bytes += metadata.len();
            }
            Ok(metadata) if metadata.is_dir() && depth < 8 => count(&path, depth + 1, removed),
            _ => {}
        }
    }
}

fn remove_files(cache: &Cache, folder: &Path, files: &[String], removed: &mut Removed) -> Result<()> {
    let mut loose = BTreeSet::new();
    let snapshots = entries(&folder.join("snapshots"));
    for snapshot in &snapshots {
        for name in files {
            let place = snapshot.join(name);
            let Ok(metadata) = place.symlink_metadata() else { continue };
            if metadata.is_symlink() {
                loose.extend(fs::read_link(&place).ok().and_then(|target| target.file_name().map(ToOwned::to_owned)));
            } else {
                removed.files += 1;
                removed.bytes += metadata.len();
            }
            fs::remove_file(&place).map_err(|source| Error::file("cannot remove", &place, source))?;
        }
    }
    // A blob may have another name, in this snapshot or in an older one.
    let used: BTreeSet<_> = snapshots.iter().flat_map(|snapshot| blobs_of(snapshot, 0)).collect();
    for blob in loose.difference(&used) {
        remove_blob(cache, &folder.join("blobs").join(blob), removed)?;
    }
    Ok(())
}

/// The names of the blobs that a snapshot links to.
fn blobs_of(folder: &Path, depth: usize) -> Vec<std::ffi::OsString> {
    let mut found = Vec::new();
    for path in entries(folder) {
        if let Ok(target) = fs::read_link(&path) {
            found.extend(target.file_name().map(ToOwned::to_owned));
        } else if path.is_dir() && depth < 8 {
            found.extend(blobs_of(&path, depth + 1));
        }
    }
    found
}

/// Removes a blob, and in the newer layout what it links to if nothing else does.
fn remove_blob(cache: &Cache, blob: &Path, removed: &mut Removed) -> Result<()> {
    let Ok(metadata) = blob.symlink_metadata() else { return Ok(()) };
    let shared = metadata.is_symlink().then(|| blob.canonicalize().ok()).flatten();
    let alone = names(&metadata) == 1;
    fs::remove_file(blob).map_err(|source| Error::file("cannot remove", blob, source))?;
    removed.files += 1;
    if metadata.is_file() && alone {
        removed.bytes += metadata.len();
    }
    let store = cache.folder().join("blobs").canonicalize().ok();
    if let (Some(shared), Some(store)) = (shared, store)
        && shared.starts_with(&store)
    {
        remove_shared(cache, &shared, removed);
    }
    Ok(())
}

/// Removes a file of the shared store unless a repository still links to it. If another program works on it, or if
/// something cannot be read, it stays: that costs room and nothing else.
fn remove_shared(cache: &Cache, shared: &Path, removed: &mut Removed) {
    let beside = |ending: &str| {
        let mut name = shared.as_os_str().to_owned();
        name.push(ending);
        PathBuf::from(name)
    };
    let Ok(lock) = OpenOptions::new().write(true).create(true).truncate(false).open(beside(".lock")) else { return };
    if lock.try_lock().is_err() {
        return;
    }
    let repositories = entries(cache.folder());
    let mut links = repositories.iter().flat_map(|repository| entries(&repository.join("blobs")));
    let used = links.any(|link| link.is_symlink() && link.canonicalize().is_ok_and(|target| target == shared));
    let Ok(metadata) = shared.metadata() else { return };
    if !used && fs::remove_file(shared).is_ok() {
        removed.bytes += metadata.len();
        let _ = fs::remove_file(beside(".refs"));
    }
}

/// Takes the locks of all blobs of a repository; fails if a program is at work on one.
fn lock_all(cache: &Cache, piece: &Piece) -> Result<Vec<File>> {
    let folder = cache.folder().join(".locks").join(piece.repository.folder());
    let mut locks = Vec::new();
    for path in entries(&folder) {
        let Ok(file) = OpenOptions::new().write(true).open(&path) else { continue };
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => return Err(Error::Busy { path: cache.repository(&piece.repository) }),
            _ => locks.push(file),
        }
    }
    Ok(locks)
}

/// How many names a file has; one where that cannot be known.
fn names(metadata: &fs::Metadata) -> u64 {
    #[cfg(unix)]
    return std::os::unix::fs::MetadataExt::nlink(metadata);
    #[cfg(not(unix))]
    {
        let _ = metadata;
        1
    }
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = folder.read_dir().into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    paths.sort();
    paths
}
