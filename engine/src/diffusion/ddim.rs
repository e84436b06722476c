//! DDIM (Song, Meng & Ermon, 2020, arXiv 2010.02502, equation 12 with η = 0): each step mixes the predicted image and the
//! predicted noise again at the next noise level.

use candle_core::Tensor;

use super::{Observe, Predict, Timesteps, mix};
use crate::Result;

/// Steps from `noise` (B, C, h, w) through all timesteps and returns the last x.
pub fn sample(
    noise: &Tensor,
    timesteps: &Timesteps,
    predict: &mut Predict<'_>,
    observer: &mut Observe<'_>,
) -> Result<Tensor> {
    super::sample(noise, timesteps, predict, observer, |step, _| mix(step.estimate, step.epsilon, step.next))
}
