//! Runs that only a recipe can ask for.

use instaflow_test_support::{PROMPT, Tolerance, assert_close_case, assert_error, expected, fixture, tensor_in};

use super::super::{Latents, Models};
use crate::Cancel;
use crate::diffusion::Schedule;
use crate::protocol::{OpenRequest, Prediction, Sampler, Settings, Source};

fn models() -> Models {
    let request = OpenRequest { model: Source::Folder(fixture("model")), ..OpenRequest::default() };
    Models::open(&request, &mut |_| {}).unwrap()
}

fn noise() -> Latents {
    let (shape, values) = expected("noise");
    Latents { shape: shape.try_into().unwrap(), values }.picture(0).unwrap()
}

/// One step of LCM at time 800, as Hyper-SD's one-step LoRA wants it.
#[test]
fn a_recipes_times_are_used() {
    let mut models = models();
    let model = models.student.as_mut().unwrap();
    model.recipe.sampler = Sampler::Lcm;
    model.recipe.times = vec![800];
    let settings = Settings { sampler: Some(Sampler::Lcm), guidance: 0.0, ..Settings::student(PROMPT) };
    let drawn = models.draw(&settings, Some(&noise()), &mut |_| {}, &Cancel::default()).unwrap();
    let wanted = tensor_in(&fixture("../more/samplers.safetensors"), "lcm_t800.latents").1;
    assert_close_case("lcm_t800", &drawn.latents.values, &wanted, Tolerance::of_largest(5e-4));
}

/// Four windows, one step in each: the first, by hand.
#[test]
fn a_piecewise_flow_steps_from_window_to_window() {
    let mut models = models();
    let model = models.student.as_mut().unwrap();
    model.recipe.windows = Some(4);
    model.recipe.prediction = Prediction::Epsilon;
    model.recipe.is_known = true;
    model.schedule = Schedule::stable_diffusion();
    let settings = |steps| Settings { steps, guidance: 1.0, ..Settings::student(PROMPT) };
    let draw = |settings: &Settings| models.draw(settings, Some(&noise()), &mut |_| {}, &Cancel::default());
    assert_error(draw(&settings(3)), "at least 4 steps");
    let drawn = draw(&settings(4)).unwrap();
    assert_eq!(drawn.picture.path.len(), 4);
    let times: Vec<f32> = drawn.picture.path.iter().map(|point| point.t).collect();
    assert_eq!(times, [0.0, 0.25, 0.5, 0.75]);
    assert!(drawn.latents.values.iter().all(|value| value.is_finite()));
    let flow = Settings { sampler: Some(Sampler::Ddim), ..settings(4) };
    let takes_none = models.student.as_ref().unwrap().card.samplers.contains(&Sampler::Ddim);
    assert!(takes_none, "the card was made before this test changed the recipe");
    assert!(draw(&flow).is_ok());
}
