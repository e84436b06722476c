//! Draws one picture: prompt → embedding, seed → noise, sampler steps over the U-Net's predictions, latents → pixels.

use std::cell::Cell;
use std::sync::Arc;
use std::time::Instant;

use candle_core::{DType, Device, Tensor};
use tracing::info_span;

use super::conditioning::Conditioning;
use super::loaded_model::{LoadedModel, Vae};
use super::sampling::Run;
use super::{Drawn, Latents, Models, blend, memory_estimate, pixels, validate};
use crate::diffusion::rescale;
use crate::flow::euler;
use crate::protocol::{Decoder, Picture, Settings, Step, Timings};
use crate::unet::guidance_embedding;
use crate::{Cancel, Error, Result, device};

/// Latent channels of Stable Diffusion, whose latents can be previewed without a decoder.
const SD_CHANNELS: usize = 4;

/// Draws one picture with one model. See [`Models::draw`].
pub(super) fn draw(
    models: &Models,
    settings: &Settings,
    given: Option<&Latents>,
    observer: &mut dyn FnMut(Step),
    cancel: &Cancel,
) -> Result<Drawn> {
    let begun = Instant::now();
    let model = models.model(settings.role)?;
    let (channels, factor) = (model.vae.latent_channels(), model.vae.factor());
    let (width, height) = validate::settings(settings, &model.card, given, channels, factor as u32)?;
    validate::stepping(settings, model)?;
    blend::validate(&settings.blend, given.is_some())?;
    let decoder = model.decoder(settings.decoder)?;
    let shape = [1, channels, height as usize / factor, width as usize / factor];
    let guidance = Guidance::of(models, model, settings)?;
    let guided = matches!(guidance, Guidance::Negative(_));
    let conditioning = Conditioning::read(model, settings, guided)?;
    let batch = if guided { 2 } else { 1 };
    memory_estimate::check(models, model, decoder, (width, height), batch, conditioning.keys())?;

    let adapted = model.adapt(models, settings, conditioning.loras(), cancel)?;
    let mut timings = Timings::default();
    let context = conditioning.encode(models, &mut timings, cancel)?;
    cancel.check()?;
    // As in Diffusers, noise that samplers add on the way continues the seed's, or begins it if the start is given.
    let mut noise = blend::Noise::new(settings);
    let mut fresh = || Ok(Tensor::from_vec(noise.next(&shape), &shape, &models.device)?);
    let start = match given {
        Some(given) => given.tensor(&models.device)?,
        None => fresh()?,
    };

    let sampler = settings.sampler.unwrap_or(model.card.sampler);
    let settings = Settings { size: Some((width, height)), sampler: Some(sampler), ..settings.clone() };
    let picture = |rgb: Arc<[u8]>, mut timings: Timings| {
        timings.total = begun.elapsed().as_secs_f64();
        let (model, model_hash) = (model.card.name.clone(), model.card.hash.clone());
        let bf16_products = device::bf16_products(&models.device, models.dtype);
        let drawn = Picture::new(width, height, rgb, settings.clone());
        Picture { model, model_hash, bf16_products, timings, ..drawn }
    };

    let in_unet = Cell::new(0.0);
    let mut predict = |x: &Tensor, time: f64| -> Result<Tensor> {
        cancel.check()?;
        let begun = Instant::now();
        let prediction = predict(models, model, x, time, &context, &guidance, cancel)?;
        in_unet.set(in_unet.get() + begun.elapsed().as_secs_f64());
        Ok(prediction)
    };
    let mut watch = |done: usize, total: usize, estimate: &Tensor| -> Result<()> {
        let rgb = if total > 1 { preview(models, model, estimate, cancel)? } else { None };
        let timings = Timings { unet: in_unet.get(), ..timings };
        let estimate = rgb.map(|rgb| Box::new(picture(rgb, timings)));
        observer(Step { done: done as u32, total: total as u32, estimate });
        Ok(())
    };
    let run = Run { sampler, schedule: settings.schedule, steps: settings.steps as usize };
    let end = run.run(model, &start, &mut predict, &mut fresh, &mut watch)?;
    timings.unet = in_unet.get();

    let in_decoder = Instant::now();
    let rgb = decode(models, decoder, &end.latents, cancel)?;
    timings.decoder = in_decoder.elapsed().as_secs_f64();
    let mut picture = picture(rgb, timings);
    picture.straightness = end.straightness;
    picture.path = end.path;
    picture.remarks = adapted.remarks();
    picture.lora_hashes = adapted.hashes();
    Ok(Drawn { picture, latents: Latents::from_tensor(&end.latents)? })
}

/// Decodes the latents (1, C, h, w) of a picture that was drawn before. See [`Models::decode`].
pub(super) fn decode_again(
    models: &Models,
    settings: &Settings,
    latents: &Latents,
    cancel: &Cancel,
) -> Result<Picture> {
    let begun = Instant::now();
    let model = models.model(settings.role)?;
    let (channels, factor) = (model.vae.latent_channels(), model.vae.factor());
    let [count, of, rows, columns] = latents.shape;
    let pixels = |side: usize| u32::try_from(side).ok()?.checked_mul(factor as u32);
    let (width, height) = match (pixels(columns), pixels(rows)) {
        (Some(width), Some(height)) if (count, of) == (1, channels) && width > 0 && height > 0 => (width, height),
        _ => {
            let (shape, name) = (latents.shape, &model.card.name);
            return Err(Error::Setting(format!(
                "{name} cannot decode latents of shape {shape:?}: open the model that drew them"
            )));
        }
    };
    let decoder = model.decoder(settings.decoder)?;
    memory_estimate::check(models, model, decoder, (width, height), 1, 0)?;
    let rgb = decode(models, decoder, &latents.tensor(&models.device)?, cancel)?;
    let seconds = begun.elapsed().as_secs_f64();
    let settings = Settings { size: Some((width, height)), ..settings.clone() };
    Ok(Picture {
        model: model.card.name.clone(),
        model_hash: model.card.hash.clone(),
        bf16_products: device::bf16_products(&models.device, models.dtype),
        timings: Timings { decoder: seconds, total: seconds, ..Timings::default() },
        latents: Some(Arc::new(latents.clone())),
        ..Picture::new(width, height, rgb, settings)
    })
}

/// What is done with the guidance scale.
enum Guidance {
    Nothing,
    /// Away from the negative prompt, by this scale.
    Negative(f64),
    /// The network takes its embedding (1, W).
    Embedded(Tensor),
}

impl Guidance {
    fn of(models: &Models, model: &LoadedModel, settings: &Settings) -> Result<Self> {
        let scale = f64::from(settings.guidance);
        Ok(match model.unet.config.time_cond_proj_dim {
            Some(width) => {
                Self::Embedded(Tensor::from_vec(guidance_embedding(scale, width), (1, width), &models.device)?)
            }
            None if scale > 1.0 => Self::Negative(scale),
            None => Self::Nothing,
        })
    }
}

/// The network's prediction in f32 (a velocity or a noise) at x (1, C, h, w) and a network time (1000 = noise, 0 =
/// image), with guidance.
fn predict(
    models: &Models,
    model: &LoadedModel,
    x: &Tensor,
    time: f64,
    context: &Tensor,
    guidance: &Guidance,
    cancel: &Cancel,
) -> Result<Tensor> {
    let batch = context.dim(0)?;
    let _span = info_span!("U-Net", time, batch).entered();
    // (B, C, h, w)
    let x = x.to_dtype(models.dtype)?.repeat((batch, 1, 1, 1))?;
    let timesteps = Tensor::full(time as f32, batch, &models.device)?;
    let embedding = if let Guidance::Embedded(embedding) = guidance { Some(embedding) } else { None };
    let network = &model.unet.network;
    let prediction = network.forward_guided(&x, &timesteps, context, embedding, cancel)?.to_dtype(DType::F32)?;
    let prediction = match guidance {
        Guidance::Nothing | Guidance::Embedded(_) => prediction,
        Guidance::Negative(scale) => {
            // The negative prompt comes first in the batch.
            let (negative, text) = (prediction.narrow(0, 0, 1)?, prediction.narrow(0, 1, 1)?);
            let guided = euler::guided(&text, &negative, *scale)?;
            match model.schedule.as_ref().map_or(0.0, |schedule| schedule.guidance_rescale) {
                by if by > 0.0 => rescale::rescaled(&guided, &text, by)?,
                _ => guided,
            }
        }
    };
    // This copies to the host and so waits for a GPU. The time measured for the network thus includes all its work.
    finite(&prediction, "U-Net")?;
    Ok(prediction)
}

/// RGB bytes of latents (1, C, h, w).
fn decode(models: &Models, vae: &Vae, latents: &Tensor, cancel: &Cancel) -> Result<Arc<[u8]>> {
    let _span = info_span!("decoder").entered();
    pixels::rgb(&vae.decode(&latents.to_dtype(models.dtype)?, cancel)?)
}

/// RGB bytes of an estimate: from a tiny decoder if there is one, else by a linear map if the latents are Stable
/// Diffusion's, else `None`.
fn preview(models: &Models, model: &LoadedModel, estimate: &Tensor, cancel: &Cancel) -> Result<Option<Arc<[u8]>>> {
    let _span = info_span!("estimate").entered();
    match model.tiny_decoder() {
        Some(tiny) => decode(models, tiny, estimate, cancel).map(Some),
        None if model.vae.latent_channels() == SD_CHANNELS => {
            pixels::linear_preview(&estimate.to_device(&Device::Cpu)?, model.vae.factor()).map(Some)
        }
        None => Ok(None),
    }
}

/// An error if a value is not a number; `part` is the network that gave it.
pub(super) fn finite(tensor: &Tensor, part: &'static str) -> Result<()> {
    let values: Vec<f32> = tensor.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?;
    if values.iter().all(|value| value.is_finite()) { Ok(()) } else { Err(Error::NotANumber { part }) }
}

impl LoadedModel {
    /// The decoder that the settings ask for.
    fn decoder(&self, decoder: Decoder) -> Result<&Vae> {
        match decoder {
            Decoder::Full => Ok(&self.vae),
            Decoder::Tiny => self.tiny_decoder().ok_or_else(|| {
                let name = &self.card.name;
                Error::Setting(format!(
                    "{name} has no tiny decoder: open it with an AutoencoderTiny folder, or choose the full decoder"
                ))
            }),
        }
    }
}
