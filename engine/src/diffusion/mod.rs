//! Samplers for diffusion models such as Stable Diffusion, as pure functions that take the noise and the prediction; their
//! noise schedules and times; and their path in the coordinates of a rectified flow. Add a sampler as a new file, and its
//! times in `timesteps.rs`.
//!
//! All of them keep x variance-preserving, `x = α·image + σ·noise` with α² + σ² = 1, as the networks take it. Samplers
//! that their papers write for `image + σ̄·noise` with σ̄ = σ/α (Euler, Heun, LMS) are the same steps divided by α.

pub mod schedule;

pub mod timesteps;

pub mod ddim;

pub mod dpm;

pub mod euler;

pub mod euler_ancestral;

pub mod heun;

pub mod lms;

pub mod unipc;

pub mod lcm;

pub mod tcd;

pub mod rescale;

pub mod rectified;

use candle_core::Tensor;

pub use schedule::{NoiseLevel, Schedule};
pub use timesteps::Timesteps;

use crate::Result;

/// What a network predicts of x.
#[derive(Clone, Debug)]
pub struct Predicted {
    /// The image.
    pub image: Tensor,
    /// The noise ε.
    pub epsilon: Tensor,
}

/// `predict(x, time, level)` gives what is in x (B, C, h, w) at this network time and noise level, with guidance if that
/// is wanted.
pub type Predict<'a> = dyn FnMut(&Tensor, f64, NoiseLevel) -> Result<Predicted> + 'a;

/// Called after every step.
pub type Observe<'a> = dyn FnMut(Step<'_>) -> Result<()> + 'a;

/// Gives fresh noise, shaped as x, to samplers that add some on the way.
pub type Fresh<'a> = dyn FnMut() -> Result<Tensor> + 'a;

/// One step, after the network's prediction and before x moves on.
#[derive(Clone, Copy)]
pub struct Step<'a> {
    /// Steps done with this one, from 1.
    pub done: usize,
    /// Steps in all.
    pub total: usize,
    /// How much image and noise `x` holds.
    pub level: NoiseLevel,
    /// The noise level that the step leads to.
    pub next: NoiseLevel,
    /// The sample before the step.
    pub x: &'a Tensor,
    /// The predicted noise in `x`, with guidance if that is wanted.
    pub epsilon: &'a Tensor,
    /// The predicted image: `x` without that noise.
    pub estimate: &'a Tensor,
}

impl Step<'_> {
    /// Whether no step follows.
    pub fn is_last(&self) -> bool {
        self.done == self.total
    }
}

/// Steps from `noise`, as the timesteps scale it, through all of them and returns the last x. `advance` computes the next
/// x from a step; it may predict again.
fn sample(
    noise: &Tensor,
    timesteps: &Timesteps,
    predict: &mut Predict<'_>,
    observer: &mut Observe<'_>,
    mut advance: impl FnMut(Step<'_>, &mut Predict<'_>) -> Result<Tensor>,
) -> Result<Tensor> {
    let total = timesteps.times.len();
    let mut x = (noise * timesteps.start)?;
    for (index, time) in timesteps.times.iter().enumerate() {
        let (level, next) = (timesteps.levels[index], timesteps.levels[index + 1]);
        let Predicted { image, epsilon } = predict(&x, *time, level)?;
        let step = Step { done: index + 1, total, level, next, x: &x, epsilon: &epsilon, estimate: &image };
        observer(step)?;
        x = advance(step, predict)?;
    }
    Ok(x)
}

/// α·image + σ·noise.
fn mix(image: &Tensor, noise: &Tensor, level: NoiseLevel) -> Result<Tensor> {
    Ok(((image * level.alpha)? + (noise * level.sigma)?)?)
}

/// The last x of a sampler whose paper keeps `image + σ̄·noise`.
fn unscaled(x: &Tensor, timesteps: &Timesteps) -> Result<Tensor> {
    let alpha = timesteps.levels.last().map_or(1.0, |level| level.alpha);
    Ok((x / alpha)?)
}

#[cfg(test)]
mod tests;
