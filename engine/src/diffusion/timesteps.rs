//! The times of a run and the noise levels there, for each sampler as in Diffusers' scheduler of that name. Give a new
//! sampler its times here.

use super::schedule::{NoiseLevel, Schedule, Spacing, TIMES};
use crate::protocol::{NoiseSchedule, Sampler};

/// The exponent of Karras et al.
const RHO: f64 = 7.0;

/// The times of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Timesteps {
    /// The time that the network is given before each step.
    pub times: Vec<f64>,
    /// The noise level at each of these times and at the end: one more than `times`.
    pub levels: Vec<NoiseLevel>,
    /// What the noise is multiplied with to become the first x: Diffusers' `init_noise_sigma`, times the first level's α if
    /// its scheduler keeps `image + σ̄·noise`.
    pub start: f64,
}

/// How Diffusers' schedulers choose times.
#[derive(Clone, Copy, PartialEq)]
enum Family {
    /// N times, each leading to the next.
    Ddim,
    /// N + 1 times, the last of which is left out.
    Multistep,
    /// N times, between the trained ones if need be, and levels between theirs.
    Continuous,
    /// Some of the times that the model was distilled at.
    Distilled,
}

impl Family {
    fn of(sampler: Sampler) -> Self {
        match sampler {
            Sampler::Ddim => Self::Ddim,
            Sampler::DpmPlusPlus2M | Sampler::UniPc => Self::Multistep,
            Sampler::Lcm | Sampler::Tcd => Self::Distilled,
            Sampler::Euler | Sampler::EulerAncestral | Sampler::Heun | Sampler::Lms | Sampler::Flow => Self::Continuous,
        }
    }
}

impl Schedule {
    /// The times of `steps` steps, at least 1, of a sampler. `asked` goes before what the config says, and is ignored by
    /// samplers that have times of their own. DDIM's steps lead to the next time; Diffusers goes down by 1000/`steps`
    /// instead, which differs only for linspace, and for trailing if `steps` does not divide 1000.
    pub fn timesteps(&self, sampler: Sampler, steps: usize, asked: Option<NoiseSchedule>) -> Timesteps {
        let (family, steps) = (Family::of(sampler), steps.max(1));
        let spacing = match asked {
            Some(NoiseSchedule::Trailing) => Spacing::Trailing,
            Some(NoiseSchedule::Linspace) => Spacing::Linspace,
            Some(NoiseSchedule::Karras) | None => {
                self.spacing.unwrap_or(if family == Family::Ddim { Spacing::Leading } else { Spacing::Linspace })
            }
        };
        let karras = match asked {
            Some(asked) => asked == NoiseSchedule::Karras,
            // Diffusers' DDIM and its ancestral Euler do not know the option.
            None => self.karras && !matches!(sampler, Sampler::Ddim | Sampler::EulerAncestral),
        };
        let end = self.end(sampler);
        if family == Family::Distilled {
            return self.at(&self.distilled(steps), sampler);
        }
        if family == Family::Continuous {
            return self.continuous(steps, spacing, karras, end);
        }
        if karras {
            let ratios = self.ratios();
            let levels = karras_ratios(ratios[TIMES - 1], ratios[0], steps);
            let times = levels.iter().map(|ratio| time_of(&ratios, *ratio).round_ties_even()).collect();
            let levels = levels.into_iter().map(NoiseLevel::of_ratio).chain([end]).collect();
            return Timesteps { times, levels, start: 1.0 };
        }
        let count = if family == Family::Multistep { steps + 1 } else { steps };
        let mut times = match spacing {
            Spacing::Leading => backwards(count, |step| step * (TIMES / count) + self.steps_offset),
            Spacing::Linspace => backwards(count, |step| linspace(step, count).round_ties_even() as usize),
            Spacing::Trailing => trailing(steps),
        };
        times.truncate(steps);
        self.at(&times, sampler)
    }

    /// A run at these times, the noisiest first, each below 1000.
    pub fn at(&self, times: &[usize], sampler: Sampler) -> Timesteps {
        let family = Family::of(sampler);
        let divides = !matches!(family, Family::Ddim | Family::Distilled);
        let levels: Vec<_> = times.iter().map(|time| self.level(*time, divides)).chain([self.end(sampler)]).collect();
        let start = if family == Family::Continuous { levels[0].sigma } else { 1.0 };
        Timesteps { times: times.iter().map(|time| *time as f64).collect(), levels, start }
    }

    /// The most steps of a sampler.
    pub fn most_steps(&self, sampler: Sampler) -> usize {
        if Family::of(sampler) == Family::Distilled { self.distilled_times } else { TIMES - 1 }
    }

    /// The level that each step of TCD goes down to, before noise leads up to the next time.
    pub fn below(&self, timesteps: &Timesteps) -> Vec<NoiseLevel> {
        let next = timesteps.times.iter().skip(1).copied().chain([0.0]);
        next.map(|time| self.level(((1.0 - self.eta) * time).floor() as usize, false)).collect()
    }

    /// Where a run ends.
    fn end(&self, sampler: Sampler) -> NoiseLevel {
        let at_least_time = match Family::of(sampler) {
            Family::Ddim => !self.set_alpha_to_one,
            Family::Distilled => sampler == Sampler::Tcd,
            Family::Multistep => self.ends_at_least_sigma,
            Family::Continuous => self.ends_at_least_sigma && sampler == Sampler::Euler,
        };
        if at_least_time { self.level(0, false) } else { NoiseLevel::IMAGE }
    }

    fn continuous(&self, steps: usize, spacing: Spacing, karras: bool, end: NoiseLevel) -> Timesteps {
        let mut times: Vec<f64> = match spacing {
            Spacing::Leading => {
                let times = backwards(steps, |step| step * (TIMES / steps) + self.steps_offset);
                times.into_iter().map(|time| time as f64).collect()
            }
            Spacing::Linspace => (0..steps).rev().map(|step| linspace(step, steps)).collect(),
            Spacing::Trailing => trailing(steps).into_iter().map(|time| time as f64).collect(),
        };
        let ratios = self.ratios();
        let mut levels: Vec<f64> = times.iter().map(|time| between(&ratios, *time)).collect();
        if karras {
            levels = karras_ratios(levels[0], levels[steps - 1], steps);
            times = levels.iter().map(|ratio| time_of(&ratios, *ratio)).collect();
        }
        let levels: Vec<_> = levels.into_iter().map(NoiseLevel::of_ratio).chain([end]).collect();
        let start = if spacing == Spacing::Leading { 1.0 } else { levels[0].sigma };
        Timesteps { times, levels, start }
    }

    /// Evenly chosen from the times that a model was distilled at, which are evenly spaced and end at the last one.
    fn distilled(&self, steps: usize) -> Vec<usize> {
        let count = self.distilled_times;
        let apart = TIMES / count;
        let steps = steps.min(count);
        (0..steps).map(|step| (count - step * count / steps) * apart - 1).collect()
    }
}

/// The times of ascending steps, the noisiest first.
fn backwards(steps: usize, time: impl Fn(usize) -> usize) -> Vec<usize> {
    (0..steps).rev().map(time).collect()
}

/// Time `step` of `count` from 0 to the last.
fn linspace(step: usize, count: usize) -> f64 {
    step as f64 * ((TIMES - 1) as f64 / count.saturating_sub(1).max(1) as f64)
}

/// Evenly from the last time down, without 0.
fn trailing(steps: usize) -> Vec<usize> {
    let apart = TIMES as f64 / steps as f64;
    (0..steps).map(|step| (TIMES as f64 - step as f64 * apart).round_ties_even() as usize - 1).collect()
}

/// The value at a time that may lie between two of the table.
fn between(table: &[f64], time: f64) -> f64 {
    let below = (time.max(0.0) as usize).min(table.len() - 1);
    let above = (below + 1).min(table.len() - 1);
    table[below] + (table[above] - table[below]) * (time - below as f64)
}

/// σ̄ from the greatest to the least, evenly in its seventh root.
fn karras_ratios(greatest: f64, least: f64, steps: usize) -> Vec<f64> {
    let (from, to) = (greatest.powf(1.0 / RHO), least.powf(1.0 / RHO));
    let share = |step: usize| step as f64 / steps.saturating_sub(1).max(1) as f64;
    (0..steps).map(|step| (from + share(step) * (to - from)).powf(RHO)).collect()
}

/// The time at which σ̄ has this value, between trained times by its logarithm.
fn time_of(ratios: &[f64], ratio: f64) -> f64 {
    let log = ratio.max(1e-10).ln();
    let below = ratios.iter().rposition(|known| known.ln() <= log).unwrap_or(0).min(ratios.len() - 2);
    let (low, high) = (ratios[below].ln(), ratios[below + 1].ln());
    below as f64 + ((log - low) / (high - low)).clamp(0.0, 1.0)
}
