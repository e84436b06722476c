//! Normalises and freezes the latents, then trains the decoder alone, with more weight on small things, and with more
//! levels if it draws larger pictures than the encoder sees. Change here how latents are normalised and what the
//! decoder is is_perceptual by.

use std::ops::Range;
use std::path::Path;

use anyhow::{Context, Result};
use candle_core::Tensor;
use instaflow_engine::vae::AutoencoderTiny;

use crate::discriminator::{self, Discriminator};
use crate::losses::{self, Weights};
use crate::parameters::{Parameters, Tensors};
use crate::pictures::Pool;
use crate::run_config::Decoder;
use crate::seeded_random::{Random, key};
use crate::stage::Stage;
use crate::stages::autoencoder::{as_seen, batch, look};
use crate::stages::student_latents::StudentLatents;
use crate::training_run::Run;

/// Pictures from which the latents' mean and variance are taken.
const MEASURED: usize = 512;

/// Trains the decoder on different scenes, with a discriminator beside it where one counts.
pub fn train(run: &Run, settings: &Decoder) -> Result<()> {
    let (stage, schedule) = (Stage::Decoder, &settings.schedule);
    run.require_scenes("the decoder")?;
    let sizes = &run.config.sizes;
    let (seen, drawn) = (Pool::new(settings.pool, sizes.picture), Pool::new(settings.pool, sizes.drawn()));
    let parameters = run.parameters(stage, || {
        let mut weights = normalised(run, &run.trained(Stage::Autoencoder)?, &seen)?;
        if sizes.enlargement() > 1 {
            without_last_layer(&mut weights)?;
        }
        Ok(Parameters::given(weights, learns, &run.device)?)
    })?;
    let parameters = parameters.or_seeded(stage.seed());
    let config = run.architecture().autoencoder()?;
    let network = AutoencoderTiny::new(parameters.builder(), &config)?;
    discriminator(settings, &parameters)?;
    let weights = Weights { absolute: 1.0, squared: 20.0, edges: 1.0 };
    let student = (!settings.student.is_empty())
        .then(|| StudentLatents::open(run, Path::new(&settings.student), settings.student_latents))
        .transpose()?;
    let loss = |step: u64, range: Range<usize>| {
        // With a student, every other sample is of its latents.
        let middle = if student.is_some() { range.start + range.len().div_ceil(2) } else { range.end };
        let (range, of_student) = (range.start..middle, middle..range.end);
        let pictures = batch(run, &drawn, stage, step, &range)?;
        let input = if sizes.enlargement() > 1 { batch(run, &seen, stage, step, &range)? } else { pictures.clone() };
        let latents = network.encode(&input)?;
        let decoded = network.decode(&disturbed(&latents, settings.latent_noise, step, &range)?)?;
        let mut error = losses::reconstruction(&decoded, &pictures, weights)?;
        let mut decoded = decoded;
        if let Some(student) = student.as_ref().filter(|_| !of_student.is_empty()) {
            let latents = student.batch(step, of_student)?;
            let drawn = network.decode(&latents)?;
            error = (error + (student.likeness(&latents, &drawn)? * settings.likeness)?)?;
            decoded = Tensor::cat(&[decoded, drawn], 0)?;
        }
        let Some(learning) = discriminator(settings, &parameters)? else { return Ok(error) };
        let error = (error + learning.hinge(&pictures, &decoded)?)?;
        if (step as f64) < settings.adversarial_from * schedule.steps as f64 {
            return Ok(error);
        }
        let fixed = Discriminator::new(&discriminator::detached(&parameters))?;
        Ok((error + (fixed.deceive(&decoded)? * settings.adversarial)?)?)
    };
    run.train(stage, schedule, &parameters, &loss, &mut |_, averages| look(run, stage, &config, &averages()?))
}

/// The discriminator of a run whose settings have one.
pub fn discriminator(settings: &Decoder, parameters: &Parameters) -> Result<Option<Discriminator>> {
    (settings.adversarial > 0.0).then(|| Discriminator::new(&parameters.builder().pp("discriminator"))).transpose()
}

/// Which weights of the autoencoder learn here: the latents are to stay as they are.
pub fn learns(name: &str) -> bool {
    name.starts_with("decoder.")
}

/// Takes away what made pixels of the last features: in a decoder of more levels it gives way to what makes more features
/// of them.
pub fn without_last_layer(weights: &mut Tensors) -> Result<()> {
    let last = format!("decoder.layers.{}.", last_layer(weights, "decoder.layers.")?);
    weights.retain(|name, _| !name.starts_with(&last));
    Ok(())
}

/// Latents (B, C, h, w) with noise, of a strength of its own from 0 to `most` for each sample.
fn disturbed(latents: &Tensor, most: f64, step: u64, range: &Range<usize>) -> Result<Tensor> {
    let each = latents.elem_count() / latents.dim(0)?.max(1);
    let noise: Vec<f32> = range
        .clone()
        .flat_map(|sample| {
            let mut random = Random::new(key(&[Stage::Decoder.seed(), step, sample as u64, 1]));
            let strength = most * random.uniform();
            (0..each).map(move |_| (strength * random.normal()) as f32)
        })
        .collect();
    Ok((latents + Tensor::from_vec(noise, latents.shape(), latents.device())?)?)
}

/// The autoencoder with each latent channel brought to mean 0 and variance 1.
fn normalised(run: &Run, weights: &Tensors, pool: &Pool) -> Result<Tensors> {
    let network = AutoencoderTiny::new(run.frozen_builder(weights, ""), &as_seen(run)?)?;
    let count = MEASURED.min(pool.count());
    let parts: Vec<Vec<usize>> = (0..count).collect::<Vec<_>>().chunks(8).map(<[usize]>::to_vec).collect();
    let latents = run.replicas().map(parts, |scenes| Ok(network.encode(&pool.tensor(&scenes, &run.device)?)?))?;
    let (mean, variance) = losses::channel_moments(&Tensor::cat(&latents, 0)?)?;
    let (mean, deviation) = (mean.to_vec1::<f32>()?, variance.sqrt()?.to_vec1::<f32>()?);
    eprintln!("latents: means {mean:.3?}, deviations {deviation:.3?}; both go into the encoder");
    fold(weights, &mean, &deviation)
}

/// Puts `z ↦ (z − mean) / deviation` into the encoder's last convolution, exactly, and its inverse into the decoder's
/// first, up to the picture's border and the decoder's `3·tanh(z/3)`: what is left of that the decoder learns away.
/// `AutoencoderTiny` knows one scale for all channels and no shift, so that this is the place for them.
fn fold(weights: &Tensors, mean: &[f32], deviation: &[f32]) -> Result<Tensors> {
    let last = last_layer(weights, "encoder.layers.")?;
    let names =
        ["weight", "bias"].map(|part| (format!("encoder.layers.{last}.{part}"), format!("decoder.layers.0.{part}")));
    let get = |name: &String| weights.get(name).with_context(|| format!("the autoencoder has no {name}"));
    let [(encoder_weight, decoder_weight), (encoder_bias, decoder_bias)] = &names;
    let device = get(encoder_weight)?.device();
    let channels = mean.len();
    let mean = Tensor::new(mean, device)?;
    let deviation = Tensor::new(deviation, device)?;
    let scale = deviation.recip()?.reshape((channels, 1, 1, 1))?;
    let mut folded = weights.clone();
    folded.insert(encoder_weight.clone(), get(encoder_weight)?.broadcast_mul(&scale)?);
    folded.insert(encoder_bias.clone(), ((get(encoder_bias)? - &mean)? / &deviation)?);
    let first = get(decoder_weight)?; // (O, C, 3, 3)
    let shift = first.broadcast_mul(&mean.reshape((1, channels, 1, 1))?)?.sum((1, 2, 3))?;
    folded.insert(decoder_bias.clone(), (get(decoder_bias)? + shift)?);
    folded.insert(decoder_weight.clone(), first.broadcast_mul(&deviation.reshape((1, channels, 1, 1))?)?);
    Ok(folded)
}

/// The number of the last layer that has weights.
fn last_layer(weights: &Tensors, prefix: &str) -> Result<usize> {
    let number = |name: &String| name.strip_prefix(prefix)?.split('.').next()?.parse::<usize>().ok();
    weights.keys().filter_map(number).max().with_context(|| format!("the autoencoder has no {prefix}*"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::architecture::Architecture;
    use crate::run_config::Config;
    use crate::tests::values;
    use candle_core::{DType, Device};
    use candle_nn::VarBuilder;
    use instaflow_test_support::{Tolerance, assert_close, assert_close_case, distance};

    #[test]
    fn folding_shifts_and_scales_the_latents_and_hardly_changes_the_picture() -> Result<()> {
        let config = Architecture::of(&Config::toy().sizes.as_seen()).autoencoder()?;
        let parameters = Parameters::seeded(1, &Device::Cpu);
        let network = AutoencoderTiny::new(parameters.builder(), &config)?;
        let weights = values(&parameters);
        let channels = config.latent_channels;
        let mean: Vec<f32> = (0..channels).map(|channel| 0.03 * (channel as f32).sin()).collect();
        let deviation: Vec<f32> = (0..channels).map(|channel| 0.5 + 0.07 * channel as f32).collect();
        let folded = fold(&weights, &mean, &deviation)?;
        let normalised = AutoencoderTiny::new(
            VarBuilder::from_tensors(folded.into_iter().collect(), DType::F32, &Device::Cpu),
            &config,
        )?;
        let pictures = Pool::new(2, 64).tensor(&[0, 1], &Device::Cpu)?;
        let (plain, ours) = (network.encode(&pictures)?, normalised.encode(&pictures)?);
        let shape = (1, channels, 1, 1);
        let expected = plain
            .broadcast_sub(&Tensor::new(mean.as_slice(), &Device::Cpu)?.to_dtype(plain.dtype())?.reshape(shape)?)?
            .broadcast_div(
                &Tensor::new(deviation.as_slice(), &Device::Cpu)?.to_dtype(plain.dtype())?.reshape(shape)?,
            )?;
        assert_close(&ours, &expected, Tolerance::absolute(1e-5));
        // Inside the picture, where no padding reaches, and with latents so small that tanh is straight.
        let small = Tensor::zeros((1, channels, 24, 24), DType::F32, &Device::Cpu)?;
        let shifted = small
            .broadcast_sub(&Tensor::new(mean.as_slice(), &Device::Cpu)?.to_dtype(plain.dtype())?.reshape(shape)?)?
            .broadcast_div(
                &Tensor::new(deviation.as_slice(), &Device::Cpu)?.to_dtype(plain.dtype())?.reshape(shape)?,
            )?;
        let inside = |pixels: Tensor| pixels.narrow(2, 80, 32)?.narrow(3, 80, 32);
        let (a, b) = (inside(network.decode(&small)?)?, inside(normalised.decode(&shifted)?)?);
        let unfolded = inside(normalised.decode(&small)?)?;
        let apart = distance(&unfolded, &a)?.difference;
        assert_close_case("the inverse is in the decoder", &b, &a, Tolerance::absolute(0.02 * apart));
        Ok(())
    }
}
