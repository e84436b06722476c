//! Saves the frames of an animation as a folder of numbered PNGs, each with its settings, for video editors. Change the
//! files' names here.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::encode;
use crate::atomic::{cannot_write, name_taken, temporary_folder};
use crate::protocol::Picture;
use crate::{Error, Result};

/// How many folders of the same name get numbers of their own.
const SAME_NAMES: u32 = 9999;

/// Saves pictures as `frame-0001.png`, `frame-0002.png` … in a new folder `name` in `folder` and returns its path. If the
/// name is taken, the new folder's name ends with `-2`, `-3` …. Either all files are written or none: they are written
/// into a temporary folder, which is renamed at the end.
pub fn save_frames(folder: &Path, name: &str, frames: &[Picture], metadata: bool) -> Result<PathBuf> {
    if frames.is_empty() {
        return Err(Error::Setting("an animation needs at least one picture: draw some first".to_owned()));
    }
    fs::create_dir_all(folder).map_err(|source| cannot_write(folder, source))?;
    let beside = temporary_folder(folder).map_err(|source| cannot_write(folder, source))?;
    // At least four digits, and more if there are more frames, so that the names sort in the order of the frames.
    let digits = frames.len().to_string().len().max(4);
    for (number, frame) in (1..).zip(frames) {
        let path = beside.path().join(format!("frame-{number:0digits$}.png"));
        write(&path, &encode(frame, metadata)).map_err(|source| {
            // The temporary folder is gone by the time someone reads this.
            let name = path.file_name().unwrap_or(path.as_os_str());
            cannot_write(&folder.join(name), source)
        })?;
    }
    let mut target = folder.join(name);
    for number in 2..=SAME_NAMES {
        // Renaming replaces an empty folder, so the name is checked first. If one appears in between, nothing is lost.
        let taken = target.symlink_metadata().is_ok();
        match if taken { Err(io::ErrorKind::AlreadyExists.into()) } else { fs::rename(beside.path(), &target) } {
            Ok(()) => {
                // It has been renamed, so there is nothing to delete.
                let _ = beside.keep();
                return Ok(target);
            }
            Err(error) if is_taken(&error) => target = folder.join(format!("{name}-{number}")),
            Err(error) => return Err(cannot_write(&target, error)),
        }
    }
    Err(cannot_write(&target, name_taken(io::ErrorKind::AlreadyExists.into())))
}

fn is_taken(error: &io::Error) -> bool {
    use io::ErrorKind::{AlreadyExists, DirectoryNotEmpty, NotADirectory};
    matches!(error.kind(), AlreadyExists | DirectoryNotEmpty | NotADirectory)
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = fs::File::create_new(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::super::read_settings;
    use super::*;
    use crate::protocol::Settings;
    use instaflow_test_support::assert_error;

    fn frames(count: u32) -> Vec<Picture> {
        let picture = |seed| Picture {
            model: "model".to_owned(),
            model_hash: "0123456789".to_owned(),
            ..Picture::new(
                2,
                1,
                [0, 1, 2, 3, 4, seed as u8].into(),
                Settings { seed, size: Some((2, 1)), ..Settings::student("lake") },
            )
        };
        (0..u64::from(count)).map(picture).collect()
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).expect("it is a folder");
        let mut names: Vec<_> = entries.map(|entry| entry.expect("readable").file_name()).collect();
        names.sort();
        names.into_iter().map(|name| name.to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn each_frame_is_a_file_that_carries_its_settings() {
        let home = tempfile::tempdir().expect("a folder for the test");
        let folder = home.path().join("new");
        let frames = frames(3);
        let saved = save_frames(&folder, "lake", &frames, true).expect("it can be written");
        assert_eq!(saved, folder.join("lake"));
        assert_eq!(names(&saved), ["frame-0001.png", "frame-0002.png", "frame-0003.png"]);
        for (name, frame) in names(&saved).iter().zip(&frames) {
            assert_eq!(read_settings(&saved.join(name)).expect("our own").settings, frame.settings);
        }
        assert_eq!(names(&folder), ["lake"], "nothing else is left");
        let bare = save_frames(&folder, "lake", &frames, false).expect("it can be written");
        let error = read_settings(&bare.join("frame-0001.png")).expect_err("the switch leaves the settings out");
        assert!(
            matches!(&error, Error::File { source, .. } if source.to_string().contains("it has none")),
            "{error:?}"
        );
    }

    #[test]
    fn what_is_there_stays_as_it_is() {
        let home = tempfile::tempdir().expect("a folder for the test");
        fs::create_dir(home.path().join("lake")).expect("it can be written");
        fs::write(home.path().join("lake-2"), "mine").expect("it can be written");
        let saved = save_frames(home.path(), "lake", &frames(1), true).expect("another name is free");
        assert_eq!(saved, home.path().join("lake-3"));
        assert!(names(&home.path().join("lake")).is_empty());
        assert_eq!(fs::read(home.path().join("lake-2")).expect("still there"), b"mine");
    }

    #[test]
    fn a_folder_that_cannot_be_written_gets_a_sentence_and_nothing_else() {
        let home = tempfile::tempdir().expect("a folder for the test");
        let file = home.path().join("file");
        fs::write(&file, "mine").expect("it can be written");
        let error = save_frames(&file, "lake", &frames(2), true).expect_err("that is no folder").to_string();
        assert!(error.contains("cannot write"), "{error}");
        let error = save_frames(home.path(), "no/such/folder", &frames(2), true).expect_err("no such folder");
        assert!(error.to_string().contains("cannot write"), "{error}");
        assert_eq!(names(home.path()), ["file"], "what was begun is gone");
        assert_error(save_frames(home.path(), "lake", &[], true), "at least one picture");
    }

    #[cfg(unix)]
    #[test]
    fn others_may_read_what_they_may_read_elsewhere() {
        use std::os::unix::fs::PermissionsExt;
        let home = tempfile::tempdir().expect("a folder for the test");
        let plain = home.path().join("plain");
        fs::create_dir(&plain).expect("it can be written");
        let saved = save_frames(home.path(), "lake", &frames(1), true).expect("it can be written");
        let mode = |path: &Path| path.metadata().expect("it is there").permissions().mode();
        assert_eq!(mode(&saved), mode(&plain));
    }
}
