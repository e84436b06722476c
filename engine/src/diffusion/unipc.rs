//! UniPC of second order (Zhao et al., 2023, arXiv 2302.04867, algorithms 1 and 2, with B₂(h) = e^h − 1) on the predicted
//! image, as in Diffusers: a predictor in λ = ln(α/σ), and before each step a corrector that takes the last step again
//! with the prediction where it led.

use candle_core::Tensor;

use super::{NoiseLevel, Observe, Predict, Timesteps};
use crate::Result;

/// What a step began with: its level, the x there and the image predicted there.
struct Begun {
    level: NoiseLevel,
    x: Tensor,
    image: Tensor,
    /// Of the step that began there.
    order: usize,
}

/// Steps from `noise` (B, C, h, w) through all timesteps and returns the last x.
pub fn sample(
    noise: &Tensor,
    timesteps: &Timesteps,
    predict: &mut Predict<'_>,
    observer: &mut Observe<'_>,
) -> Result<Tensor> {
    let mut begun: Vec<Begun> = Vec::new();
    super::sample(noise, timesteps, predict, observer, |step, _| {
        let (level, next, image) = (step.level, step.next, step.estimate);
        let x = match begun.as_slice() {
            [] => step.x.clone(),
            [.., last] => {
                let before = begun.len().checked_sub(2).map(|at| &begun[at]).filter(|_| last.order > 1);
                corrected(last, before, image, level)?
            }
        };
        // The first step knows one prediction, and the last is of first order.
        let order = if step.is_last() || begun.is_empty() { 1 } else { 2 };
        let spacing = Spacing::new(level, next);
        let mut to = spacing.first_order(&x, image)?;
        if let Some(before) = begun.last().filter(|_| order == 2) {
            let slope = ((&before.image - image)? / spacing.share(before.level))?;
            to = (to - (slope * (0.5 * next.alpha * spacing.growth))?)?;
        }
        begun.push(Begun { level, x, image: image.clone(), order });
        if begun.len() > 2 {
            begun.remove(0);
        }
        Ok(to)
    })
}

/// The x at `level` to which the step from `last` leads with the image that was predicted there.
fn corrected(last: &Begun, before: Option<&Begun>, image: &Tensor, level: NoiseLevel) -> Result<Tensor> {
    let spacing = Spacing::new(last.level, level);
    let from_last = (image - &last.image)?;
    let correction = match before {
        None => (from_last * 0.5)?,
        Some(before) => {
            let share = spacing.share(before.level);
            let [first, second] = spacing.moments();
            let of_before = (first - second) / (1.0 - share);
            let slope = ((&before.image - &last.image)? / share)?;
            ((slope * of_before)? + (from_last * (first - of_before))?)?
        }
    };
    Ok((spacing.first_order(&last.x, &last.image)? - (correction * (level.alpha * spacing.growth))?)?)
}

/// From one noise level to another.
struct Spacing {
    from: NoiseLevel,
    to: NoiseLevel,
    /// h, the step in λ; infinite if it leads to an image without noise.
    h: f64,
    /// e^(−h) − 1.
    growth: f64,
}

impl Spacing {
    fn new(from: NoiseLevel, to: NoiseLevel) -> Self {
        let h = to.lambda() - from.lambda();
        Self { from, to, h, growth: (-h).exp_m1() }
    }

    /// The exact solution if the predicted image stays as it is.
    fn first_order(&self, x: &Tensor, image: &Tensor) -> Result<Tensor> {
        let kept = (x * (self.to.sigma / self.from.sigma))?;
        Ok((kept - (image * (self.to.alpha * self.growth))?)?)
    }

    /// Where another level lies on this way, in λ: 0 at its beginning, 1 at its end.
    fn share(&self, level: NoiseLevel) -> f64 {
        (level.lambda() - self.from.lambda()) / self.h
    }

    /// What the corrections of first and second order must integrate to.
    fn moments(&self) -> [f64; 2] {
        let minus = -self.h;
        let first = self.growth / minus - 1.0;
        let second = first / minus - 0.5;
        [first / self.growth, 2.0 * second / self.growth]
    }
}
