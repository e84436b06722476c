//! Stable Diffusion's baselines: DPM-Solver++ 2M and DDIM as pure functions, with noise and noise prediction passed in,
//! the schedule that they step on, and their path in the coordinates of a rectified flow. Add a sampler as a file.

pub mod schedule;

pub mod ddim;

pub mod dpm;

pub mod rectified;

use candle_core::Tensor;

pub use schedule::{Knots, Level, Schedule};

/// One step, seen when the network has answered.
pub struct Step<'a> {
    /// Steps done with this one, from 1.
    pub done: usize,
    /// Steps in all.
    pub total: usize,
    /// How much image and noise `x` holds.
    pub level: Level,
    /// Where the run stood.
    pub x: &'a Tensor,
    /// The noise that the network sees in `x`, guided where that is wanted.
    pub epsilon: &'a Tensor,
    /// The image that is left of `x` without that noise.
    pub estimate: &'a Tensor,
}
