//! Times and noise levels, held to Diffusers' schedulers.

use instaflow_test_support::{Tolerance, assert_close, assert_close_case, fixture};
use serde_json::Value;

use super::*;
use crate::protocol::{NoiseSchedule, Sampler};

/// Diffusers lists what a sampler uses twice, twice.
fn numbers(list: &Value) -> Vec<f64> {
    let mut numbers: Vec<f64> = list.as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect();
    numbers.dedup();
    numbers
}

#[test]
fn times_and_levels_are_diffusers() {
    let file = std::fs::read(fixture("../more/samplers.json")).unwrap();
    let cases: Vec<Value> = serde_json::from_slice(&file).unwrap();
    for case in cases {
        let name = case["name"].as_str().unwrap();
        let schedule = Schedule::from_json(&case["scheduler_config"]).unwrap();
        let sampler = match case["scheduler"].as_str().unwrap() {
            "EulerDiscreteScheduler" => Sampler::Euler,
            "EulerAncestralDiscreteScheduler" => Sampler::EulerAncestral,
            "DPMSolverMultistepScheduler" => Sampler::DpmPlusPlus2M,
            "UniPCMultistepScheduler" => Sampler::UniPc,
            "HeunDiscreteScheduler" => Sampler::Heun,
            "LMSDiscreteScheduler" => Sampler::Lms,
            "DDIMScheduler" => Sampler::Ddim,
            "LCMScheduler" => Sampler::Lcm,
            "TCDScheduler" => Sampler::Tcd,
            other => panic!("{other}"),
        };
        let asked = (name == "euler_a_karras").then_some(NoiseSchedule::Karras);
        let steps = case["num_inference_steps"].as_u64().unwrap() as usize;
        let timesteps = match name {
            "lcm_t800" => schedule.at(&[800], sampler),
            _ => schedule.timesteps(sampler, steps, asked),
        };
        assert_close_case(name, &timesteps.times, numbers(&case["timesteps"]), Tolerance::absolute(2e-3));
        let first = timesteps.levels[0];
        if !case["sigmas"].is_null() {
            let ratios: Vec<f64> = timesteps.levels.iter().map(|level| level.ratio()).collect();
            assert_close_case(name, ratios, numbers(&case["sigmas"]), Tolerance::of_largest(1e-5));
        }
        let start = case["init_noise_sigma"].as_f64().unwrap();
        let is_scaled = matches!(sampler, Sampler::Euler | Sampler::EulerAncestral | Sampler::Heun | Sampler::Lms);
        let ours = if is_scaled { timesteps.start / first.alpha } else { timesteps.start };
        assert_close_case(name, ours, start, Tolerance::of_largest(1e-5));
    }
}

/// With any number of steps the levels fall, every sampler has as many as steps, and nothing divides by 0.
#[test]
fn all_runs_fall_in_noise() {
    for zero in [false, true] {
        let config = serde_json::json!({
            "beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "steps_offset": 1,
            "rescale_betas_zero_snr": zero, "prediction_type": if zero { "v_prediction" } else { "epsilon" },
        });
        let schedule = Schedule::from_json(&config).unwrap();
        for sampler in Sampler::ALL.into_iter().filter(|sampler| sampler.is_diffusion()) {
            for asked in std::iter::once(None).chain(NoiseSchedule::ALL.map(Some)) {
                for steps in 1..=50 {
                    let timesteps = schedule.timesteps(sampler, steps, asked);
                    assert_eq!((timesteps.times.len(), timesteps.levels.len()), (steps, steps + 1));
                    assert!(timesteps.start > 0.0 && timesteps.times.iter().all(|time| (0.0..1000.0).contains(time)));
                    let falls = timesteps.levels.windows(2).all(|pair| pair[0].sigma > pair[1].sigma - 1e-12);
                    assert!(falls, "{sampler:?} {asked:?} {steps}: {:?}", timesteps.levels);
                    assert_eq!(schedule.below(&timesteps).len(), steps);
                }
            }
        }
        let last = schedule.timesteps(Sampler::Ddim, 1, Some(NoiseSchedule::Trailing)).levels[0];
        assert_close(last.alpha, if zero { 0.0 } else { 0.0682 }, Tolerance::absolute(1e-3));
    }
}
