//! Saves PNG files, under a given name or under one from a filename pattern.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use jiff::Zoned;

use super::filename_pattern::{Name, Pattern};
use super::{encode, encode_animation};
use crate::Result;
use crate::atomic::{self, cannot_write, name_taken, temporary};
use crate::protocol::Picture;

/// How many pictures with the same second, seed and prompt get names of their own.
const SAME_NAMES: u32 = 9999;

/// Saves the picture at `path`, whole or not at all; an existing file is replaced only with `overwrite`.
pub fn save(path: &Path, picture: &Picture, metadata: bool, overwrite: bool) -> Result<()> {
    atomic::write(path, &encode(picture, metadata), overwrite)
}

/// Saves pictures as one animation at `path`; see [`encode_animation`] and [`save`].
pub fn save_animation(path: &Path, frames: &[&Picture], rate: u32, metadata: bool, overwrite: bool) -> Result<()> {
    atomic::write(path, &encode_animation(frames, rate, metadata)?, overwrite)
}

/// Saves the picture in `folder` under the name that the pattern gives it (in local time), and returns the path. Creates
/// folders as needed. If the name is taken, the picture gets the next number, or `-2`, `-3` … before `.png`.
pub fn save_quick(folder: &Path, pattern: &Pattern, picture: &Picture, metadata: bool) -> Result<PathBuf> {
    save_new(folder, pattern, picture, &encode(picture, metadata))
}

/// Saves pictures as one animation in `folder`; see [`encode_animation`] and [`save_quick`].
pub fn save_animation_quick(
    folder: &Path,
    pattern: &Pattern,
    frames: &[&Picture],
    rate: u32,
    metadata: bool,
) -> Result<PathBuf> {
    let bytes = encode_animation(frames, rate, metadata)?;
    // `encode_animation` has refused an animation without frames.
    save_new(folder, pattern, frames[0], &bytes)
}

/// Writes a file's bytes under a name that is free.
fn save_new(folder: &Path, pattern: &Pattern, picture: &Picture, bytes: &[u8]) -> Result<PathBuf> {
    let name = pattern.name(&picture.settings, &picture.model, &Zoned::now());
    let folder = folder.join(&name.folder);
    fs::create_dir_all(&folder).map_err(|source| cannot_write(&folder, source))?;
    let mut file =
        temporary(&folder, |beside| fs::write(beside, bytes)).map_err(|source| cannot_write(&folder, source))?;
    let first = if name.is_numbered() { first_free(&folder, &name) } else { 1 };
    let mut path = folder.join(name.file(first));
    for number in first + 1..=first + SAME_NAMES {
        match file.persist_noclobber(&path) {
            Ok(_) => return Ok(path),
            Err(failed) if failed.error.kind() == io::ErrorKind::AlreadyExists => {
                file = failed.file;
                path = folder.join(name.file(number));
            }
            Err(failed) => return Err(cannot_write(&path, failed.error)),
        }
    }
    Err(cannot_write(&path, name_taken(io::ErrorKind::AlreadyExists.into())))
}

/// The first number that no file in the folder has, found in one pass over the folder's names.
fn first_free(folder: &Path, name: &Name) -> u32 {
    let names: HashSet<_> = fs::read_dir(folder).into_iter().flatten().flatten().map(|file| file.file_name()).collect();
    (1..u32::MAX - SAME_NAMES).find(|number| !names.contains(OsStr::new(&name.file(*number)))).unwrap_or(1)
}
