//! PNGs on disk: written beside their target and renamed, so that a file is whole or not there.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use jiff::Zoned;
use tempfile::NamedTempFile;

use super::encode;
use crate::protocol::Picture;
use crate::{Error, Result};

/// Bytes of a prompt that go into a file's name: enough to know it by, well under what file systems allow.
const PROMPT_BYTES: usize = 60;

/// Pictures of the same second, seed and prompt that get names of their own.
const SAME_NAMES: u32 = 9999;

/// Saves the picture at `path`, whole or not at all; an existing file is replaced only with `overwrite`.
pub fn save(path: &Path, picture: &Picture, metadata: bool, overwrite: bool) -> Result<()> {
    let written = write_beside(parent(path), &encode(picture, metadata)).and_then(|file| {
        let persisted = if overwrite { file.persist(path) } else { file.persist_noclobber(path) };
        persisted.map(drop).map_err(|failed| name_taken(failed.error))
    });
    written.map_err(|source| cannot_write(path, source))
}

/// Saves the picture as `YYYY-MM-DD/HH-MM-SS_seed_prompt.png` under `folder` (local time, folders made as needed) and
/// returns where; a name that is taken gets `-2`, `-3` … before `.png`.
pub fn save_quick(folder: &Path, picture: &Picture, metadata: bool) -> Result<PathBuf> {
    let now = Zoned::now();
    let day = folder.join(now.strftime("%Y-%m-%d").to_string());
    let mut stem = format!("{}_{}", now.strftime("%H-%M-%S"), picture.settings.seed);
    let words = file_words(&picture.settings.prompt);
    if !words.is_empty() {
        stem = format!("{stem}_{words}");
    }

    fs::create_dir_all(&day).map_err(|source| cannot_write(&day, source))?;
    let mut file = write_beside(&day, &encode(picture, metadata)).map_err(|source| cannot_write(&day, source))?;
    let mut path = day.join(format!("{stem}.png"));
    for number in 2..=SAME_NAMES {
        match file.persist_noclobber(&path) {
            Ok(_) => return Ok(path),
            Err(failed) if failed.error.kind() == io::ErrorKind::AlreadyExists => {
                file = failed.file;
                path = day.join(format!("{stem}-{number}.png"));
            }
            Err(failed) => return Err(cannot_write(&path, failed.error)),
        }
    }
    Err(cannot_write(&path, name_taken(io::ErrorKind::AlreadyExists.into())))
}

/// A file with `bytes` in `folder` that vanishes unless it is given its name.
fn write_beside(folder: &Path, bytes: &[u8]) -> io::Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".instaflow-").suffix(".tmp");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        // Those of any new file (the process's mask applies); temporary files are private otherwise.
        builder.permissions(fs::Permissions::from_mode(0o666));
    }
    let mut file = builder.tempfile_in(folder).map_err(without_path)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    Ok(file)
}

/// `tempfile` adds the temporary name to its errors, which tells a person nothing.
fn without_path(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::NotFound => io::Error::new(io::ErrorKind::NotFound, "its folder does not exist"),
        io::ErrorKind::PermissionDenied => {
            io::Error::new(io::ErrorKind::PermissionDenied, "its folder may not be written to")
        }
        io::ErrorKind::NotADirectory => {
            io::Error::new(io::ErrorKind::NotADirectory, "what should be its folder is a file")
        }
        _ => error,
    }
}

fn name_taken(error: io::Error) -> io::Error {
    if error.kind() == io::ErrorKind::AlreadyExists {
        let message = "a file of that name is there already: choose another name, or allow overwriting";
        io::Error::new(io::ErrorKind::AlreadyExists, message)
    } else {
        error
    }
}

fn cannot_write(path: &Path, source: io::Error) -> Error {
    Error::File { action: "cannot write", path: path.to_owned(), source }
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// Letters and digits of the prompt's beginning, all else as single underscores: a name on every file system.
fn file_words(prompt: &str) -> String {
    let mut words = String::new();
    for c in prompt.chars() {
        if c.is_alphanumeric() {
            if words.len() + c.len_utf8() > PROMPT_BYTES {
                break;
            }
            words.push(c);
        } else if !words.is_empty() && !words.ends_with('_') {
            words.push('_');
        }
    }
    words.truncate(words.trim_end_matches('_').len());
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_names_keep_words_and_nothing_else() {
        for (prompt, expected) in [
            ("a cat", "a_cat"),
            ("  ../../etc/passwd\0", "etc_passwd"),
            ("😀 \"quoted\"\r\nline: *?<>|", "quoted_line"),
            ("日本の山", "日本の山"),
            ("", ""),
            ("...", ""),
        ] {
            assert_eq!(file_words(prompt), expected, "{prompt:?}");
        }
        for long in ["x".repeat(10_000), "山".repeat(10_000), "a ".repeat(10_000)] {
            let words = file_words(&long);
            assert!((50..=PROMPT_BYTES).contains(&words.len()), "{} bytes", words.len());
        }
    }
}
