//! The networks in training. Change here what must hold of each before it is worth training.

use anyhow::{Context, Result};
use candle_core::{Device, Tensor, Var};
use instaflow_engine::vae::AutoencoderTiny;
use instaflow_test_support::{Tolerance, assert_close, assert_not_close};

use super::{largest, toy_run, values, velocity};
use crate::attribute_classifier::{Classifier, cross_entropy};
use crate::caption_probe::CaptionProbe;
use crate::flow_matching::Endpoints;
use crate::flow_model::{FlowModel, is_unet, noise};
use crate::parameters::Parameters;
use crate::perceptual::FeatureDistance;
use crate::pictures::Pool;
use crate::run_config::Config;
use crate::scenes;
use crate::scenes::attributes::HEADS;
use crate::stage::{STACKS, Stage};
use crate::stages::classifier::{columns, labels};
use crate::stages::distill;
use crate::training::Schedule;
use crate::{losses, run_config};

/// candle drops gradients silently where an operation has no backward pass.
#[test]
fn every_weight_receives_a_gradient() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let run = toy_run(folder.path())?;
    let check = |parameters: &Parameters, loss: Tensor, all_count: bool| -> Result<()> {
        let gradients = loss.backward()?;
        assert!(!parameters.trained().is_empty());
        for (name, var) in parameters.trained() {
            let gradient = gradients.get(&var).with_context(|| format!("{name} has no gradient"))?;
            assert_eq!(gradient.shape(), var.shape(), "{name}");
            assert!(!all_count || largest(gradient)? > 0.0, "the gradient of {name} is zero");
        }
        Ok(())
    };
    let pictures = Pool::new(4, 64).tensor(&[0, 1, 2, 3], &Device::Cpu)?;

    let parameters = Parameters::seeded(1, &Device::Cpu);
    let network = AutoencoderTiny::new(parameters.builder(), &run.architecture().autoencoder()?)?;
    check(&parameters, network.decode(&network.encode(&pictures)?)?.sqr()?.mean_all()?, true)?;

    let parameters = Parameters::seeded(1, &Device::Cpu);
    let network = Classifier::new(&parameters.builder(), &run.config.sizes)?;
    let scenes: Vec<Vec<u32>> = (0..4).map(|scene| labels(&scenes::sample(scene))).collect();
    check(&parameters, cross_entropy(&network.forward(&pictures)?.logits, &columns(&scenes))?, true)?;

    let parameters = Parameters::seeded(2, &Device::Cpu);
    let flow = FlowModel::new(&run, &parameters.builder(), 1)?;
    check(&parameters, velocity(&run, &flow)?.sqr()?.mean_all()?, true)?;
    let asked = Parameters::seeded(2, &Device::Cpu);
    let probe = CaptionProbe::new(&asked.builder(), run.config.sizes.text_width)?;
    let context = flow.context(&[run.tokenizer()?.encode("a lake at sunset")])?;
    check(&asked, probe.loss(&context, &[[Some(1); HEADS.len()]])?, true)?;

    // Behind the zeros that the stack starts from, gradients are zero at first, but they are there.
    let student = Parameters::given(distill::initial_weights(values(&parameters), STACKS)?, is_unet, &Device::Cpu)?;
    let flow = FlowModel::new(&run, &student.builder(), STACKS)?;
    check(&student, velocity(&run, &flow)?.sqr()?.mean_all()?, false)
}

#[test]
fn the_stack_starts_as_the_single_one() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let run = toy_run(folder.path())?;
    let parameters = Parameters::seeded(3, &Device::Cpu);
    let single = velocity(&run, &FlowModel::new(&run, &parameters.builder(), 1)?)?;
    let weights = values(&parameters);
    let student = distill::initial_weights(weights.clone(), STACKS)?;
    let stacked = velocity(&run, &FlowModel::frozen(&run, &student, STACKS)?)?;
    assert_close(&stacked, &single, Tolerance::of_largest(1e-5));

    // Two copies without the change of the first are something else.
    let mut copies = student;
    for (name, tensor) in &mut copies {
        if let Some(name) = name.strip_prefix("unet.stack.0.") {
            tensor.clone_from(&weights[&format!("unet.{name}")]);
        }
    }
    let plain = velocity(&run, &FlowModel::frozen(&run, &copies, STACKS)?)?;
    assert_not_close(&plain, &single, Tolerance::of_largest(1e-2));
    Ok(())
}

/// A few steps on a handful of pictures must bring their loss down.
#[test]
fn the_flow_learns() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let run = toy_run(folder.path())?;
    let parameters = Parameters::seeded(4, &Device::Cpu);
    let flow = FlowModel::new(&run, &parameters.builder(), 1)?;
    let tokenizer = run.tokenizer()?;
    let pair = Endpoints { noise: noise(&run, &[3, 4])?, latents: noise(&run, &[1, 2])? };
    let prompts = ["a city at night", "dunes at noon"].map(|prompt| tokenizer.encode(prompt));
    let loss = || {
        let at = pair.predict(&flow, &[0.2, 0.6], &flow.context(&prompts)?)?;
        Ok(losses::squared(&at.velocity, &at.target)?)
    };
    let value = |loss: Result<Tensor>| -> Result<f32> { Ok(loss?.to_scalar()?) };
    let before = value(loss())?;
    let base = run_config::Config::pocket().base.schedule;
    let schedule = Schedule { steps: 40, batch: 1, micro_batch: 1, warm_up: 4, rate: 5e-3, ..base };
    run.train(Stage::BASE, &schedule, &parameters, &|_, _| loss(), &mut |_, _| Ok(String::new()))?;
    let after = value(loss())?;
    assert!(after < 0.7 * before, "{before} {after}");
    Ok(())
}

/// The straight way's end is the picture itself where the velocity is right.
#[test]
fn the_right_velocity_ends_at_the_latents() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let run = toy_run(folder.path())?;
    let parameters = Parameters::seeded(4, &Device::Cpu);
    let flow = FlowModel::new(&run, &parameters.builder(), 1)?;
    let prompts = ["a city", "dunes"].map(|prompt| run.tokenizer().map(|tokenizer| tokenizer.encode(prompt)));
    let prompts = prompts.into_iter().collect::<Result<Vec<_>>>()?;
    let pair = Endpoints { noise: noise(&run, &[3, 4])?, latents: noise(&run, &[1, 2])? };
    let times = [0.2, 0.6];
    let mut at = pair.predict(&flow, &times, &flow.context(&prompts)?)?;
    assert_not_close(at.extrapolated_latents(&times)?, &pair.latents, Tolerance::absolute(0.1));
    at.velocity = at.target.clone();
    assert_close(at.extrapolated_latents(&times)?, &pair.latents, Tolerance::absolute(1e-5));
    Ok(())
}

/// Following the gradient of the distance brings a picture nearer, in features that no one has trained, too.
#[test]
fn the_distance_of_features_leads_to_the_picture() -> Result<()> {
    let sizes = Config::toy().sizes;
    let parameters = Parameters::seeded(7, &Device::Cpu);
    let classifier = Classifier::new(&parameters.builder(), &sizes)?;
    let weights = candle_nn::VarBuilder::from_tensors(
        values(&parameters).into_iter().collect(),
        candle_core::DType::F32,
        &Device::Cpu,
    );
    drop(classifier);
    let distance = FeatureDistance::Classifier(Classifier::new(&weights, &sizes)?);
    let pool = Pool::new(2, 64);
    let (picture, target) = (pool.tensor(&[0], &Device::Cpu)?, pool.tensor(&[1], &Device::Cpu)?);
    assert_close(distance.distance(&target, &target)?.to_scalar::<f32>()?, 0.0, Tolerance::absolute(1e-9));
    let picture = Var::from_tensor(&picture)?;
    let before = distance.distance(&picture, &target)?;
    let gradients = before.backward()?;
    let gradient = gradients.get(&picture).context("the picture has no gradient")?;
    let step = (gradient * (1e-3 / largest(gradient)?))?;
    let after = distance.distance(&(picture.as_tensor() - step)?, &target)?;
    let (before, after) = (before.to_scalar::<f32>()?, after.to_scalar::<f32>()?);
    assert!(before > 0.0 && after < before, "{before} {after}");
    Ok(())
}
