//! The noise schedule of a diffusion model, from `scheduler/scheduler_config.json`: how much noise x holds at each time, and
//! what else the config says of the steps, read as Diffusers reads it. Read another key here. A key that would change the
//! steps and is not supported must be refused. The times of a run are in `timesteps.rs`.

use candle_core::Tensor;
use serde_json::{Value, json};

use super::Predicted;
use crate::Result;
use crate::protocol::Prediction;

/// Number of times that the network was trained at. Time 0 is nearly an image and the last is nearly noise.
pub(super) const TIMES: usize = 1000;

/// Schedulers of Diffusers whose configs are supported.
const CLASSES: [&str; 14] = [
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
    "LCMScheduler",
    "TCDScheduler",
];

/// Their options that change the steps and are not supported. `clip_sample` is not among them because Diffusers' pipeline
/// for Stable Diffusion switches it off.
const REFUSED: [&str; 6] = [
    "thresholding",
    "use_exponential_sigmas",
    "use_beta_sigmas",
    "use_lu_lambdas",
    "use_flow_sigmas",
    "euler_at_final",
];

/// Names of options that are supported. DPM-Solver++ treats the names from other solvers as midpoint, as in Diffusers.
const OPTIONS: [(&str, &[&str]); 4] = [
    ("algorithm_type", &["dpmsolver++", "sde-dpmsolver++", "deis"]),
    ("solver_type", &["midpoint", "logrho", "bh1", "bh2"]),
    ("interpolation_type", &["linear"]),
    ("timestep_type", &["discrete"]),
];

/// Numbers that must be absent, because with them the steps would be others.
const ABSENT: [&str; 3] = ["lambda_min_clipped", "sigma_min", "sigma_max"];

/// ᾱ at the last time if that holds no image at all and the sampler divides by α: Diffusers' own choice, the smallest
/// number of f16 that is not 0.
const LEAST_ALPHA: f64 = 1.0 / (1 << 24) as f64;

/// A model's schedule: `x_t = α_t·image + σ_t·noise` with α² + σ² = 1.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "options of a scheduler's config, each independent of the others")]
pub struct Schedule {
    /// ᾱ_t = α_t², the image's share of the variance, at each time.
    pub(super) alphas_cumprod: Vec<f64>,
    prediction: Prediction,
    /// Where the config names none, each sampler has its own.
    pub(super) spacing: Option<Spacing>,
    pub(super) steps_offset: usize,
    /// Whether DDIM ends at an image without noise and not at time 0.
    pub(super) set_alpha_to_one: bool,
    /// Whether the other samplers end at time 0 and not at an image without noise.
    pub(super) ends_at_least_sigma: bool,
    /// Whether levels are spaced as Karras et al. do, by samplers that Diffusers can do that with.
    pub(super) karras: bool,
    /// Times that the model was distilled at (LCM, TCD).
    pub(super) distilled_times: usize,
    /// By how much LCM multiplies times in its boundary condition.
    pub time_scale: f64,
    /// Whether DPM-Solver++ solves the SDE, which adds noise at every step.
    pub is_sde: bool,
    /// How far below the next time TCD goes, as a share of it: 0 adds no noise. Diffusers takes this and the next one as
    /// arguments of a pipeline; a folder may name them here.
    pub eta: f64,
    /// How much of a guided prediction's contrast is taken back: 0 is none of it (see [`super::rescale`]).
    pub guidance_rescale: f64,
}

/// Which of the trained times a run uses ("Common Diffusion Noise Schedules …", arXiv 2305.08891, table 2).
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Spacing {
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
        for (key, known) in OPTIONS {
            one_of(config, key, &known.iter().map(|name| (*name, ())).collect::<Vec<_>>())?;
        }
        let order = whole(config, "solver_order", 2)?;
        if order != 2 {
            return Err(format!("has solver_order = {order}: only 2 is supported"));
        }
        for key in ABSENT {
            // Diffusers' own default of the first, which a config names, bounds nothing.
            if !config[key].is_null() && config[key] != "-Infinity" {
                let value = &config[key];
                return Err(format!("has {key} = {value}, which is not supported: remove it to draw without it"));
            }
        }
        // Diffusers' pipeline replaces any other number in a config, and DDIM's own default, with 1.
        whole(config, "steps_offset", 1)?;
        let outdated = !config["steps_offset"].is_null() || config["_class_name"].as_str() == Some("DDIMScheduler");
        let mut alphas_cumprod = alphas_cumprod(config)?;
        let prediction = one_of(config, "prediction_type", &PREDICTIONS)?.unwrap_or(Prediction::Epsilon);
        if config["rescale_betas_zero_snr"].as_bool() == Some(true) {
            rescale_to_no_image(&mut alphas_cumprod);
        }
        let share = |key: &str| -> Result<f64, String> {
            let value = number(config, key, 0.0)?;
            if (0.0..=1.0).contains(&value) {
                return Ok(value);
            }
            Err(format!("has {key} = {value}, but a number from 0 to 1 is expected"))
        };
        let distilled_times = whole(config, "original_inference_steps", 50)?;
        if !(1..=TIMES as u64).contains(&distilled_times) {
            return Err(format!("has original_inference_steps = {distilled_times}: it must be 1 to {TIMES}"));
        }
        Ok(Self {
            alphas_cumprod,
            prediction,
            spacing: one_of(config, "timestep_spacing", &SPACINGS)?,
            steps_offset: usize::from(outdated),
            set_alpha_to_one: config["set_alpha_to_one"].as_bool().unwrap_or(true),
            ends_at_least_sigma: one_of(config, "final_sigmas_type", &[("zero", false), ("sigma_min", true)])?
                .unwrap_or(false),
            karras: config["use_karras_sigmas"].as_bool().unwrap_or(false),
            distilled_times: distilled_times as usize,
            time_scale: number(config, "timestep_scaling", 10.0)?,
            is_sde: config["algorithm_type"].as_str() == Some("sde-dpmsolver++"),
            eta: share("eta")?,
            guidance_rescale: share("guidance_rescale")?,
        })
    }

    /// Stable Diffusion's own, for models that come without a config.
    pub fn stable_diffusion() -> Result<Self, String> {
        Self::from_json(&json!({
            "beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "steps_offset": 1,
            "set_alpha_to_one": false,
        }))
    }

    /// The same for a network that predicts this. A flow's velocity is no prediction of a diffusion, so it changes nothing.
    #[must_use]
    pub fn predicting(self, prediction: Prediction) -> Self {
        if prediction == Prediction::Flow { self } else { Self { prediction, ..self } }
    }

    /// The image and the noise in x (B, C, h, w) at this level, from the network's output there.
    pub fn predicted(&self, x: &Tensor, output: &Tensor, level: NoiseLevel) -> Result<Predicted> {
        let NoiseLevel { alpha, sigma } = level;
        Ok(match self.prediction {
            Prediction::Epsilon | Prediction::Flow => {
                Predicted { image: ((x - (output * sigma)?)? / alpha)?, epsilon: output.clone() }
            }
            Prediction::V => {
                Predicted { image: ((x * alpha)? - (output * sigma)?)?, epsilon: ((output * alpha)? + (x * sigma)?)? }
            }
            Prediction::Sample => Predicted { image: output.clone(), epsilon: ((x - (output * alpha)?)? / sigma)? },
        })
    }

    /// The level at one of the trained times. If x holds no image there, only v can say what the image is, and only to a
    /// sampler that does not divide by α.
    pub(super) fn level(&self, time: usize, divides: bool) -> NoiseLevel {
        let alpha_cumprod = self.alphas_cumprod[time.min(TIMES - 1)];
        let divides = divides || self.prediction != Prediction::V;
        NoiseLevel::of(if divides { alpha_cumprod.max(LEAST_ALPHA) } else { alpha_cumprod })
    }

    /// ᾱ at one of the trained times.
    pub fn alpha_cumprod(&self, time: usize) -> f64 {
        self.alphas_cumprod[time.min(TIMES - 1)]
    }

    /// σ̄ = σ/α at each of the trained times; finite.
    pub(super) fn ratios(&self) -> Vec<f64> {
        self.alphas_cumprod.iter().map(|alpha| NoiseLevel::of(alpha.max(LEAST_ALPHA)).ratio()).collect()
    }
}

impl NoiseLevel {
    /// The level at which the image has this share of the variance.
    pub fn of(alpha_cumprod: f64) -> Self {
        Self { alpha: alpha_cumprod.sqrt(), sigma: (1.0 - alpha_cumprod).sqrt() }
    }

    /// The level of `image + σ̄·noise`, scaled to a variance of 1.
    pub fn of_ratio(ratio: f64) -> Self {
        let alpha = 1.0 / ratio.hypot(1.0);
        Self { alpha, sigma: ratio * alpha }
    }

    /// An image without noise.
    pub const IMAGE: Self = Self { alpha: 1.0, sigma: 0.0 };

    /// σ̄ = σ/α, the noise's standard deviation beside an image that is not scaled.
    pub fn ratio(self) -> f64 {
        self.sigma / self.alpha
    }

    /// λ = ln(α/σ), half the logarithm of the signal-to-noise ratio; infinite if no noise is left.
    pub fn lambda(self) -> f64 {
        (self.alpha / self.sigma).ln()
    }
}

const PREDICTIONS: [(&str, Prediction); 3] =
    [("epsilon", Prediction::Epsilon), ("v_prediction", Prediction::V), ("sample", Prediction::Sample)];

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

/// Shifts and stretches α so that the last time holds no image (arXiv 2305.08891, algorithm 1).
fn rescale_to_no_image(alphas_cumprod: &mut [f64]) {
    let (Some(first), Some(last)) = (alphas_cumprod.first().copied(), alphas_cumprod.last().copied()) else { return };
    let (first, last) = (first.sqrt(), last.sqrt());
    for alpha in alphas_cumprod {
        *alpha = ((alpha.sqrt() - last) * first / (first - last)).powi(2);
    }
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
