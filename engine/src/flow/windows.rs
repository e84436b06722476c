//! PeRFlow (Yan et al., 2024, arXiv 2405.07510): a diffusion whose path is straight within each of a few windows of time.
//! Its network still predicts noise, that of the window's own end, from which the velocity follows.

use candle_core::Tensor;

use super::euler::Stride;
use crate::Result;

/// Times that the networks were trained at.
const TIMES: usize = 1000;

/// How the way from noise to an image is divided. Windows are of equal length.
#[derive(Clone, Debug, PartialEq)]
pub struct Windows {
    /// √(ᾱ_start / ᾱ_end) of each window, from noise on.
    gammas: Vec<f64>,
}

impl Windows {
    /// `count` windows, at least 1, of a diffusion with `alpha_cumprod(time)` = ᾱ at the times 0 to 999.
    pub fn new(count: usize, alpha_cumprod: impl Fn(usize) -> f64) -> Self {
        let count = count.max(1);
        let border = |window: usize| alpha_cumprod((TIMES * (count - window) / count).saturating_sub(1));
        Self { gammas: (0..count).map(|window| (border(window) / border(window + 1)).sqrt()).collect() }
    }

    /// The steps of a run of `steps`, at least as many as there are windows: every window gets as many as the others, the
    /// first ones one more if there are any left. Their times are whole as the network counts them.
    pub fn strides(&self, steps: usize) -> Vec<Stride> {
        let count = self.gammas.len();
        let mut times = Vec::new();
        for window in 0..count {
            let here = steps / count + usize::from(window < steps % count);
            let (start, length) = ((count - window) as f64 / count as f64, 1.0 / count as f64);
            for step in 0..here {
                times.push(((start - length * step as f64 / here as f64) * TIMES as f64 + 1e-9).floor());
            }
        }
        let ends = times.iter().skip(1).copied().chain([0.0]);
        let stride =
            |(time, end): (&f64, f64)| Stride { t: 1.0 - time / TIMES as f64, dt: (time - end) / TIMES as f64 };
        times.iter().zip(ends).map(stride).collect()
    }

    /// The velocity at `z` (B, C, h, w) and time `t` from the predicted noise ("diff_eps" in the authors' scheduler): the
    /// noise determines the window's end, and the way there is straight.
    pub fn velocity(&self, z: &Tensor, epsilon: &Tensor, t: f64) -> Result<Tensor> {
        let count = self.gammas.len();
        // A time between two windows belongs to the later one, which begins there.
        let window = ((t * count as f64 + 1e-6) as usize).min(count - 1);
        let gamma = self.gammas[window];
        let (start, end) = (window as f64 / count as f64, (window + 1) as f64 / count as f64);
        // All lengths of time are counted from the end as the authors count them, so their signs cancel.
        let (lambda, eta) = (1.0 / gamma, -(1.0 - gamma * gamma).max(0.0).sqrt() / gamma);
        let share = lambda * (t - start) + (end - t);
        let at_end = ((z * (lambda * (end - start) / share))? + (epsilon * (eta * (end - t) / share))?)?;
        Ok(((at_end - z)? / (end - t))?)
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;
    use instaflow_test_support::{Tolerance, assert_close};

    use super::*;

    fn windows() -> Windows {
        // Any decreasing ᾱ.
        Windows::new(4, |time| (-(time as f64) / 200.0).exp())
    }

    fn times(steps: usize) -> Vec<f64> {
        windows().strides(steps).iter().map(|stride| ((1.0 - stride.t) * 1000.0).round()).collect()
    }

    #[test]
    fn every_window_gets_its_steps() {
        assert_eq!(times(4), [1000.0, 750.0, 500.0, 250.0]);
        assert_eq!(times(6), [1000.0, 875.0, 750.0, 625.0, 500.0, 250.0]);
        assert_eq!(times(9), [1000.0, 916.0, 833.0, 750.0, 625.0, 500.0, 375.0, 250.0, 125.0]);
        for steps in 4..=50 {
            let whole: f64 = windows().strides(steps).iter().map(|stride| stride.dt).sum();
            assert_close(whole, 1.0, Tolerance::absolute(1e-12));
        }
    }

    /// Within a window the flow is `z = λ-mixture of its ends`: a step over all of it leads where half steps lead, if the
    /// network knows the noise that joins them.
    #[test]
    fn a_window_is_straight() -> Result<()> {
        let windows = windows();
        let gamma = windows.gammas[1];
        let tensor = |values: [f32; 2]| Tensor::new(&[[[values]]], &Device::Cpu);
        let (end, noise) = (tensor([1.0, -2.0])?, tensor([0.5, 0.25])?);
        // The diffusion from the window's end to its start.
        let start = ((&end * gamma)? + (&noise * (1.0 - gamma * gamma).sqrt())?)?;
        let straight = ((&end - &start)? / 0.25)?;
        for t in [0.25, 0.3, 0.49] {
            let z = (&start + (&straight * (t - 0.25))?)?;
            assert_close(&windows.velocity(&z, &noise, t)?, &straight, Tolerance::absolute(1e-3));
        }
        Ok(())
    }
}
