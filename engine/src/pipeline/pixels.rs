//! From decoded tensors to RGB bytes, and from latents directly to a rough preview.

use std::sync::Arc;

use candle_core::{DType, Tensor};

use crate::{Error, Result};

/// Red, green and blue in [−1, 1] for one unit of each scaled latent channel of Stable Diffusion 1.x: a regression
/// published at discuss.huggingface.co/t/23204 that is in common use for previews.
const SD_LATENT_RGB: [[f32; 3]; 4] =
    [[0.298, 0.207, 0.208], [0.187, 0.286, 0.173], [-0.158, 0.189, 0.264], [-0.184, -0.271, -0.473]];

/// RGB bytes of a picture (1, 3, H, W) in [−1, 1], rows from the top. A NaN is an error, not a black pixel.
pub(super) fn rgb(image: &Tensor) -> Result<Arc<[u8]>> {
    // (1, 3, H, W) -> (H, W, 3)
    let values: Vec<f32> = image.squeeze(0)?.permute((1, 2, 0))?.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?;
    if !values.iter().all(|value| value.is_finite()) {
        return Err(Error::NotANumber { part: "decoder" });
    }
    Ok(values.iter().map(|value| ((value.clamp(-1.0, 1.0) + 1.0) * 127.5).round() as u8).collect())
}

/// RGB bytes of a preview of latents (1, 4, h, w), each latent a square of `factor` pixels.
pub(super) fn linear_preview(latents: &Tensor, factor: usize) -> Result<Arc<[u8]>> {
    let (_, channels, rows, columns) = latents.dims4()?;
    let values: Vec<f32> = latents.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?;
    let area = rows * columns;
    let pixel = |at: usize| {
        [0, 1, 2].map(|colour| {
            let light: f32 = (0..channels.min(SD_LATENT_RGB.len()))
                .map(|channel| values[channel * area + at] * SD_LATENT_RGB[channel][colour])
                .sum();
            ((light.clamp(-1.0, 1.0) + 1.0) * 127.5) as u8
        })
    };
    let mut bytes = Vec::with_capacity(area * factor * factor * 3);
    for row in 0..rows {
        let line: Vec<u8> = (0..columns).flat_map(|column| pixel(row * columns + column).repeat(factor)).collect();
        for _ in 0..factor {
            bytes.extend_from_slice(&line);
        }
    }
    Ok(bytes.into())
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    #[test]
    fn bytes_are_interleaved_rounded_and_clamped() -> Result<()> {
        // Two pixels side by side.
        let image = Tensor::new(&[[[[-1.0f32, 1.0]], [[0.0, -7.0]], [[1.0, 0.5]]]], &Device::Cpu)?;
        assert_eq!(rgb(&image)?.as_ref(), [0, 128, 255, 255, 0, 191]);
        Ok(())
    }

    #[test]
    fn a_nan_is_an_error() -> Result<()> {
        let image = Tensor::new(&[[[[f32::NAN]], [[0.0]], [[0.0]]]], &Device::Cpu)?;
        assert!(matches!(rgb(&image), Err(Error::NotANumber { part: "decoder" })));
        Ok(())
    }

    #[test]
    fn a_latent_becomes_a_square() -> Result<()> {
        let latents = Tensor::new(&[[[[0.0f32, 9.0]], [[0.0, 0.0]], [[0.0, 0.0]], [[0.0, 0.0]]]], &Device::Cpu)?;
        let bytes = linear_preview(&latents, 2)?;
        assert_eq!(bytes.len(), 2 * 4 * 3);
        assert_eq!(&bytes[..6], [127; 6], "grey where the latent is 0");
        assert_eq!(&bytes[6..12], [255; 6], "white where the first channel is large");
        assert_eq!(bytes[..12], bytes[12..]);
        Ok(())
    }
}
