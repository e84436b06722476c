//! Drawing arguments held against each other and against the disk, before a model is opened.

use std::path::{Path, PathBuf};

use anyhow::{bail, ensure};
use instaflow_engine::pipeline::Latents;
use instaflow_engine::protocol::{Role, Sampler, Settings};

use super::arguments::{DrawArguments, MOST_PICTURES};
use super::{engine_error, wrong_use};

/// Which pictures to draw and where each goes.
pub(super) struct Plan<'a> {
    arguments: &'a DrawArguments,
    noise: Option<Latents>,
    /// One file for each picture.
    pub outputs: Vec<PathBuf>,
}

impl<'a> Plan<'a> {
    /// Checks all that can be checked without the model.
    pub fn new(arguments: &'a DrawArguments) -> anyhow::Result<Self> {
        check_name(&arguments.output)?;
        let noise = match &arguments.noise {
            Some(path) => Some(Latents::read(path).map_err(engine_error)?),
            None => None,
        };
        let count = match (&noise, arguments.count) {
            (None, count) => count.unwrap_or(1),
            (Some(noise), count) => {
                let held = u32::try_from(noise.shape[0]).unwrap_or(u32::MAX);
                if held > MOST_PICTURES {
                    return Err(wrong_use(format!(
                        "the noise holds {held} pictures, and {MOST_PICTURES} are the most at once: give it in parts"
                    )));
                }
                if let Some(count) = count.filter(|&count| count != held) {
                    return Err(wrong_use(format!(
                        "the noise holds {held} pictures, --count asks for {count}: leave --count out"
                    )));
                }
                held
            }
        };
        let outputs = output_names(&arguments.output, count);
        if let Some(path) = arguments.save_latents.as_ref().filter(|path| outputs.contains(path)) {
            return Err(wrong_use(format!("{} cannot hold both picture and latents: give two names", path.display())));
        }
        for path in outputs.iter().chain(&arguments.save_latents) {
            check_output(path, arguments.force)?;
        }
        Ok(Self { arguments, noise, outputs })
    }

    /// Settings of picture `index`, the defaults of its `role` where nothing was asked for; `own` is its model's sampler.
    pub fn settings(&self, role: Role, own: Sampler, index: usize) -> Settings {
        let arguments = self.arguments;
        let defaults = Settings::of(role, arguments.sampler.unwrap_or(own), arguments.prompt.as_str());
        Settings {
            role,
            negative_prompt: arguments.negative.clone().unwrap_or_default(),
            // Modulo 2³², as 32 bits do by themselves.
            seed: arguments.seed.wrapping_add(index as u32),
            size: arguments.size,
            steps: arguments.steps.unwrap_or(defaults.steps),
            guidance: arguments.guidance.unwrap_or(defaults.guidance),
            sampler: arguments.sampler,
            decoder: arguments.decoder,
            ..defaults
        }
    }

    /// The noise that picture `index` starts from, where a file gives it.
    pub fn noise(&self, index: usize) -> Option<Latents> {
        self.noise.as_ref()?.picture(index)
    }

    /// Writes `--save-latents`, where it was asked for: (1,C,h,w) each, stacked to (N,C,h,w).
    pub fn save_latents(&self, latents: Vec<Latents>) -> anyhow::Result<()> {
        let Some(path) = &self.arguments.save_latents else { return Ok(()) };
        let mut all = latents.into_iter();
        let Some(mut stacked) = all.next() else { return Ok(()) };
        for latents in all {
            ensure!(
                latents.shape[1..] == stacked.shape[1..],
                "the pictures' latents differ in shape: nothing to stack"
            );
            stacked.shape[0] += latents.shape[0];
            stacked.values.extend(latents.values);
        }
        Ok(stacked.write(path, self.arguments.force)?)
    }
}

/// NAME.png, or NAME-001.png … where there are several.
fn output_names(output: &Path, count: u32) -> Vec<PathBuf> {
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

/// Whether a picture can have this name.
pub(super) fn check_name(output: &Path) -> anyhow::Result<()> {
    if output.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("png")) {
        return Ok(());
    }
    Err(wrong_use(format!("{} does not end in .png: pictures are saved as PNG files alone", output.display())))
}

/// Whether a file can be written at `path`, as far as looking tells; saving itself makes sure.
pub(super) fn check_output(path: &Path, force: bool) -> anyhow::Result<()> {
    let name = path.display();
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() && !folder.is_dir() => {
            bail!("cannot write {name}: there is no folder {}, create it first", folder.display())
        }
        _ => {}
    }
    ensure!(!path.is_dir(), "cannot write {name}: it is a folder, name a file");
    // A dangling link counts: writing to its name would replace it.
    let exists = path.symlink_metadata().is_ok();
    ensure!(force || !exists, "{name} exists already: choose another name, or overwrite it with --force");
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
