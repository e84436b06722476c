//! Samplers for Stable Diffusion: DPM-Solver++ 2M and DDIM as pure functions that take the noise and the noise prediction;
//! their noise schedule; and their path in the coordinates of a rectified flow. Add a sampler as a new file.

pub mod schedule;

pub mod ddim;

pub mod dpm;

pub mod rectified;

use candle_core::Tensor;

pub use schedule::{NoiseLevel, Schedule, Timesteps};

use crate::Result;

/// `epsilon(x, step)` gives the noise in x (B, C, h, w) at the time `timesteps.times[step]`, with guidance if that is
/// wanted.
pub type Epsilon<'a> = dyn FnMut(&Tensor, usize) -> Result<Tensor> + 'a;

/// Called after every step.
pub type Observe<'a> = dyn FnMut(Step<'_>) -> Result<()> + 'a;

/// One step, after the network's prediction and before x moves on.
#[derive(Clone, Copy)]
pub struct Step<'a> {
    /// Steps done with this one, from 1.
    pub done: usize,
    /// Steps in all.
    pub total: usize,
    /// How much image and noise `x` holds.
    pub level: NoiseLevel,
    /// The sample before the step.
    pub x: &'a Tensor,
    /// The predicted noise in `x`, with guidance if that is wanted.
    pub epsilon: &'a Tensor,
    /// The predicted image: `x` without that noise.
    pub estimate: &'a Tensor,
}

/// Steps from `noise` through all timesteps and returns the last x. `advance` computes the next x from a step and the noise
/// level that it leads to.
fn sample(
    noise: &Tensor,
    timesteps: &Timesteps,
    epsilon: &mut Epsilon<'_>,
    observer: &mut Observe<'_>,
    mut advance: impl FnMut(Step<'_>, NoiseLevel) -> Result<Tensor>,
) -> Result<Tensor> {
    let total = timesteps.times.len();
    let mut x = noise.clone();
    for index in 0..total {
        let (level, next) = (timesteps.levels[index], timesteps.levels[index + 1]);
        let epsilon = epsilon(&x, index)?;
        let estimate = level.image(&x, &epsilon)?;
        let step = Step { done: index + 1, total, level, x: &x, epsilon: &epsilon, estimate: &estimate };
        observer(step)?;
        x = advance(step, next)?;
    }
    Ok(x)
}
