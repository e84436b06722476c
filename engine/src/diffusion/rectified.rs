//! The path of a diffusion in the coordinates of a rectified flow, so that the two can be compared.
//!
//! Stable Diffusion's x = α·image + σ·noise keeps its variance, so its path is curved even between one image and one noise.
//! Divided by α + σ it becomes the rectified flow's interpolation,
//!
//! ```text
//! z = x / (α + σ) = t·image + (1 − t)·noise,   t = α / (α + σ),
//! ```
//!
//! and the diffusion's probability flow becomes the rectified flow's ODE `dz/dt = E[image − noise | z]`, which is
//! `image(x) − ε(x)` in the network's predictions. The trajectories lead from the same noise to the same image, with
//! another time and scale (Liu et al., 2022, arXiv 2209.03003, on its nonlinear extension; Lipman et al., 2022, arXiv
//! 2210.02747, section 4.1). One step of DDIM is exactly one Euler step of this ODE, of length t' − t. At the image,
//! where no noise is left, z = x.

use candle_core::Tensor;

use super::NoiseLevel;
use crate::Result;

/// The rectified flow's time at a noise level: 0 is noise, 1 is an image without noise.
pub fn time(level: NoiseLevel) -> f64 {
    level.alpha / (level.alpha + level.sigma)
}

/// x in the rectified flow's coordinates.
pub fn position(x: &Tensor, level: NoiseLevel) -> Result<Tensor> {
    Ok((x / (level.alpha + level.sigma))?)
}

/// The velocity there, from the predicted image and noise.
pub fn velocity(image: &Tensor, epsilon: &Tensor) -> Result<Tensor> {
    Ok((image - epsilon)?)
}

#[cfg(test)]
mod tests {
    use candle_core::Device;
    use instaflow_test_support::{Tolerance, assert_close, assert_close_case};
    use serde_json::json;

    use super::super::{Observe, Predict, Predicted, Schedule, Step, Timesteps, ddim, dpm};
    use super::*;
    use crate::protocol::Sampler;

    fn tensor(values: [f32; 4]) -> Result<Tensor> {
        Ok(Tensor::new(&[[[values]]], &Device::Cpu)?)
    }

    fn schedule() -> Schedule {
        let config = json!({
            "beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "steps_offset": 1,
            "set_alpha_to_one": false
        });
        Schedule::from_json(&config).expect("Stable Diffusion's own")
    }

    const TOLERANCE: Tolerance = Tolerance::absolute(1e-4);

    /// With a model of a single image the noise in x is known exactly, so the path from noise to the image is a straight
    /// line, although x itself follows a curve.
    #[test]
    fn the_way_to_a_single_image_is_straight() -> Result<()> {
        let (image, noise) = (tensor([0.5, -1.0, 2.0, 0.0])?, tensor([1.5, 0.25, -0.75, 1.0])?);
        let schedule = schedule();
        for is_dpm in [false, true] {
            let sampler = if is_dpm { Sampler::DpmPlusPlus2M } else { Sampler::Ddim };
            let timesteps = schedule.timesteps(sampler, 10, None);
            let sample = |x: &Tensor, times: &Timesteps, predict: &mut Predict<'_>, observe: &mut Observe<'_>| {
                if is_dpm {
                    dpm::sample(x, times, predict, None, observe)
                } else {
                    ddim::sample(x, times, predict, observe)
                }
            };
            // Begun on the line, not at pure noise, which no x of a diffusion is.
            let first = timesteps.levels[0];
            let start = ((&image * first.alpha)? + (&noise * first.sigma)?)?;
            let mut predict = |x: &Tensor, _: f64, level: NoiseLevel| -> Result<Predicted> {
                Ok(Predicted { image: image.clone(), epsilon: ((x - (&image * level.alpha)?)? / level.sigma)? })
            };
            let straight = (&image - &noise)?;
            let mut seen = Vec::new();
            let mut observer = |step: Step<'_>| -> Result<()> {
                let t = time(step.level);
                let line = ((&image * t)? + (&noise * (1.0 - t))?)?;
                assert_close_case(format!("at t = {t}"), &position(step.x, step.level)?, &line, TOLERANCE);
                assert_close_case(format!("at t = {t}"), &velocity(step.estimate, step.epsilon)?, &straight, TOLERANCE);
                seen.push(t);
                Ok(())
            };
            let end = sample(&start, &timesteps, &mut predict, &mut observer)?;
            let last = timesteps.levels[10];
            let line = ((&image * last.alpha)? + (&noise * last.sigma)?)?;
            assert_close(&end, &line, TOLERANCE);
            assert_eq!(seen.len(), 10);
            assert!(seen.windows(2).all(|pair| pair[0] < pair[1]) && seen[0] > 0.0 && seen[9] < 1.0, "{seen:?}");
        }
        Ok(())
    }

    #[test]
    fn a_step_of_ddim_is_an_euler_step() -> Result<()> {
        let schedule = schedule();
        let timesteps = schedule.timesteps(Sampler::Ddim, 6, None);
        let noise = tensor([1.5, 0.25, -0.75, 1.0])?;
        // Any network will do.
        let mut predict = |x: &Tensor, time: f64, level: NoiseLevel| -> Result<Predicted> {
            schedule.predicted(x, &(x.sin()? + (time / 10_000.0))?, level)
        };
        let mut z = position(&noise, timesteps.levels[0])?;
        let mut step_at = 0;
        let mut observer = |step: Step<'_>| -> Result<()> {
            assert_close_case(format!("before step {step_at}"), &position(step.x, step.level)?, &z, TOLERANCE);
            let dt = time(timesteps.levels[step_at + 1]) - time(step.level);
            z = (&z + (velocity(step.estimate, step.epsilon)? * dt)?)?;
            step_at += 1;
            Ok(())
        };
        let end = ddim::sample(&noise, &timesteps, &mut predict, &mut observer)?;
        assert_close(&position(&end, timesteps.levels[6])?, &z, TOLERANCE);
        Ok(())
    }
}
