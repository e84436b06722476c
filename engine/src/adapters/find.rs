//! Which file is meant by a name, as in `<lora:NAME:1>`: the file of that name, or the one that gives itself that name.

use std::path::{Path, PathBuf};

use crate::checkpoint::read_header;
use crate::{Error, Result};

/// Most folders below a folder of LoRAs that are searched.
const MOST_FOLDERS: usize = 1000;

/// The safetensors file called `name`: a path that exists, or a file in one of `folders` or below them, without its ending,
/// or one whose `ss_output_name` is that.
pub fn find(name: &str, folders: &[PathBuf]) -> Result<PathBuf> {
    let path = Path::new(name);
    if path.is_file() {
        return Ok(path.to_owned());
    }
    let files = files(folders);
    let wanted = name.strip_suffix(".safetensors").unwrap_or(name);
    let by_stem = files.iter().find(|file| {
        let stem = file.with_extension("");
        stem.ends_with(wanted) || stem.file_name().is_some_and(|stem| stem.eq_ignore_ascii_case(wanted))
    });
    let by_title = || {
        files.iter().find(|file| {
            let header = read_header(file).ok();
            let own = header.and_then(|(header, _)| header.metadata().as_ref()?.get("ss_output_name").cloned());
            own.as_deref() == Some(wanted)
        })
    };
    by_stem.or_else(by_title).cloned().ok_or_else(|| {
        Error::Setting(match folders {
            [] => format!("there is no LoRA {name}: give the path of its file, or a folder in which to look for it"),
            _ => format!("there is no LoRA {name} in the folders of LoRAs: give the path of its file"),
        })
    })
}

/// All safetensors files in these folders and below them, in the order of their names.
fn files(folders: &[PathBuf]) -> Vec<PathBuf> {
    let mut waiting: Vec<PathBuf> = folders.iter().rev().cloned().collect();
    let mut found = Vec::new();
    let mut seen = 0;
    while let Some(folder) = waiting.pop().filter(|_| seen < MOST_FOLDERS) {
        seen += 1;
        let Ok(entries) = folder.read_dir() else { continue };
        let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        paths.sort();
        for path in paths {
            if path.is_dir() {
                // A link may lead in circles.
                if !path.is_symlink() {
                    waiting.push(path);
                }
            } else if path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("safetensors")) {
                found.push(path);
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use instaflow_test_support::assert_error;

    #[test]
    fn names_find_files() {
        let folder = tempfile::tempdir().expect("a folder");
        let below = folder.path().join("styles");
        std::fs::create_dir(&below).expect("a folder");
        for name in ["ink.safetensors", "ink.txt", "Paint v1.2.safetensors"] {
            std::fs::write(below.join(name), b"").expect("a file");
        }
        let folders = [folder.path().to_owned()];
        for name in ["ink", "ink.safetensors", "INK", "styles/ink"] {
            assert_eq!(find(name, &folders).expect(name), below.join("ink.safetensors"), "{name}");
        }
        assert_eq!(find("Paint v1.2", &folders).expect("a dot is no ending"), below.join("Paint v1.2.safetensors"));
        assert_error(find("nothing", &folders), "no LoRA nothing in the folders");
        assert_error(find("ink", &[]), "give the path of its file");
    }
}
