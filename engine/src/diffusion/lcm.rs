//! Sampling of latent consistency models (Luo et al., 2023, arXiv 2310.04378, algorithm 3): the consistency function gives
//! the image, and fresh noise is added for the next step.

use candle_core::Tensor;

use super::{Fresh, Observe, Predict, Timesteps, mix};
use crate::Result;

/// The standard deviation that the consistency function takes data to have.
const SIGMA_DATA: f64 = 0.5;

/// Steps from `noise` (B, C, h, w) through all timesteps and returns the image. `time_scale` is by how much times are
/// multiplied in the boundary condition: 10 unless the model's folder says otherwise. Takes fresh noise at every step but
/// the last.
pub fn sample(
    noise: &Tensor,
    timesteps: &Timesteps,
    time_scale: f64,
    predict: &mut Predict<'_>,
    fresh: &mut Fresh<'_>,
    observer: &mut Observe<'_>,
) -> Result<Tensor> {
    super::sample(noise, timesteps, predict, observer, |step, _| {
        // The boundary condition: at time 0 the function gives x itself.
        let time = timesteps.times[step.done - 1] * time_scale;
        let variance = time * time + SIGMA_DATA * SIGMA_DATA;
        let (skip, out) = (SIGMA_DATA * SIGMA_DATA / variance, time / variance.sqrt());
        let image = ((step.estimate * out)? + (step.x * skip)?)?;
        if step.is_last() { Ok(image) } else { mix(&image, &fresh()?, step.next) }
    })
}
