//! DPM-Solver++ 2M (Lu et al., 2022, arXiv 2211.01095, algorithm 2), as Diffusers steps it: in λ = ln(α/σ), on the
//! predicted image, extrapolated with that of the step before.

use candle_core::Tensor;

use super::{Knots, Step};
use crate::Result;

/// Runs of fewer steps end with one of first order, which is steadier there.
const FEW_STEPS: usize = 15;

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
    let mut before: Option<Tensor> = None;
    for step in 0..total {
        let (level, next) = (knots.levels[step], knots.levels[step + 1]);
        let epsilon = epsilon(&x, step)?;
        let image = level.image(&x, &epsilon)?;
        observer(Step { done: step + 1, total, level, x: &x, epsilon: &epsilon, estimate: &image })?;
        // At an image without noise λ is infinite: the last step there is of first order, too.
        let first_order = step + 1 == total && (total < FEW_STEPS || next.sigma <= 0.0);
        let direction = match &before {
            Some(before) if !first_order => {
                let h = next.lambda() - level.lambda();
                let h_before = level.lambda() - knots.levels[step - 1].lambda();
                (&image + ((&image - before)? * (0.5 * h / h_before))?)?
            }
            _ => image.clone(),
        };
        // e^(−h), finite where λ is not.
        let decay = level.alpha * next.sigma / (level.sigma * next.alpha);
        x = ((x * (next.sigma / level.sigma))? + (direction * (next.alpha * (1.0 - decay)))?)?;
        before = Some(image);
    }
    Ok(x)
}
