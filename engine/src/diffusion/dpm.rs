//! DPM-Solver++ 2M (Lu et al., 2022, arXiv 2211.01095, algorithm 2, and its SDE form) as in Diffusers: it steps in
//! λ = ln(α/σ) on the predicted image, extrapolated from this step's and the previous step's.

use candle_core::Tensor;

use super::{Fresh, NoiseLevel, Observe, Predict, Timesteps};
use crate::Result;

/// Runs of fewer steps end with a first-order step, which is more stable there.
const FEW_STEPS: usize = 15;

/// Steps from `noise` (B, C, h, w) through all timesteps and returns the last x. With `fresh`, the SDE is solved: every
/// step adds noise, the last one included, although that adds nothing.
pub fn sample(
    noise: &Tensor,
    timesteps: &Timesteps,
    predict: &mut Predict<'_>,
    mut fresh: Option<&mut Fresh<'_>>,
    observer: &mut Observe<'_>,
) -> Result<Tensor> {
    let mut before: Option<(NoiseLevel, Tensor)> = None;
    super::sample(noise, timesteps, predict, observer, |step, _| {
        let (level, next, image) = (step.level, step.next, step.estimate);
        // λ is infinite at an image without noise, so the last step to it is of first order, too.
        let first_order = step.is_last() && (step.total < FEW_STEPS || next.sigma <= 0.0);
        let direction = match &before {
            Some((level_before, before)) if !first_order => {
                let h = next.lambda() - level.lambda();
                let h_before = level.lambda() - level_before.lambda();
                (image + ((image - before)? * (0.5 * h / h_before))?)?
            }
            _ => image.clone(),
        };
        before = Some((level, image.clone()));
        // e^(−h), which is finite even if λ is not.
        let decay = level.alpha * next.sigma / (level.sigma * next.alpha);
        let Some(fresh) = &mut fresh else {
            let kept = (step.x * (next.sigma / level.sigma))?;
            return Ok((kept + (direction * (next.alpha * (1.0 - decay)))?)?);
        };
        let square = decay * decay;
        let kept = (step.x * (next.sigma / level.sigma * decay))?;
        let noise = (fresh()? * (next.sigma * (1.0 - square).max(0.0).sqrt()))?;
        Ok(((kept + (direction * (next.alpha * (1.0 - square)))?)? + noise)?)
    })
}
