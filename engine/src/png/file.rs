//! PNGs on disk, and the names of those that are saved without being asked for one.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use jiff::Zoned;

use super::{encode, encode_animation};
use crate::Result;
use crate::atomic::{self, cannot_write, name_taken, write_beside};
use crate::protocol::{Picture, Settings};

/// Bytes of a prompt that go into a file's name: enough to know it by, well under what file systems allow.
const PROMPT_BYTES: usize = 60;

/// Pictures of the same second, seed and prompt that get names of their own.
const SAME_NAMES: u32 = 9999;

/// Saves the picture at `path`, whole or not at all; an existing file is replaced only with `overwrite`.
pub fn save(path: &Path, picture: &Picture, metadata: bool, overwrite: bool) -> Result<()> {
    atomic::write(path, &encode(picture, metadata), overwrite)
}

/// Saves pictures as one animation at `path`; see [`encode_animation`] and [`save`].
pub fn save_animation(path: &Path, frames: &[&Picture], rate: u32, metadata: bool, overwrite: bool) -> Result<()> {
    atomic::write(path, &encode_animation(frames, rate, metadata)?, overwrite)
}

/// Saves the picture as `YYYY-MM-DD/HH-MM-SS_seed_prompt.png` under `folder` (local time, folders made as needed) and
/// returns where; a name that is taken gets `-2`, `-3` … before `.png`.
pub fn save_quick(folder: &Path, picture: &Picture, metadata: bool) -> Result<PathBuf> {
    save_new(folder, &picture.settings, &encode(picture, metadata))
}

/// Saves pictures as one animation under `folder`; see [`encode_animation`] and [`save_quick`].
pub fn save_animation_quick(folder: &Path, frames: &[&Picture], rate: u32, metadata: bool) -> Result<PathBuf> {
    let bytes = encode_animation(frames, rate, metadata)?;
    // An animation without a frame has no bytes.
    save_new(folder, &frames[0].settings, &bytes)
}

/// Writes a file's bytes under a name that is free.
fn save_new(folder: &Path, settings: &Settings, bytes: &[u8]) -> Result<PathBuf> {
    let now = Zoned::now();
    let day = folder.join(now.strftime("%Y-%m-%d").to_string());
    let mut stem = format!("{}_{}", now.strftime("%H-%M-%S"), settings.seed);
    let words = file_words(&settings.prompt);
    if !words.is_empty() {
        stem = format!("{stem}_{words}");
    }

    fs::create_dir_all(&day).map_err(|source| cannot_write(&day, source))?;
    let mut file = write_beside(&day, bytes).map_err(|source| cannot_write(&day, source))?;
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
