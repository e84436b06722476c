//! Files written whole or not at all: beside their target first, then renamed.

use std::io::{self, Write};
use std::path::Path;

use tempfile::NamedTempFile;

use crate::{Error, Result};

/// Writes `bytes` at `path`; an existing file is replaced only with `overwrite`.
pub(crate) fn write(path: &Path, bytes: &[u8], overwrite: bool) -> Result<()> {
    let written = write_beside(parent(path), bytes).and_then(|file| {
        let persisted = if overwrite { file.persist(path) } else { file.persist_noclobber(path) };
        persisted.map(drop).map_err(|failed| name_taken(failed.error))
    });
    if written.is_ok() {
        sync_folder(parent(path));
    }
    written.map_err(|source| cannot_write(path, source))
}

/// A file with `bytes` in `folder` that vanishes unless it is given its name.
pub(crate) fn write_beside(folder: &Path, bytes: &[u8]) -> io::Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".instaflow-").suffix(".tmp");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        // Those of any new file (the process's mask applies); temporary files are private otherwise.
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
    let mut file = builder.tempfile_in(folder).map_err(without_path)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    Ok(file)
}

/// Makes the names of a folder's files as durable as their contents. Some file systems know no such thing; there is
/// nothing better to do on them.
fn sync_folder(folder: &Path) {
    if cfg!(unix) {
        let _ = std::fs::File::open(folder).and_then(|folder| folder.sync_all());
    }
}

/// The error of a name that is taken, in words; any other as it is.
pub(crate) fn name_taken(error: io::Error) -> io::Error {
    if error.kind() == io::ErrorKind::AlreadyExists {
        let message = "a file of that name is there already: choose another name, or allow overwriting";
        io::Error::new(io::ErrorKind::AlreadyExists, message)
    } else {
        error
    }
}

pub(crate) fn cannot_write(path: &Path, source: io::Error) -> Error {
    Error::File { action: "cannot write", path: path.to_owned(), source }
}

/// `tempfile` adds the temporary name to its errors, which tells a person nothing.
fn without_path(error: io::Error) -> io::Error {
    let kind = error.kind();
    match kind {
        io::ErrorKind::NotFound => io::Error::new(kind, "its folder does not exist"),
        io::ErrorKind::PermissionDenied => io::Error::new(kind, "its folder may not be written to"),
        io::ErrorKind::NotADirectory => io::Error::new(kind, "what should be its folder is a file"),
        _ => error,
    }
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}
