//! Strategic stochastic sampling of trajectory consistency models (Zheng et al., 2024, arXiv 2402.19159, algorithm 4): each
//! step goes down to a time before the next one, and up to it with fresh noise.

use candle_core::Tensor;

use super::{Fresh, NoiseLevel, Observe, Predict, Timesteps, mix};
use crate::Result;

/// Steps from `noise` (B, C, h, w) through all timesteps and returns the last x, which still holds the noise of time 0.
/// `below[i]` is the level that step i goes down to. Takes fresh noise at every step but the last, unless each step goes
/// down to the next level itself.
pub fn sample(
    noise: &Tensor,
    timesteps: &Timesteps,
    below: &[NoiseLevel],
    predict: &mut Predict<'_>,
    fresh: &mut Fresh<'_>,
    observer: &mut Observe<'_>,
) -> Result<Tensor> {
    let is_stochastic = below.iter().zip(&timesteps.levels[1..]).any(|(below, next)| below != next);
    super::sample(noise, timesteps, predict, observer, |step, _| {
        let below = below[step.done - 1];
        let down = mix(step.estimate, step.epsilon, below)?;
        if !is_stochastic || step.is_last() {
            return Ok(down);
        }
        let kept = step.next.alpha / below.alpha;
        Ok(((down * kept)? + (fresh()? * (1.0 - kept * kept).max(0.0).sqrt())?)?)
    })
}
