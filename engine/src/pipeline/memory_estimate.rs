//! Estimates before a job starts whether it fits into memory. On a CPU an allocation that fails ends the process, so it
//! must not be tried. On a GPU the failure can be caught, so nothing is estimated.

use candle_core::DType;

use super::Models;
use super::loaded_model::{LoadedModel, Vae};
use crate::unet::UNetConfig;
use crate::vae::AutoencoderConfig;
use crate::{Error, Result, free_memory};

/// Feature maps that a residual block holds at once: its input, the normalized input, the convolution's result, the
/// shortcut and the sum.
const RESNET_MAPS: f64 = 5.0;
/// Copies of a feature map that a transformer block holds at once, mostly in its feed-forward layer: 8 before the gate, 4
/// after it, the input, its norm, and two residuals. Attention works in blocks and needs no N × N matrix.
const TRANSFORMER_MAPS: f64 = 16.0;

/// Refuses a picture of this size in pixels if it does not fit. `keys` is the length of its text embedding, padding
/// included.
pub(super) fn check(
    models: &Models,
    model: &LoadedModel,
    decoder: &Vae,
    size: (u32, u32),
    batch: usize,
    keys: usize,
) -> Result<()> {
    let factor = model.vae.factor() as f64;
    let latents = f64::from(size.0) / factor * (f64::from(size.1) / factor);
    let unet = (unet_values(&model.unet.config, latents) + text_values(&model.unet.config, keys)) * batch as f64;
    let values = decoder_values(&decoder.config, latents);
    // Sizes that want other methods of convolution want weights packed for them, beside those of the sizes before.
    let shape = (batch, size.1 as usize / model.vae.factor(), size.0 as usize / model.vae.factor());
    let packed = model.unet.network.bytes_to_pack(shape, models.dtype)? + decoder.bytes_to_pack(shape, models.dtype)?;
    // The two run one after the other.
    let bytes = unet.max(values) * models.dtype.size_in_bytes() as f64 + packed as f64;
    let (width, height) = size;
    fits(models, bytes, &format!("a picture of {width}x{height} pixels"), "choose a smaller size")
}

/// Size of all weights in memory relative to the weights in the file, in f32, for Stable Diffusion 1.5 at 512 × 512.
/// Convolutions that transform their weights hold them in both forms, and the transformed ones are larger.
const PACKED_F32: f64 = 1.85;
/// The same for 16-bit types.
const PACKED_BF16: f64 = 1.7;

/// Refuses parameters that do not fit.
pub(super) fn check_parameters(models: &Models, bytes: u64, what: &str) -> Result<()> {
    let packed = if models.dtype == DType::F32 { PACKED_F32 } else { PACKED_BF16 };
    fits(models, bytes as f64 * packed, what, "close other programs, or open a smaller model")
}

fn fits(models: &Models, bytes: f64, what: &str, advice: &str) -> Result<()> {
    let Some(free) = free_memory::available().filter(|_| models.device.is_cpu()) else {
        return Ok(());
    };
    if bytes <= free as f64 {
        return Ok(());
    }
    let gib = |bytes: f64| bytes / f64::from(1 << 30);
    let (needed, free) = (gib(bytes), gib(free as f64));
    Err(Error::OutOfMemory(format!(
        "{what} needs about {needed:.1} GiB of memory, but only {free:.1} GiB are free: {advice}"
    )))
}

/// Values alive at once in a U-Net: the skips of the way down and the largest block.
fn unet_values(config: &UNetConfig, latents: f64) -> f64 {
    let channels = &config.block_out_channels;
    let mut skips = 0.0;
    let mut largest: f64 = 0.0;
    for (level, &width) in channels.iter().enumerate() {
        let area = latents / 4f64.powi(level as i32);
        skips += (config.layers_per_block + 1) as f64 * width as f64 * area;
        // On the way up, the features of the level below are concatenated with the skip.
        let joined = width + channels.get(level + 1).unwrap_or(&width);
        largest = largest.max(area * (RESNET_MAPS * joined as f64).max(TRANSFORMER_MAPS * width as f64));
    }
    skips + largest
}

/// Values of a text embedding, and of one cross-attention's keys and values.
fn text_values(config: &UNetConfig, keys: usize) -> f64 {
    let widest = config.block_out_channels.iter().max().copied().unwrap_or(0);
    keys as f64 * (config.cross_attention_dim + 2 * widest) as f64
}

/// Values alive at once in a decoder: those of its largest residual block.
fn decoder_values(config: &AutoencoderConfig, latents: f64) -> f64 {
    // From the latent to the picture. AutoencoderKL lists its widths in the opposite order.
    let widths: Vec<usize> = match config {
        AutoencoderConfig::Kl(config) => config.block_out_channels.iter().rev().copied().collect(),
        AutoencoderConfig::Tiny(config) => config.decoder_block_out_channels.clone(),
    };
    let mut largest: f64 = 0.0;
    for (level, &width) in widths.iter().enumerate() {
        let area = latents * 4f64.powi(level as i32);
        let widest = width.max(widths[level.saturating_sub(1)]);
        largest = largest.max(area * RESNET_MAPS * widest as f64);
    }
    largest
}

#[cfg(test)]
mod tests {
    use instaflow_test_support::{Tolerance, assert_close};

    use super::*;
    use crate::vae::{KlConfig, TinyConfig};

    /// Stable Diffusion 1.5 at 512²: the decoder's largest feature map has 256 × 512 × 512 values.
    #[test]
    fn estimates_are_of_the_right_size() {
        let latents = 64.0 * 64.0;
        let kl = KlConfig { block_out_channels: vec![128, 256, 512, 512], ..KlConfig::default() };
        let decoder = decoder_values(&AutoencoderConfig::Kl(kl), latents);
        assert_close(decoder, 5.0 * 256.0 * 512.0 * 512.0, Tolerance::absolute(1.0));
        let tiny = decoder_values(&AutoencoderConfig::Tiny(TinyConfig::default()), latents);
        assert_close(tiny, 5.0 * 64.0 * 512.0 * 512.0, Tolerance::absolute(1.0));
        let bytes = unet_values(&UNetConfig::default(), latents) * 4.0;
        assert!((50e6..500e6).contains(&bytes), "{bytes}");
    }

    #[test]
    fn twice_the_sides_take_four_times_the_memory() {
        let unet = UNetConfig::default();
        assert_close(unet_values(&unet, 400.0) / unet_values(&unet, 100.0), 4.0, Tolerance::absolute(1e-9));
    }
}
