//! Files for readers that take a path. Each thread has a folder of its own, which is gone when the thread ends. Set `TMPDIR`
//! to a file system in memory for a long run.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

thread_local! {
    static FOLDER: TempDir = tempfile::tempdir().expect("a folder for temporary files");
}

/// A file with these contents. It stays until the same name is asked for again.
pub fn file(name: &str, contents: &[u8]) -> PathBuf {
    let path = path(name);
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).expect("a folder");
    }
    fs::write(&path, contents).expect("a file");
    path
}

/// Where a file of this name would be.
pub fn path(name: &str) -> PathBuf {
    FOLDER.with(|folder| folder.path().join(name))
}

/// A copy of a folder, made once for each thread. Large files are linked.
pub fn copy(of: &Path, name: &str) -> PathBuf {
    let to = path(name);
    if !to.exists() {
        copy_folder(of, &to);
    }
    to
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a fixture") {
        let from = entry.expect("an entry").path();
        let to = to.join(from.file_name().expect("a name"));
        if from.is_dir() {
            copy_folder(&from, &to);
        } else if fs::hard_link(&from, &to).is_err() {
            fs::copy(&from, &to).expect("a copy");
        }
    }
}
