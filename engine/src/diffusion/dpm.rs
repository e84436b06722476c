//! DPM-Solver++ 2M (Lu et al., 2022, arXiv 2211.01095, algorithm 2) as in Diffusers: it steps in λ = ln(α/σ) on the
//! predicted image, extrapolated from this step's and the previous step's.

use candle_core::Tensor;

use super::{Epsilon, NoiseLevel, Observe, Timesteps};
use crate::Result;

/// Runs of fewer steps end with a first-order step, which is more stable there.
const FEW_STEPS: usize = 15;

/// Steps from `noise` (B, C, h, w) through all timesteps and returns the last x.
pub fn sample(
    noise: &Tensor,
    timesteps: &Timesteps,
    epsilon: &mut Epsilon<'_>,
    observer: &mut Observe<'_>,
) -> Result<Tensor> {
    let mut before: Option<(NoiseLevel, Tensor)> = None;
    super::sample(noise, timesteps, epsilon, observer, |step, next| {
        let (level, image) = (step.level, step.estimate);
        // λ is infinite at an image without noise, so the last step to it is of first order, too.
        let first_order = step.done == step.total && (step.total < FEW_STEPS || next.sigma <= 0.0);
        let direction = match &before {
            Some((level_before, before)) if !first_order => {
                let h = next.lambda() - level.lambda();
                let h_before = level.lambda() - level_before.lambda();
                (image + ((image - before)? * (0.5 * h / h_before))?)?
            }
            _ => image.clone(),
        };
        // e^(−h), which is finite even if λ is not.
        let decay = level.alpha * next.sigma / (level.sigma * next.alpha);
        before = Some((level, image.clone()));
        Ok(((step.x * (next.sigma / level.sigma))? + (direction * (next.alpha * (1.0 - decay)))?)?)
    })
}
