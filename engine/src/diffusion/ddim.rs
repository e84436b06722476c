//! DDIM (Song, Meng & Ermon, 2020, arXiv 2010.02502, equation 12 with η = 0): each step takes the predicted image and
//! the predicted noise, and mixes them anew at the next level.

use candle_core::Tensor;

use super::{Knots, Step};
use crate::Result;

/// Steps from `noise` (B, C, h, w) over all knots; gives the last x.
///
/// `epsilon(x, step)` gives the noise in x at the time `knots.times[step]`, guided where that is wanted; `observer`
/// sees every step.
pub fn sample(
    noise: &Tensor,
    knots: &Knots,
    epsilon: &mut dyn FnMut(&Tensor, usize) -> Result<Tensor>,
    observer: &mut dyn FnMut(Step<'_>) -> Result<()>,
) -> Result<Tensor> {
    let total = knots.times.len();
    let mut x = noise.clone();
    for step in 0..total {
        let (level, next) = (knots.levels[step], knots.levels[step + 1]);
        let epsilon = epsilon(&x, step)?;
        let image = level.image(&x, &epsilon)?;
        observer(Step { done: step + 1, total, level, x: &x, epsilon: &epsilon, estimate: &image })?;
        x = ((image * next.alpha)? + (epsilon * next.sigma)?)?;
    }
    Ok(x)
}
