//! Names of the files that a command writes.

use std::path::{Path, PathBuf};

use anyhow::{bail, ensure};
use instaflow_engine::picture_file::Format;

use super::wrong_use;

/// NAME.png, or NAME-001.png … for several pictures.
pub(super) fn output_names(output: &Path, count: u32) -> Vec<PathBuf> {
    if count == 1 {
        return vec![output.to_owned()];
    }
    let digits = count.to_string().len().max(3);
    (1..=count)
        .map(|number| {
            let mut name = output.file_stem().unwrap_or_default().to_owned();
            name.push(format!("-{number:0digits$}."));
            name.push(output.extension().unwrap_or_default());
            output.with_file_name(name)
        })
        .collect()
}

/// Checks that a picture can have this name.
pub(super) fn check_name(output: &Path) -> anyhow::Result<()> {
    if Format::of(output).is_some() && output.file_stem().is_some() {
        return Ok(());
    }
    let (name, endings) = (output.display(), Format::ENDINGS);
    Err(wrong_use(format!("{name} does not end in {endings}: pictures are saved in these forms")))
}

/// Checks that a file can be written at `path`, as far as that can be told before it is tried.
pub(super) fn check_output(path: &Path, force: bool) -> anyhow::Result<()> {
    let name = path.display();
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() && !folder.is_dir() => {
            bail!("cannot write {name}: there is no folder {}, create it first", folder.display())
        }
        _ => {}
    }
    ensure!(!path.is_dir(), "cannot write {name}: it is a folder, name a file");
    // A dangling link counts: writing would replace it.
    let exists = path.symlink_metadata().is_ok();
    ensure!(force || !exists, "{name} already exists: choose another name, or overwrite it with --force");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_pictures_are_numbered() {
        let names = |output: &str, count| output_names(Path::new(output), count);
        assert_eq!(names("a/b.png", 1), [PathBuf::from("a/b.png")]);
        assert_eq!(names("a/b.c.png", 2), [PathBuf::from("a/b.c-001.png"), PathBuf::from("a/b.c-002.png")]);
        assert_eq!(names("b.PNG", 1000)[999], PathBuf::from("b-1000.PNG"));
        assert_eq!(names("b.png", 1000)[0], PathBuf::from("b-0001.png"));
    }
}
