//! Euler steps of the probability flow in σ̄ (Karras et al., 2022, arXiv 2206.00364, algorithm 1 without its corrector). The
//! derivative there is the predicted noise itself, so a step leads to `image + σ̄'·ε`.

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
    let x = super::sample(noise, timesteps, predict, observer, |step, _| mix(step.estimate, step.epsilon, step.next))?;
    unscaled(&x, timesteps)
}
