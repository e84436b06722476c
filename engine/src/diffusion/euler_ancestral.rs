//! Ancestral Euler steps: down to less noise than the next level has, then up to it with fresh noise, so that the two
//! together have the variance of DDPM's posterior (Ho, Jain & Abbeel, 2020, arXiv 2006.11239, equation 7), as
//! k-diffusion's `euler_ancestral` divides them.

use candle_core::Tensor;

use super::{Fresh, Observe, Predict, Timesteps, unscaled};
use crate::Result;

/// Steps from `noise` (B, C, h, w) through all timesteps and returns the last `image + σ̄·noise`. Takes fresh noise at
/// every step, the last one included, although that adds nothing.
pub fn sample(
    noise: &Tensor,
    timesteps: &Timesteps,
    predict: &mut Predict<'_>,
    fresh: &mut Fresh<'_>,
    observer: &mut Observe<'_>,
) -> Result<Tensor> {
    let x = super::sample(noise, timesteps, predict, observer, |step, _| {
        let (from, to) = (step.level.ratio(), step.next.ratio());
        let up = to * (1.0 - (to / from).powi(2)).max(0.0).sqrt();
        let down = (to * to - up * up).max(0.0).sqrt();
        let noise = fresh()?;
        Ok((((step.estimate + (step.epsilon * down)?)? + (noise * up)?)? * step.next.alpha)?)
    })?;
    unscaled(&x, timesteps)
}
