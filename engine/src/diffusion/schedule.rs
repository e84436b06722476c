//! The noise schedule of Stable Diffusion, from `scheduler/scheduler_config.json`: how much noise x holds at each time, and
//! the times of a run of N steps, computed as in Diffusers. Read another key here. A key that would change the steps and
//! is not supported must be refused.

use candle_core::Tensor;
use serde_json::Value;

use crate::Result;

/// Number of times that the network was trained at. Time 0 is nearly an image and the last is nearly noise.
const TIMES: usize = 1000;

/// Schedulers of Diffusers whose configs are supported.
const CLASSES: [&str; 12] = [
    "PNDMScheduler",
    "DDIMScheduler",
    "DDPMScheduler",
    "DPMSolverMultistepScheduler",
    "DPMSolverSinglestepScheduler",
    "UniPCMultistepScheduler",
    "DEISMultistepScheduler",
    "LMSDiscreteScheduler",
    "EulerDiscreteScheduler",
    "EulerAncestralDiscreteScheduler",
    "HeunDiscreteScheduler",
    "KDPM2DiscreteScheduler",
];

/// Their options that change the steps and are not supported. `clip_sample` is not among them because Diffusers' pipeline
/// for Stable Diffusion switches it off.
const REFUSED: [&str; 8] = [
    "thresholding",
    "rescale_betas_zero_snr",
    "use_karras_sigmas",
    "use_exponential_sigmas",
    "use_beta_sigmas",
    "use_lu_lambdas",
    "use_flow_sigmas",
    "euler_at_final",
];

/// Supported options of DPM-Solver++. In Diffusers it treats the names from other solvers as midpoint.
const SOLVERS: [(&str, &[&str]); 2] =
    [("algorithm_type", &["dpmsolver++", "deis"]), ("solver_type", &["midpoint", "logrho", "bh1", "bh2"])];

/// A model's schedule: `x_t = α_t·image + σ_t·noise` with α² + σ² = 1.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    /// ᾱ_t = α_t², the image's share of the variance, at each time.
    alphas_cumprod: Vec<f64>,
    prediction: Prediction,
    ddim_spacing: Spacing,
    dpm_spacing: Spacing,
    steps_offset: usize,
    /// Whether DDIM ends at an image without noise and not at time 0.
    set_alpha_to_one: bool,
    /// Whether DPM-Solver++ ends at time 0 and not at an image without noise.
    ends_at_least_sigma: bool,
}

/// What the network predicts.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Prediction {
    /// The noise ε.
    Epsilon,
    /// v = α·ε − σ·image (Salimans & Ho, 2022, arXiv 2202.00512).
    V,
}

/// Which of the trained times a run uses ("Common Diffusion Noise Schedules …", arXiv 2305.08891, table 2).
#[derive(Clone, Copy, Debug, PartialEq)]
enum Spacing {
    Linspace,
    Leading,
    Trailing,
}

/// How much image and how much noise x holds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NoiseLevel {
    /// The image's factor α.
    pub alpha: f64,
    /// The noise's factor σ.
    pub sigma: f64,
}

/// The times of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Timesteps {
    /// The time that the network is given before each step.
    pub times: Vec<f64>,
    /// The noise level at each of these times and at the end: one more than `times`.
    pub levels: Vec<NoiseLevel>,
}

impl Schedule {
    /// Reads a `scheduler_config.json`. The error is a sentence whose subject, the file, is left out.
    pub fn from_json(config: &Value) -> Result<Self, String> {
        if let Some(class) = config["_class_name"].as_str().filter(|class| !CLASSES.contains(class)) {
            return Err(format!("names the unsupported scheduler {class}: use Stable Diffusion's PNDMScheduler"));
        }
        for key in REFUSED {
            if config[key].as_bool() == Some(true) {
                return Err(format!("has {key} = true, which is not supported: set it to false to draw without it"));
            }
        }
        if !config["trained_betas"].is_null() {
            return Err(
                "has trained_betas, which are not supported: give beta_start, beta_end and beta_schedule".into()
            );
        }
        let times = whole(config, "num_train_timesteps", TIMES as u64)?;
        if times != TIMES as u64 {
            return Err(format!("has num_train_timesteps = {times}: Stable Diffusion has {TIMES}"));
        }
        for (key, known) in SOLVERS {
            one_of(config, key, &known.iter().map(|name| (*name, ())).collect::<Vec<_>>())?;
        }
        let order = whole(config, "solver_order", 2)?;
        if order != 2 {
            return Err(format!("has solver_order = {order}: only 2 is supported"));
        }
        if let Some(least) = config["lambda_min_clipped"].as_f64() {
            return Err(format!(
                "has lambda_min_clipped = {least}, which is not supported: remove it to draw without it"
            ));
        }
        // Diffusers' pipeline replaces any other number in a config, and DDIM's own default, with 1.
        whole(config, "steps_offset", 1)?;
        let outdated = !config["steps_offset"].is_null() || config["_class_name"].as_str() == Some("DDIMScheduler");
        let spacing = one_of(config, "timestep_spacing", &SPACINGS)?;
        Ok(Self {
            alphas_cumprod: alphas_cumprod(config)?,
            prediction: one_of(config, "prediction_type", &PREDICTIONS)?.unwrap_or(Prediction::Epsilon),
            ddim_spacing: spacing.unwrap_or(Spacing::Leading),
            dpm_spacing: spacing.unwrap_or(Spacing::Linspace),
            steps_offset: usize::from(outdated),
            set_alpha_to_one: config["set_alpha_to_one"].as_bool().unwrap_or(true),
            ends_at_least_sigma: one_of(config, "final_sigmas_type", &[("zero", false), ("sigma_min", true)])?
                .unwrap_or(false),
        })
    }

    /// The times of `steps` steps of DDIM. Each step leads to the next of these times. Diffusers goes down by 1000/`steps`
    /// instead, which differs only for linspace, and for trailing if `steps` does not divide 1000.
    pub fn ddim(&self, steps: usize) -> Timesteps {
        let times = match self.ddim_spacing {
            Spacing::Leading => backwards(steps, |step| step * (TIMES / steps) + self.steps_offset),
            Spacing::Linspace => backwards(steps, |step| linspace(step, steps)),
            Spacing::Trailing => trailing(steps),
        };
        let end = if self.set_alpha_to_one { 1.0 } else { self.alphas_cumprod[0] };
        self.timesteps(times, NoiseLevel::of(end))
    }

    /// The times of `steps` steps of DPM-Solver++.
    pub fn dpm(&self, steps: usize) -> Timesteps {
        // One more time than there are steps; the smallest is left out.
        let mut times = match self.dpm_spacing {
            Spacing::Leading => backwards(steps + 1, |step| step * (TIMES / (steps + 1)) + self.steps_offset),
            Spacing::Linspace => backwards(steps + 1, |step| linspace(step, steps + 1)),
            Spacing::Trailing => trailing(steps),
        };
        times.truncate(steps);
        let end = if self.ends_at_least_sigma { self.alphas_cumprod[0] } else { 1.0 };
        self.timesteps(times, NoiseLevel::of(end))
    }

    /// The noise in x (B, C, h, w) at this level, from the network's prediction there.
    pub fn epsilon(&self, x: &Tensor, prediction: &Tensor, level: NoiseLevel) -> Result<Tensor> {
        match self.prediction {
            Prediction::Epsilon => Ok(prediction.clone()),
            Prediction::V => Ok(((prediction * level.alpha)? + (x * level.sigma)?)?),
        }
    }

    fn timesteps(&self, times: Vec<usize>, end: NoiseLevel) -> Timesteps {
        let levels = times.iter().map(|time| NoiseLevel::of(self.alphas_cumprod[*time])).chain([end]).collect();
        Timesteps { times: times.into_iter().map(|time| time as f64).collect(), levels }
    }
}

impl NoiseLevel {
    /// The level at which the image has this share of the variance.
    pub fn of(alpha_cumprod: f64) -> Self {
        Self { alpha: alpha_cumprod.sqrt(), sigma: (1.0 - alpha_cumprod).sqrt() }
    }

    /// λ = ln(α/σ), half the logarithm of the signal-to-noise ratio; infinite if no noise is left.
    pub fn lambda(self) -> f64 {
        (self.alpha / self.sigma).ln()
    }

    /// The image in x without the noise ε: (x − σ·ε)/α.
    pub fn image(self, x: &Tensor, epsilon: &Tensor) -> Result<Tensor> {
        Ok(((x - (epsilon * self.sigma)?)? / self.alpha)?)
    }
}

const PREDICTIONS: [(&str, Prediction); 2] = [("epsilon", Prediction::Epsilon), ("v_prediction", Prediction::V)];

const SPACINGS: [(&str, Spacing); 3] =
    [("linspace", Spacing::Linspace), ("leading", Spacing::Leading), ("trailing", Spacing::Trailing)];

/// ᾱ_t = ∏(1 − β). Either β or its square root grows linearly with time.
fn alphas_cumprod(config: &Value) -> Result<Vec<f64>, String> {
    // Anything that a config omits has Diffusers' default.
    let (start, end) = (number(config, "beta_start", 0.0001)?, number(config, "beta_end", 0.02)?);
    if !(0.0 < start && start <= end && end < 1.0) {
        return Err(format!(
            "has beta_start = {start} and beta_end = {end}: both must lie between 0 and 1, in this order"
        ));
    }
    let rooted = one_of(config, "beta_schedule", &[("linear", false), ("scaled_linear", true)])?.unwrap_or(false);
    let beta = |time: usize| {
        let part = time as f64 / (TIMES - 1) as f64;
        let between = |start: f64, end: f64| start + (end - start) * part;
        if rooted { between(start.sqrt(), end.sqrt()).powi(2) } else { between(start, end) }
    };
    let product = |left: &mut f64, time: usize| {
        *left *= 1.0 - beta(time);
        Some(*left)
    };
    Ok((0..TIMES).scan(1.0, product).collect())
}

/// The times of ascending steps, the noisiest first.
fn backwards(steps: usize, time: impl Fn(usize) -> usize) -> Vec<usize> {
    (0..steps).rev().map(time).collect()
}

/// Time `step` of `count` from 0 to the last, rounded as NumPy rounds.
fn linspace(step: usize, count: usize) -> usize {
    let apart = (TIMES - 1) as f64 / count.saturating_sub(1).max(1) as f64;
    (step as f64 * apart).round_ties_even() as usize
}

/// Evenly from the last time down, without 0.
fn trailing(steps: usize) -> Vec<usize> {
    let apart = TIMES as f64 / steps as f64;
    (0..steps).map(|step| (TIMES as f64 - step as f64 * apart).round_ties_even() as usize - 1).collect()
}

fn number(config: &Value, key: &str, default: f64) -> Result<f64, String> {
    match &config[key] {
        Value::Null => Ok(default),
        value => value.as_f64().ok_or_else(|| format!("has {key} = {value}, but a number is expected")),
    }
}

fn whole(config: &Value, key: &str, default: u64) -> Result<u64, String> {
    match &config[key] {
        Value::Null => Ok(default),
        value => value.as_u64().ok_or_else(|| format!("has {key} = {value}, but a whole number is expected")),
    }
}

/// The value that belongs to the name in the config; `None` if the config does not say.
fn one_of<T: Copy>(config: &Value, key: &str, known: &[(&str, T)]) -> Result<Option<T>, String> {
    if config[key].is_null() {
        return Ok(None);
    }
    let found = known.iter().find(|(name, _)| config[key].as_str() == Some(name)).map(|(_, value)| *value);
    let names = || known.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
    found.map(Some).ok_or_else(|| format!("has {key} = {}: supported are {}", config[key], names()))
}

#[cfg(test)]
mod tests;
