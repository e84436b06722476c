//! Linear multistep of fourth order in σ̄ (Adams & Bashforth; for diffusion, k-diffusion's `lms`): the derivative is the
//! polynomial through the last four predictions of the noise, integrated over the step.

use std::collections::VecDeque;

use candle_core::Tensor;

use super::{Observe, Predict, Timesteps, unscaled};
use crate::Result;

/// Predictions that a step uses.
const ORDER: usize = 4;

/// Steps from `noise` (B, C, h, w) through all timesteps and returns the last `image + σ̄·noise`.
pub fn sample(
    noise: &Tensor,
    timesteps: &Timesteps,
    predict: &mut Predict<'_>,
    observer: &mut Observe<'_>,
) -> Result<Tensor> {
    let ratios: Vec<f64> = timesteps.levels.iter().map(|level| level.ratio()).collect();
    // The latest comes first.
    let mut derivatives: VecDeque<Tensor> = VecDeque::new();
    let x = super::sample(noise, timesteps, predict, observer, |step, _| {
        derivatives.push_front(step.epsilon.clone());
        derivatives.truncate(ORDER);
        let at = step.done - 1;
        let nodes: Vec<f64> = (0..derivatives.len()).map(|back| ratios[at - back]).collect();
        let mut x = (step.x / step.level.alpha)?;
        for (index, derivative) in derivatives.iter().enumerate() {
            x = (x + (derivative * basis_integral(&nodes, index, ratios[at], ratios[at + 1]))?)?;
        }
        Ok((x * step.next.alpha)?)
    })?;
    unscaled(&x, timesteps)
}

/// The integral from `from` to `to` of the Lagrange polynomial that is 1 at node `index` and 0 at the others. The points of
/// Gauss and Legendre, two of them, are exact for its degree, at most 3.
fn basis_integral(nodes: &[f64], index: usize, from: f64, to: f64) -> f64 {
    let value = |at: f64| -> f64 {
        let others = nodes.iter().enumerate().filter(|(other, _)| *other != index);
        others.map(|(_, node)| (at - node) / (nodes[index] - node)).product()
    };
    let (middle, half) = (f64::midpoint(from, to), (to - from) / 2.0);
    let off = half / 3f64.sqrt();
    half * (value(middle - off) + value(middle + off))
}

#[cfg(test)]
mod tests {
    use instaflow_test_support::{Tolerance, assert_close};

    use super::*;

    /// Equal steps have the coefficients of Adams and Bashforth.
    #[test]
    fn equal_steps_have_the_known_coefficients() {
        let nodes = [3.0, 2.0, 1.0, 0.0];
        let found = [0, 1, 2, 3].map(|index| basis_integral(&nodes, index, 3.0, 4.0));
        assert_close(found, [55.0 / 24.0, -59.0 / 24.0, 37.0 / 24.0, -9.0 / 24.0], Tolerance::absolute(1e-12));
        assert_close(basis_integral(&[3.0], 0, 3.0, 4.0), 1.0, Tolerance::absolute(1e-12));
    }
}
