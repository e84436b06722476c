//! Rendered scenes as tensors, and tensors as pictures. Change here how pictures are fed to the networks.

use std::sync::OnceLock;

use anyhow::Result;
use candle_core::{Device, Tensor};
use rayon::prelude::*;

use crate::scenes;
use crate::seeded_random::Random;

/// Scenes that no stage trains on begin here.
pub const HELD_OUT_SEEDS: u64 = 1 << 40;

/// Scenes 0 … `count` − 1, each rendered when it is first asked for and kept: 48 KiB each at 128×128.
pub struct Pool {
    side: u32,
    rendered: Vec<OnceLock<Vec<u8>>>,
}

impl Pool {
    /// A pool of pictures `side` pixels wide and high.
    pub fn new(count: usize, side: u32) -> Self {
        Self { side, rendered: (0..count.max(1)).map(|_| OnceLock::new()).collect() }
    }

    /// How many different ones there are.
    pub fn count(&self) -> usize {
        self.rendered.len()
    }

    /// Pixels of a picture's side.
    pub fn side(&self) -> u32 {
        self.side
    }

    /// Scenes by their number: (B, 3, H, W) in [−1, 1].
    pub fn tensor(&self, scenes: &[usize], device: &Device) -> Result<Tensor> {
        let render = |&scene: &usize| {
            self.rendered[scene].get_or_init(|| scenes::sample(scene as u64).render(self.side)).as_slice()
        };
        let pictures: Vec<&[u8]> = scenes.par_iter().map(render).collect();
        tensor(&pictures, self.side, device)
    }
}

/// A window of half the side at a place of its own in each picture of (B, 3, H, W): four times as many steps for the
/// same arithmetic, and every pixel still gets its turn. It begins at a multiple of `grid` pixels, those of a latent, so
/// that what the scenes align with the latents is aligned here as well.
pub fn random_crops(pictures: &Tensor, grid: usize, random: &mut Random) -> Result<Tensor> {
    let (count, _, height, width) = pictures.dims4()?;
    let mut place = |side: usize| random.below(side / 2 / grid + 1) * grid;
    let windows: Vec<Tensor> = (0..count)
        .map(|index| {
            let (y, x) = (place(height), place(width));
            pictures.narrow(0, index, 1)?.narrow(2, y, height / 2)?.narrow(3, x, width / 2)
        })
        .collect::<candle_core::Result<_>>()?;
    Ok(Tensor::cat(&windows, 0)?.contiguous()?)
}

/// Pictures (rows of RGB bytes) as (B, 3, H, W) in [−1, 1].
pub fn tensor(pictures: &[&[u8]], side: u32, device: &Device) -> Result<Tensor> {
    let side = side as usize;
    let mut values = Vec::with_capacity(pictures.len() * 3 * side * side);
    for picture in pictures {
        for channel in 0..3 {
            values.extend(picture.iter().skip(channel).step_by(3).map(|&byte| f32::from(byte) / 127.5 - 1.0));
        }
    }
    Ok(Tensor::from_vec(values, (pictures.len(), 3, side, side), device)?)
}

/// (B, 3, H, W) in [−1, 1] as pictures.
pub fn from_tensor(tensor: &Tensor) -> Result<Vec<Vec<u8>>> {
    let (count, _, height, width) = tensor.dims4()?;
    let rows = tensor.permute((0, 2, 3, 1))?.contiguous()?.reshape((count, 3 * height * width))?;
    let byte = |value: f32| ((value.clamp(-1.0, 1.0) + 1.0) * 127.5).round() as u8;
    Ok(rows.to_vec2::<f32>()?.into_iter().map(|row| row.into_iter().map(byte).collect()).collect())
}

/// Peak signal-to-noise ratio between two sets of pictures of one size, in dB, from the mean square over all of them.
pub fn psnr(a: &[Vec<u8>], b: &[Vec<u8>]) -> f64 {
    let squares: Vec<f64> = a.iter().zip(b).map(|(a, b)| mean_square(a, b)).collect();
    decibels(&squares)
}

/// Mean squared difference of two pictures' bytes.
pub fn mean_square(a: &[u8], b: &[u8]) -> f64 {
    let squares = a.iter().zip(b).map(|(&a, &b)| (f64::from(a) - f64::from(b)).powi(2));
    squares.sum::<f64>() / a.len().max(1) as f64
}

/// Peak signal-to-noise ratio in dB of pictures with these mean squares.
pub fn decibels(mean_squares: &[f64]) -> f64 {
    let mean = mean_squares.iter().sum::<f64>() / mean_squares.len().max(1) as f64;
    10.0 * (255.0 * 255.0 / mean.max(1e-9)).log10()
}

#[cfg(test)]
mod tests {
    use super::*;
    use instaflow_test_support::{Tolerance, assert_close};

    #[test]
    fn pictures_survive_the_way_to_a_tensor_and_back() -> Result<()> {
        let pool = Pool::new(2, 16);
        let pictures = [1, 0].map(|seed| scenes::sample(seed).render(16));
        assert_eq!(from_tensor(&pool.tensor(&[1, 0], &Device::Cpu)?)?, pictures);
        Ok(())
    }

    #[test]
    fn psnr_is_that_of_the_mean_square() {
        let decibels = psnr(&[vec![10, 20], vec![30, 40]], &[vec![11, 21], vec![29, 41]]);
        assert_close(decibels, 48.1308, Tolerance::absolute(1e-3));
    }
}
