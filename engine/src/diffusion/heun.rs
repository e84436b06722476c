//! Heun's method in σ̄ (Karras et al., 2022, arXiv 2206.00364, algorithm 1): an Euler step, a second prediction where it
//! leads, and the step again with the mean of both derivatives. The last step, to an image without noise, is Euler's.

use candle_core::Tensor;

use super::{Observe, Predict, Timesteps, mix, unscaled};
use crate::Result;

/// Steps from `noise` (B, C, h, w) through all timesteps and returns the last `image + σ̄·noise`.
pub fn sample(
    noise: &Tensor,
    timesteps: &Timesteps,
    predict: &mut Predict<'_>,
    observer: &mut Observe<'_>,
) -> Result<Tensor> {
    let x = super::sample(noise, timesteps, predict, observer, |step, predict| {
        let euler = mix(step.estimate, step.epsilon, step.next)?;
        let Some(time) = timesteps.times.get(step.done) else { return Ok(euler) };
        let there = predict(&euler, *time, step.next)?;
        let mean = ((step.epsilon + there.epsilon)? * 0.5)?;
        let by = step.next.ratio() - step.level.ratio();
        Ok((((step.x / step.level.alpha)? + (mean * by)?)? * step.next.alpha)?)
    })?;
    unscaled(&x, timesteps)
}
