//! Files that are whole or absent: they are written beside their target, synced, and then renamed. Every file that this
//! workspace writes in one go is written here; change here how that is done.

use std::path::Path;
use std::{fs, io};

use tempfile::NamedTempFile;

use crate::{Error, Result};

/// Writes `bytes` at `path`. An existing file is replaced only with `overwrite`. The folder must exist.
pub fn write(path: &Path, bytes: &[u8], overwrite: bool) -> Result<()> {
    write_with(path, overwrite, |beside| fs::write(beside, bytes))
}

/// Like [`write()`], with what `fill` writes into the empty file beside the target whose path it is given.
pub fn write_with(path: &Path, overwrite: bool, fill: impl FnOnce(&Path) -> io::Result<()>) -> Result<()> {
    let written = temporary(parent(path), fill).and_then(|file| {
        let persisted = if overwrite { file.persist(path) } else { file.persist_noclobber(path) };
        persisted.map(drop).map_err(|failed| name_taken(failed.error))
    });
    if written.is_ok() {
        sync_folder(parent(path));
    }
    written.map_err(|source| cannot_write(path, source))
}

/// A synced file in `folder` with what `fill` writes. It is deleted when dropped, unless it is given a name first.
pub(crate) fn temporary(folder: &Path, fill: impl FnOnce(&Path) -> io::Result<()>) -> io::Result<NamedTempFile> {
    // Temporary files are private unless told otherwise. The process's mask still applies to this mode.
    let file = builder(0o666).tempfile_in(folder).map_err(without_path)?;
    fill(file.path())?;
    file.as_file().sync_all()?;
    Ok(file)
}

/// A folder in `folder` that is deleted with its contents when dropped, unless it is kept.
pub(crate) fn temporary_folder(folder: &Path) -> io::Result<tempfile::TempDir> {
    builder(0o777).tempdir_in(folder)
}

/// Names that say whose they are, so that what a killed process leaves can be recognized.
fn builder(mode: u32) -> tempfile::Builder<'static, 'static> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".instaflow-").suffix(".tmp");
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(mode));
    #[cfg(not(unix))]
    let _ = mode;
    builder
}

/// Makes the names of a folder's files as durable as their contents. A file system that cannot do this refuses; nothing
/// better can be done there.
fn sync_folder(folder: &Path) {
    if cfg!(unix) {
        let _ = std::fs::File::open(folder).and_then(|folder| folder.sync_all());
    }
}

/// Puts the error of a name that is taken into words and returns any other as it is.
pub(crate) fn name_taken(error: io::Error) -> io::Error {
    if error.kind() == io::ErrorKind::AlreadyExists {
        let message = "a file of that name exists already: choose another name, or allow overwriting";
        io::Error::new(io::ErrorKind::AlreadyExists, message)
    } else {
        error
    }
}

pub(crate) fn cannot_write(path: &Path, source: io::Error) -> Error {
    Error::File { action: "cannot write", path: path.to_owned(), source }
}

/// `tempfile` adds the temporary name to its errors; users have no use for it.
fn without_path(error: io::Error) -> io::Error {
    let kind = error.kind();
    match kind {
        io::ErrorKind::NotFound => io::Error::new(kind, "its folder does not exist"),
        io::ErrorKind::PermissionDenied => io::Error::new(kind, "its folder is not writable"),
        io::ErrorKind::NotADirectory => io::Error::new(kind, "its folder is a file"),
        _ => error,
    }
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}
