//! The schedule held to what is known of Stable Diffusion's and of Diffusers' schedulers.

use instaflow_test_support::{Tolerance, assert_close};
use serde_json::json;

use super::*;
use crate::diffusion::Timesteps;
use crate::protocol::Sampler;

impl Schedule {
    fn ddim(&self, steps: usize) -> Timesteps {
        self.timesteps(Sampler::Ddim, steps, None)
    }

    fn dpm(&self, steps: usize) -> Timesteps {
        self.timesteps(Sampler::DpmPlusPlus2M, steps, None)
    }
}

fn config() -> Value {
    json!({
        "beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "steps_offset": 1,
        "set_alpha_to_one": false, "trained_betas": null, "timestep_spacing": "leading"
    })
}

/// ᾱ of Stable Diffusion 1.5 at its first and last time; the last is what arXiv 2305.08891 complains of: a
/// signal-to-noise ratio of 0.0047 although there should be only noise.
#[test]
fn stable_diffusions_noise_is_what_is_known_of_it() {
    let schedule = Schedule::from_json(&config()).unwrap();
    let (first, last) = (schedule.alphas_cumprod[0], schedule.alphas_cumprod[TIMES - 1]);
    assert_close(first, 1.0 - 0.00085, Tolerance::absolute(1e-12));
    assert_close(last, 0.0047, Tolerance::absolute(5e-5));
    assert!(schedule.alphas_cumprod.windows(2).all(|pair| pair[0] > pair[1]));
}

#[test]
fn runs_stop_where_diffusers_does() {
    let schedule = |class: &str, spacing: &str| {
        let mut config = config();
        (config["_class_name"], config["timestep_spacing"]) = (class.into(), spacing.into());
        Schedule::from_json(&config).unwrap()
    };
    let ddim = |spacing| schedule("DDIMScheduler", spacing).ddim(4).times;
    assert_eq!(ddim("leading"), [751.0, 501.0, 251.0, 1.0]);
    assert_eq!(ddim("linspace"), [999.0, 666.0, 333.0, 0.0]);
    assert_eq!(ddim("trailing"), [999.0, 749.0, 499.0, 249.0]);
    let dpm = |spacing| schedule("DPMSolverMultistepScheduler", spacing).dpm(4).times;
    assert_eq!(dpm("leading"), [801.0, 601.0, 401.0, 201.0]);
    assert_eq!(dpm("linspace"), [999.0, 749.0, 500.0, 250.0]);
    assert_eq!(dpm("trailing"), ddim("trailing"));
    // Settings of another class are used, as with `from_config`. Each sampler has its own default.
    let other = schedule("PNDMScheduler", "trailing");
    assert_eq!((other.ddim(4).times, other.dpm(4).times), (ddim("trailing"), dpm("trailing")));
    let mut silent = config();
    silent["timestep_spacing"] = Value::Null;
    let silent = Schedule::from_json(&silent).unwrap();
    assert_eq!((silent.ddim(4).times, silent.dpm(4).times), (ddim("leading"), dpm("linspace")));
    // Diffusers 0.42.1: `DPMSolverMultistepScheduler.from_config` of Stable Diffusion's PNDM config as it is saved now.
    let saved = schedule("PNDMScheduler", "leading").dpm(25).times;
    assert_eq!((&saved[..3], &saved[23..]), (&[951.0, 913.0, 875.0][..], &[77.0, 39.0][..]));
    for steps in 1..=50 {
        for spacing in ["leading", "linspace", "trailing"] {
            let ddim = schedule("DDIMScheduler", spacing).ddim(steps);
            for timesteps in [ddim, schedule("DPMSolverMultistepScheduler", spacing).dpm(steps)] {
                assert_eq!((timesteps.times.len(), timesteps.levels.len()), (steps, steps + 1));
                assert!(timesteps.times.windows(2).all(|pair| pair[0] > pair[1]), "{:?}", timesteps.times);
                assert!(timesteps.levels.windows(2).all(|pair| pair[0].alpha <= pair[1].alpha));
            }
        }
    }
    assert_close(other.dpm(4).levels[4].alpha, 1.0, Tolerance::absolute(1e-12));
    assert!(other.ddim(4).levels[4].sigma > 0.02, "set_alpha_to_one is off");
}

#[test]
fn what_is_unknown_is_refused() {
    for (key, value, words) in [
        ("_class_name", json!("DDPMWuerstchenScheduler"), "DDPMWuerstchenScheduler"),
        ("beta_schedule", json!("squaredcos_cap_v2"), "supported are linear, scaled_linear"),
        ("beta_start", json!("much"), "but a number is expected"),
        ("beta_end", json!(1.5), "between 0 and 1"),
        ("prediction_type", json!("flow_prediction"), "supported are epsilon, v_prediction"),
        ("timestep_spacing", json!(7), "supported are linspace"),
        ("algorithm_type", json!("sde-dpmsolver"), "supported are dpmsolver++, sde-dpmsolver++"),
        ("solver_type", json!("heun"), "supported are midpoint"),
        ("solver_order", json!(3), "only 2 is supported"),
        ("lambda_min_clipped", json!(-5.1), "lambda_min_clipped = -5.1"),
        ("steps_offset", json!(-1), "whole number"),
        ("num_train_timesteps", json!(100), "has 1000"),
        ("trained_betas", json!([0.1]), "trained_betas"),
        ("thresholding", json!(true), "thresholding = true"),
        ("use_beta_sigmas", json!(true), "use_beta_sigmas"),
        ("sigma_min", json!(0.1), "sigma_min = 0.1"),
        ("timestep_type", json!("continuous"), "supported are discrete"),
        ("original_inference_steps", json!(0), "original_inference_steps"),
        ("eta", json!(2), "from 0 to 1"),
    ] {
        let mut config = config();
        config[key] = value;
        let error = Schedule::from_json(&config).unwrap_err();
        assert!(error.contains(words), "{error}");
    }
    assert!(Schedule::from_json(&json!({})).is_ok(), "Diffusers' defaults");
    // What a bound that Python writes as an infinity has become when the file was read.
    assert!(Schedule::from_json(&json!({ "lambda_min_clipped": "-Infinity" })).is_ok());
    let not_a_number = Schedule::from_json(&json!({ "beta_end": "NaN" })).unwrap_err();
    assert!(not_a_number.contains("beta_end"), "{not_a_number}");
}

/// `StableDiffusionPipeline.__init__` mends these, whatever the folder says.
#[test]
fn outdated_configs_mean_what_the_pipeline_makes_of_them() {
    let with = |class: &str, offset: Value| {
        let mut config = config();
        (config["_class_name"], config["steps_offset"], config["clip_sample"]) = (class.into(), offset, json!(true));
        Schedule::from_json(&config).unwrap().ddim(4).times
    };
    for (class, offset) in [("PNDMScheduler", json!(0)), ("DDIMScheduler", json!(7)), ("DDIMScheduler", Value::Null)] {
        assert_eq!(with(class, offset), [751.0, 501.0, 251.0, 1.0]);
    }
    assert_eq!(with("PNDMScheduler", Value::Null), [750.0, 500.0, 250.0, 0.0]);
}

#[test]
fn a_velocity_prediction_gives_the_noise_back() -> Result<()> {
    let mut config = config();
    config["prediction_type"] = "v_prediction".into();
    let schedule = Schedule::from_json(&config).unwrap();
    let level = schedule.ddim(4).levels[1];
    let tensor = |value: f32| Tensor::full(value, (1, 1, 1, 2), &candle_core::Device::Cpu);
    let (image, noise) = (tensor(0.75)?, tensor(-1.25)?);
    let x = ((&image * level.alpha)? + (&noise * level.sigma)?)?;
    let v = ((&noise * level.alpha)? - (&image * level.sigma)?)?;
    let predicted = schedule.predicted(&x, &v, level)?;
    assert_close(&predicted.epsilon, &noise, Tolerance::absolute(1e-6));
    assert_close(&predicted.image, &image, Tolerance::absolute(1e-5));
    let predicted = schedule.predicting(Prediction::Sample).predicted(&x, &image, level)?;
    assert_close(&predicted.epsilon, &noise, Tolerance::absolute(1e-5));
    Ok(())
}
