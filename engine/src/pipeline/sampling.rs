//! From noise to latents with the chosen sampler, and the path that it took. Call a new sampler from here.

use std::sync::Arc;

use candle_core::Tensor;

use super::loaded_model::LoadedModel;
use super::path::{self, Trace};
use crate::diffusion::{
    self, Fresh, NoiseLevel, Schedule, Timesteps, ddim, dpm, euler, euler_ancestral, heun, lcm, lms, rectified, tcd,
    unipc,
};
use crate::flow::euler::{self as flow, NETWORK_TIME, Progress, Stride};
use crate::flow::windows::Windows;
use crate::protocol::{NoiseSchedule, PathPoint, Prediction, Sampler};
use crate::{Error, Result};

/// What to run.
#[derive(Clone, Copy)]
pub(super) struct Run {
    pub sampler: Sampler,
    /// What was asked for in place of the model's own schedule.
    pub schedule: Option<NoiseSchedule>,
    /// At least 1.
    pub steps: usize,
}

/// The result of a run.
pub(super) struct Ran {
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

impl Run {
    /// Takes its steps from `noise` (1, C, h, w). `fresh` gives more noise of that shape.
    pub(super) fn run(
        self,
        model: &LoadedModel,
        noise: &Tensor,
        predict: &mut Predict<'_>,
        fresh: &mut Fresh<'_>,
        observe: &mut Observe<'_>,
    ) -> Result<Ran> {
        let recipe = &model.recipe;
        if self.sampler.is_diffusion() {
            return diffuse(
                model.schedule(self.sampler)?,
                &self.timesteps(model)?,
                self,
                noise,
                predict,
                fresh,
                observe,
            );
        }
        match recipe.windows.filter(|_| recipe.prediction != Prediction::Flow) {
            None => euler_flow(noise, &flow::even(self.steps), &mut |_, v, _| Ok(v), predict, observe),
            Some(count) => {
                let schedule = model.schedule(self.sampler)?;
                let windows = Windows::new(count, |time| schedule.alpha_cumprod(time));
                let mut velocity = |z: &Tensor, epsilon: Tensor, t: f64| windows.velocity(z, &epsilon, t);
                euler_flow(noise, &windows.strides(self.steps), &mut velocity, predict, observe)
            }
        }
    }

    /// The times of a diffusion: what was asked for, else the recipe's, else the scheduler's.
    fn timesteps(self, model: &LoadedModel) -> Result<Timesteps> {
        let (schedule, recipe) = (model.schedule(self.sampler)?, &model.recipe);
        Ok(match self.schedule {
            None if recipe.sampler == self.sampler && recipe.times.len() == self.steps => {
                schedule.at(&recipe.times, self.sampler)
            }
            asked => schedule.timesteps(self.sampler, self.steps, asked.or(recipe.schedule)),
        })
    }
}

/// Gives the velocity at x and time t, from what the network predicts there.
type Velocity<'a> = dyn FnMut(&Tensor, Tensor, f64) -> Result<Tensor> + 'a;

fn euler_flow(
    noise: &Tensor,
    strides: &[Stride],
    velocity: &mut Velocity<'_>,
    predict: &mut Predict<'_>,
    observe: &mut Observe<'_>,
) -> Result<Ran> {
    let mut trace = Trace::default();
    let mut velocity = |x: &Tensor, t: f64| -> Result<Tensor> {
        let predicted = predict(x, (1.0 - t) * NETWORK_TIME)?;
        let v = velocity(x, predicted, t)?;
        if strides.len() > 1 {
            trace.velocities.push((t, v.clone()));
        }
        Ok(v)
    };
    let mut watch = |progress: Progress<'_>| observe(progress.done, progress.total, progress.estimate);
    let end = flow::sample(noise, strides, &mut velocity, &mut watch)?;
    let path = path::points(noise, &end.latents, 1.0, &trace)?;
    Ok(Ran { straightness: end.straightness, path, latents: end.latents })
}

fn diffuse(
    schedule: &Schedule,
    timesteps: &Timesteps,
    run: Run,
    noise: &Tensor,
    predict: &mut Predict<'_>,
    fresh: &mut Fresh<'_>,
    observe: &mut Observe<'_>,
) -> Result<Ran> {
    let steps = timesteps.times.len();
    // Noise on the way makes a path that is nobody's.
    let mut is_stochastic = false;
    let mut fresh = || {
        is_stochastic = true;
        fresh()
    };
    let mut trace = Trace::default();
    let mut predict = |x: &Tensor, time: f64, level: NoiseLevel| {
        let output = predict(x, time)?;
        schedule.predicted(x, &output, level)
    };
    let mut watch = |step: diffusion::Step<'_>| -> Result<()> {
        if steps > 1 {
            let v = rectified::velocity(step.estimate, step.epsilon)?;
            trace.velocities.push((rectified::time(step.level), v));
        }
        observe(step.done, step.total, step.estimate)
    };
    let (predict, watch, fresh) = (&mut predict, &mut watch, &mut fresh);
    let latents = match run.sampler {
        Sampler::DpmPlusPlus2M if schedule.is_sde => dpm::sample(noise, timesteps, predict, Some(fresh), watch)?,
        Sampler::DpmPlusPlus2M => dpm::sample(noise, timesteps, predict, None, watch)?,
        Sampler::Ddim => ddim::sample(noise, timesteps, predict, watch)?,
        Sampler::EulerAncestral => euler_ancestral::sample(noise, timesteps, predict, fresh, watch)?,
        Sampler::UniPc => unipc::sample(noise, timesteps, predict, watch)?,
        Sampler::Heun => heun::sample(noise, timesteps, predict, watch)?,
        Sampler::Lms => lms::sample(noise, timesteps, predict, watch)?,
        Sampler::Lcm => lcm::sample(noise, timesteps, schedule.time_scale, predict, fresh, watch)?,
        Sampler::Tcd => tcd::sample(noise, timesteps, &schedule.below(timesteps), predict, fresh, watch)?,
        // A flow's sampler does not come here.
        Sampler::Euler | Sampler::Flow => euler::sample(noise, timesteps, predict, watch)?,
    };
    let ends = timesteps.levels.first().zip(timesteps.levels.last());
    let Some((first, last)) = ends.filter(|_| !is_stochastic) else {
        return Ok(Ran { straightness: None, path: [].into(), latents });
    };
    let end = rectified::time(*last);
    let start = rectified::position(&(noise * timesteps.start)?, *first)?;
    let path = path::points(&start, &rectified::position(&latents, *last)?, end, &trace)?;
    Ok(Ran { straightness: path::straightness(&path, end), path, latents })
}

impl LoadedModel {
    /// The noise schedule for a diffusion model's sampler.
    pub(super) fn schedule(&self, sampler: Sampler) -> Result<&Schedule> {
        let why =
            |why: &String| Error::Setting(format!("{} cannot be drawn with {}: {why}", self.card.name, sampler.name()));
        self.schedule.as_ref().map_err(why)
    }
}

#[cfg(test)]
mod tests;
