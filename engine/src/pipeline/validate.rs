//! Checks settings against a model before any work is done. Change the limits here.

use super::Latents;
use super::loaded_model::LoadedModel;
use crate::protocol::{ModelCard, Sampler, Settings};
use crate::{Error, Result};

/// Most steps for one picture.
const MAX_STEPS: u32 = 50;

/// Longest side of a picture in pixels. Noise is drawn in the host's memory whatever the device is, and not every system
/// says how much of it is free.
const MAX_SIDE: u32 = 16_384;

/// Checks settings against the model that is to draw. Returns the picture's width and height in pixels.
///
/// If `noise` is given, its shape (1, `channels`, height / `factor`, width / `factor`) determines the size.
pub(super) fn settings(
    settings: &Settings,
    card: &ModelCard,
    noise: Option<&Latents>,
    channels: usize,
    factor: u32,
) -> Result<(u32, u32)> {
    let wrong = |message: String| Err(Error::Setting(message));
    if !(1..=MAX_STEPS).contains(&settings.steps) {
        return wrong(format!("{} steps are not possible: choose 1 to {MAX_STEPS}", settings.steps));
    }
    if !settings.guidance.is_finite() || settings.guidance < 0.0 {
        return wrong(format!("a guidance scale of {} is not possible: choose 0 or more", settings.guidance));
    }
    let weights = settings.loras.iter().flat_map(|lora| [lora.weight, lora.text_weight]);
    if let Some(weight) = weights.into_iter().find(|weight| !weight.is_finite()) {
        return wrong(format!("a LoRA's weight of {weight} is not possible: choose a number"));
    }
    let size = match noise {
        None => settings.size.unwrap_or(card.size),
        Some(noise) => noise_size(settings, noise, channels, factor)?,
    };
    let (width, height) = size;
    let multiple = card.size_multiple;
    if width == 0 || height == 0 || !width.is_multiple_of(multiple) || !height.is_multiple_of(multiple) {
        return wrong(format!(
            "{} cannot draw {width}x{height} pixels: both sides must be multiples of {multiple}",
            card.name
        ));
    }
    if width.max(height) > MAX_SIDE {
        return wrong(format!("{width}x{height} pixels are not possible: no side may be longer than {MAX_SIDE}"));
    }
    Ok(size)
}

/// Checks how the settings would lead the model from noise to an image.
pub(super) fn stepping(settings: &Settings, model: &LoadedModel) -> Result<()> {
    let wrong = |message: String| Err(Error::Setting(message));
    let sampler = settings.sampler.unwrap_or(model.card.sampler);
    if model.recipe.is_known {
        takes(&model.card, sampler)?;
    }
    if sampler.has_own_times() && settings.schedule.is_some() {
        let name = sampler.name();
        return wrong(format!("{name} visits times of its own: leave the schedule out, or choose another sampler"));
    }
    let steps = settings.steps as usize;
    if let Some(windows) = model.recipe.windows.filter(|windows| !sampler.is_diffusion() && steps < *windows) {
        let name = &model.card.name;
        return wrong(format!("{name} needs at least {windows} steps, one for each of its windows of time"));
    }
    if sampler.is_diffusion() {
        let most = model.schedule(sampler)?.most_steps(sampler);
        if steps > most {
            let (name, sampler) = (&model.card.name, sampler.name());
            return wrong(format!(
                "{name} was distilled at {most} times, so {sampler} takes at most {most} steps of it"
            ));
        }
    }
    Ok(())
}

/// Refuses a sampler of the wrong kind: it would take the prediction for what it is not, and draw noise.
fn takes(card: &ModelCard, sampler: Sampler) -> Result<()> {
    if card.samplers.contains(&sampler) {
        return Ok(());
    }
    let name = &card.name;
    let (is, with) = if card.sampler.is_diffusion() {
        ("a diffusion model", "one of the samplers for noise")
    } else {
        ("a flow", "the sampler flow")
    };
    Err(Error::Setting(format!(
        "the sampler {} is not for {name}, which is {is}: leave the sampler out, or choose {with}",
        sampler.name()
    )))
}

fn noise_size(settings: &Settings, noise: &Latents, channels: usize, factor: u32) -> Result<(u32, u32)> {
    let wrong = |message: String| Err(Error::Setting(message));
    let [count, noise_channels, rows, columns] = noise.shape;
    if count != 1 {
        return wrong(format!("the noise holds {count} pictures: give the noise of one"));
    }
    if noise_channels != channels {
        return wrong(format!(
            "the noise has {noise_channels} channels, but the model has {channels}: give noise that was made for this model"
        ));
    }
    let pixels = |latents: usize| u32::try_from(latents).ok().and_then(|latents| latents.checked_mul(factor));
    let (Some(width), Some(height)) = (pixels(columns), pixels(rows)) else {
        return wrong(format!("noise of {columns}x{rows} latents is too large to draw: give smaller noise"));
    };
    match settings.size {
        Some((w, h)) if (w, h) != (width, height) => wrong(format!(
            "the noise is for {width}x{height} pixels, not for {w}x{h}: leave the size out, or give other noise"
        )),
        _ => Ok((width, height)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use instaflow_test_support::assert_error;

    fn card() -> ModelCard {
        ModelCard {
            name: "tiny".to_owned(),
            hash: String::new(),
            sampler: Sampler::Flow,
            steps: 1,
            guidance: 1.0,
            samplers: vec![Sampler::Flow],
            size: (128, 128),
            size_multiple: 64,
            unet_parameters: 0,
            num_stacks: 1,
            has_tiny_decoder: false,
            token_limit: 77,
            words: None,
        }
    }

    fn check(change: impl FnOnce(&mut Settings), expected: Result<(u32, u32), &str>) {
        let mut settings = Settings::student("lake");
        change(&mut settings);
        let found = super::settings(&settings, &card(), None, 4, 8);
        match (found, expected) {
            (Ok(size), Ok(expected)) => assert_eq!(size, expected),
            (Err(error), Err(words)) => assert!(error.to_string().contains(words), "{error}"),
            (found, expected) => panic!("{found:?} instead of {expected:?}"),
        }
    }

    #[test]
    fn settings_are_held_against_the_model() {
        check(|_| {}, Ok((128, 128)));
        check(|s| s.size = Some((64, 192)), Ok((64, 192)));
        check(|s| s.size = Some((64, 100)), Err("multiples of 64"));
        check(|s| s.size = Some((0, 64)), Err("multiples of 64"));
        check(|s| s.size = Some((64, 16_384)), Ok((64, 16_384)));
        check(|s| s.size = Some((64, 16_448)), Err("longer than 16384"));
        check(|s| s.steps = 0, Err("1 to 50"));
        check(|s| s.steps = 51, Err("1 to 50"));
        check(|s| s.guidance = f32::NAN, Err("NaN"));
        check(|s| s.guidance = f32::INFINITY, Err("inf"));
        check(|s| s.guidance = -1.0, Err("0 or more"));
        check(|s| s.guidance = 0.0, Ok((128, 128)));
        let lora = |weight, text_weight| crate::protocol::Lora { file: "a".into(), weight, text_weight };
        check(|s| s.loras = vec![lora(-3.0, 0.0)], Ok((128, 128)));
        check(|s| s.loras = vec![lora(1.0, 0.0), lora(f32::NAN, 1.0)], Err("weight of NaN"));
        check(|s| s.loras = vec![lora(1.0, f32::INFINITY)], Err("weight of inf"));
    }

    #[test]
    fn noise_decides_the_size() {
        let noise = |shape: [usize; 4]| Latents { shape, values: Vec::new() };
        let mut settings = Settings::student("lake");
        let size = |settings: &Settings, shape| super::settings(settings, &card(), Some(&noise(shape)), 4, 8);
        assert_eq!(size(&settings, [1, 4, 8, 16]).ok(), Some((128, 64)));
        for (shape, words) in [([2, 4, 8, 8], "2 pictures"), ([1, 8, 8, 8], "8 channels"), ([1, 4, 8, 9], "72x64")] {
            let error = size(&settings, shape).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
        settings.size = Some((64, 64));
        // Asked for one size, given noise of another.
        assert_error(size(&settings, [1, 4, 8, 16]), "for 128x64 pixels, not for 64x64");
    }
}
