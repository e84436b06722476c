//! Drawing arguments, checked against each other and against the disk before a model is opened.

use std::path::PathBuf;

use anyhow::ensure;
use instaflow_engine::pipeline::Latents;
use instaflow_engine::protocol::{ModelCard, Role, Settings};

use super::arguments::{DrawArguments, MOST_PICTURES};
use super::output::{check_name, check_output, output_names};
use super::{engine_error, wrong_use};

/// Which pictures to draw, and where each goes.
pub(super) struct ResolvedDraw<'a> {
    arguments: &'a DrawArguments,
    noise: Option<Latents>,
    /// One file for each picture.
    pub outputs: Vec<PathBuf>,
}

impl<'a> ResolvedDraw<'a> {
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
                        "the noise file holds {held} pictures, and {MOST_PICTURES} are the most at once: split the file"
                    )));
                }
                if let Some(count) = count.filter(|&count| count != held) {
                    return Err(wrong_use(format!(
                        "the noise file holds {held} pictures, but --count asks for {count}: leave --count out"
                    )));
                }
                held
            }
        };
        check_seeds(arguments.seed, count)?;
        let outputs = output_names(&arguments.output, count);
        if let Some(path) = arguments.save_latents.as_ref().filter(|path| outputs.contains(path)) {
            return Err(wrong_use(format!(
                "{} cannot hold both the picture and its latents: give two names",
                path.display()
            )));
        }
        for path in outputs.iter().chain(&arguments.save_latents) {
            check_output(path, arguments.force)?;
        }
        Ok(Self { arguments, noise, outputs })
    }

    /// The settings of picture `index`: what was asked for, else the defaults of the model that plays this `role`.
    pub fn settings(&self, role: Role, card: &ModelCard, index: usize) -> Settings {
        let arguments = self.arguments;
        let defaults = Settings::of(role, card.defaults(arguments.sampler), arguments.prompt.as_str());
        arguments.loras.apply(arguments.reading.apply(Settings {
            role,
            negative_prompt: arguments.negative.clone().unwrap_or_default(),
            seed: arguments.seed + index as u64,
            size: arguments.size,
            steps: arguments.steps.unwrap_or(defaults.steps),
            guidance: arguments.guidance.unwrap_or(defaults.guidance),
            sampler: arguments.sampler,
            schedule: arguments.schedule.and_then(|schedule| schedule.0),
            decoder: arguments.decoder,
            ..defaults
        }))
    }

    /// The noise that picture `index` starts from, if a file gives it.
    pub fn noise(&self, index: usize) -> Option<Latents> {
        self.noise.as_ref()?.picture(index)
    }

    /// Writes `--save-latents` if it was asked for: (1,C,h,w) each, stacked to (N,C,h,w).
    pub fn save_latents(&self, latents: Vec<Latents>) -> anyhow::Result<()> {
        let Some(path) = &self.arguments.save_latents else { return Ok(()) };
        let mut all = latents.into_iter();
        let Some(mut stacked) = all.next() else { return Ok(()) };
        for latents in all {
            ensure!(
                latents.shape[1..] == stacked.shape[1..],
                "the pictures' latents differ in shape and cannot be saved in one file"
            );
            stacked.shape[0] += latents.shape[0];
            stacked.values.extend(latents.values);
        }
        stacked.write(path, self.arguments.force).map_err(engine_error)
    }
}

/// Refuses a run of seeds that ends after the highest one.
pub(super) fn check_seeds(first: u64, count: u32) -> anyhow::Result<()> {
    match first.checked_add(u64::from(count.saturating_sub(1))) {
        Some(_) => Ok(()),
        None => Err(wrong_use(format!(
            "{count} pictures from seed {first} on would need seeds above {}: begin with a lower seed",
            u64::MAX
        ))),
    }
}
