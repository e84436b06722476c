//! From noise to latents with the chosen sampler, and the path that it took. Call a new sampler from here.

use std::sync::Arc;

use candle_core::Tensor;

use super::loaded_model::LoadedModel;
use super::path::{self, Trace};
use crate::diffusion::{self, ddim, dpm, rectified};
use crate::flow::euler;
use crate::protocol::{PathPoint, Sampler};
use crate::{Error, Result};

/// The result of a run.
pub(super) struct Run {
    /// The sampler's last x, shaped as the noise.
    pub latents: Tensor,
    /// S of a run of several steps.
    pub straightness: Option<f64>,
    pub path: Arc<[PathPoint]>,
}

/// The network's prediction at x (1, C, h, w) and a network time, with guidance if that is wanted.
pub(super) type Predict<'a> = dyn FnMut(&Tensor, f64) -> Result<Tensor> + 'a;

/// Called after each step with the steps done, all steps, and the estimate of the final latents.
pub(super) type Observe<'a> = dyn FnMut(usize, usize, &Tensor) -> Result<()> + 'a;

/// Takes `steps` steps from `noise` (1, C, h, w).
pub(super) fn run(
    model: &LoadedModel,
    sampler: Sampler,
    noise: &Tensor,
    steps: usize,
    predict: &mut Predict<'_>,
    observe: &mut Observe<'_>,
) -> Result<Run> {
    if sampler.is_diffusion() {
        diffuse(model, sampler, noise, steps, predict, observe)
    } else {
        flow(noise, steps, predict, observe)
    }
}

fn flow(noise: &Tensor, steps: usize, predict: &mut Predict<'_>, observe: &mut Observe<'_>) -> Result<Run> {
    let mut trace = Trace::default();
    let mut velocity = |x: &Tensor, t: f64| -> Result<Tensor> {
        let v = predict(x, (1.0 - t) * euler::NETWORK_TIME)?;
        if steps > 1 {
            trace.velocities.push((t, v.clone()));
        }
        Ok(v)
    };
    let mut watch = |progress: euler::Progress<'_>| observe(progress.done, progress.total, progress.estimate);
    let end = euler::sample(noise, steps, &mut velocity, &mut watch)?;
    let path = path::points(noise, &end.latents, 1.0, &trace)?;
    Ok(Run { straightness: end.straightness, path, latents: end.latents })
}

fn diffuse(
    model: &LoadedModel,
    sampler: Sampler,
    noise: &Tensor,
    steps: usize,
    predict: &mut Predict<'_>,
    observe: &mut Observe<'_>,
) -> Result<Run> {
    let schedule = model
        .schedule
        .as_ref()
        .map_err(|why| Error::Setting(format!("{} cannot be drawn with {}: {why}", model.card.name, sampler.name())))?;
    let is_dpm = sampler == Sampler::DpmPlusPlus2M;
    let timesteps = if is_dpm { schedule.dpm(steps) } else { schedule.ddim(steps) };
    let mut trace = Trace::default();
    let mut epsilon = |x: &Tensor, step: usize| -> Result<Tensor> {
        let prediction = predict(x, timesteps.times[step])?;
        schedule.epsilon(x, &prediction, timesteps.levels[step])
    };
    let mut watch = |step: diffusion::Step<'_>| -> Result<()> {
        if steps > 1 {
            let v = rectified::velocity(step.estimate, step.epsilon)?;
            trace.velocities.push((rectified::time(step.level), v));
        }
        observe(step.done, step.total, step.estimate)
    };
    let sample = if is_dpm { dpm::sample } else { ddim::sample };
    let latents = sample(noise, &timesteps, &mut epsilon, &mut watch)?;
    let (first, last) = (timesteps.levels[0], timesteps.levels[steps]);
    let end = rectified::time(last);
    let path = path::points(&rectified::position(noise, first)?, &rectified::position(&latents, last)?, end, &trace)?;
    Ok(Run { straightness: path::straightness(&path, end), path, latents })
}
