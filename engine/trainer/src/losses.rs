//! What the stages minimise on latents and pixels; what is minimised in the features of a network is in `perceptual.rs`.
//! Every loss is a scalar, the mean over samples. Change here its formulas.

use candle_core::{D, Result, Tensor};

/// How much the parts of [`reconstruction`] count.
#[derive(Clone, Copy, Debug)]
pub struct Weights {
    /// Mean absolute error.
    pub absolute: f64,
    /// Mean squared error.
    pub squared: f64,
    /// Mean absolute error of the differences between neighbours: edges, and points too small to weigh otherwise.
    pub edges: f64,
}

/// Between pictures (B, 3, H, W) in [−1, 1].
pub fn reconstruction(picture: &Tensor, target: &Tensor, weights: Weights) -> Result<Tensor> {
    let error = (picture - target)?;
    let (_, _, height, width) = error.dims4()?;
    let across = (error.narrow(3, 1, width - 1)? - error.narrow(3, 0, width - 1)?)?.abs()?.mean_all()?;
    let down = (error.narrow(2, 1, height - 1)? - error.narrow(2, 0, height - 1)?)?.abs()?.mean_all()?;
    let absolute = (error.abs()?.mean_all()? * weights.absolute)?;
    let squared = (error.sqr()?.mean_all()? * weights.squared)?;
    (absolute + squared)? + ((across + down)? * weights.edges)?
}

/// How far each channel of latents (B, C, h, w) is from mean 0 and variance 1.
pub fn moments(latents: &Tensor) -> Result<Tensor> {
    let (mean, variance) = channel_moments(latents)?;
    mean.sqr()?.mean_all()? + (variance - 1.0)?.sqr()?.mean_all()?
}

/// Mean and variance of each channel of (B, C, h, w): (C) and (C).
pub fn channel_moments(latents: &Tensor) -> Result<(Tensor, Tensor)> {
    let rows = latents.transpose(0, 1)?.flatten_from(1)?; // (C, B·h·w)
    let mean = rows.mean_keepdim(D::Minus1)?;
    let variance = rows.broadcast_sub(&mean)?.sqr()?.mean(D::Minus1)?;
    Ok((mean.squeeze(D::Minus1)?, variance))
}

/// Mean squared error, over all values.
pub fn squared(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    (a - b)?.sqr()?.mean_all()
}

/// Pseudo-Huber loss √(‖a−b‖² + c²) − c of each sample with c = 0.00054·d over its d values, divided by c so that it
/// meets half of [`squared`] · d / c² near zero (Lee, Lin and Fanti, arXiv 2405.20320).
pub fn pseudo_huber(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    let (losses, d) = pseudo_huber_samples(a, b)?;
    (losses / (HUBER * d))?.mean_all()
}

/// The part of the same authors' loss that is on latents: pseudo-Huber over d, times t of each sample (0 is noise). The
/// other part is perceptual, and rules where the noise hides the latents.
pub fn timed_pseudo_huber(a: &Tensor, b: &Tensor, times: &[f64]) -> Result<Tensor> {
    let (losses, d) = pseudo_huber_samples(a, b)?;
    let times: Vec<f32> = times.iter().map(|&t| (t / d) as f32).collect();
    (losses * Tensor::from_vec(times, a.dim(0)?, a.device())?)?.mean_all()
}

/// c over d.
const HUBER: f64 = 0.00054;

/// √(‖a−b‖² + c²) − c of each sample (B), and d.
fn pseudo_huber_samples(a: &Tensor, b: &Tensor) -> Result<(Tensor, f64)> {
    let squares = (a - b)?.sqr()?.flatten_from(1)?;
    let d = squares.dim(1)? as f64;
    let c = HUBER * d;
    Ok((((squares.sum(1)? + c * c)?.sqrt()? - c)?, d))
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{Device, Var};
    use instaflow_test_support::{Tolerance, assert_close};

    fn value(tensor: &Tensor) -> f64 {
        f64::from(tensor.to_scalar::<f32>().expect("a scalar"))
    }

    #[test]
    fn reconstruction_adds_its_parts() -> Result<()> {
        let picture = Tensor::new(&[[[[1f32, 3.0], [2.0, 0.0]]]], &Device::Cpu)?;
        let target = picture.zeros_like()?;
        let loss = |absolute, squared, edges| {
            reconstruction(&picture, &target, Weights { absolute, squared, edges }).map(|loss| value(&loss))
        };
        assert_close(loss(1.0, 0.0, 0.0)?, 1.5, Tolerance::absolute(1e-6));
        assert_close(loss(0.0, 1.0, 0.0)?, 3.5, Tolerance::absolute(1e-6));
        assert_close(loss(0.0, 0.0, 1.0)?, 2.0 + 2.0, Tolerance::absolute(1e-6));
        Ok(())
    }

    #[test]
    fn moments_are_those_of_each_channel() -> Result<()> {
        let latents = Tensor::new(&[[[[1f32, 3.0]], [[0.0, 0.0]]], [[[1.0, 3.0]], [[0.0, 4.0]]]], &Device::Cpu)?;
        let (mean, variance) = channel_moments(&latents)?;
        assert_eq!((mean.to_vec1::<f32>()?, variance.to_vec1::<f32>()?), (vec![2.0, 1.0], vec![1.0, 3.0]));
        assert_close(value(&moments(&latents)?), 2.5 + 2.0, Tolerance::absolute(1e-6));
        Ok(())
    }

    #[test]
    fn pseudo_huber_is_quadratic_near_and_linear_far() -> Result<()> {
        let zeros = Tensor::zeros((1, 1000), candle_core::DType::F32, &Device::Cpu)?;
        let at = |length: f64| {
            let x = (zeros.ones_like()? * (length / 1000f64.sqrt()))?;
            pseudo_huber(&x, &zeros).map(|loss| value(&loss))
        };
        let c = 0.54;
        assert_close(at(0.05 * c)?, 0.05 * 0.05 / 2.0, Tolerance::absolute(1e-5));
        assert_close(at(100.0 * c)?, 99.005, Tolerance::absolute(1e-2));
        let x = Var::from_tensor(&(zeros.ones_like()? * 0.1)?)?;
        assert!(pseudo_huber(&x, &zeros)?.backward()?.get(&x).is_some());

        // Two samples, of which the one at noise does not count.
        let pair = Tensor::cat(&[&zeros.ones_like()?, &zeros.ones_like()?], 0)?;
        let loss = value(&timed_pseudo_huber(&pair, &pair.zeros_like()?, &[0.0, 0.5])?);
        let one = (1000f64 + c * c).sqrt() - c;
        assert_close(loss, 0.5 * 0.5 * one / 1000.0, Tolerance::absolute(1e-6));
        Ok(())
    }
}
