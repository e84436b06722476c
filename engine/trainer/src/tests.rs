//! The networks in training, and a whole run in small.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use candle_core::{DType, Tensor};
use instaflow_engine::Cancel;
use instaflow_engine::pipeline::Models;
use instaflow_engine::protocol::{OpenRequest, Settings, Source};
use instaflow_engine::vae::AutoencoderTiny;

use crate::config::{self, Architecture};
use crate::flow::{Flow, noise};
use crate::parameters::{Parameters, Tensors};
use crate::pictures::{self, Pool};
use crate::run::{Run, Stage, frozen};
use crate::scenes;
use crate::stages::pairs::Solver;
use crate::stages::{autoencoder, base, decoder, distill, export, pairs, reflow, sheet};
use crate::training::{Limits, Schedule};
use crate::vocabulary::Vocabulary;
use crate::workers::Workers;

/// A run of the smallest networks, with a tokenizer.
fn toy_run(folder: &Path) -> Result<Run> {
    let limits = Limits { deadline: None, checkpoint_every: Duration::from_hours(1), stop_file: folder.join("stop") };
    let run = Run::open(folder.join("run"), Architecture::toy(), Workers::new(2)?, limits)?;
    Vocabulary::learn(&scenes::words()).write(&run.path("tokenizer"), run.architecture.tokens)?;
    Ok(run)
}

/// The velocity of two prompts at two times.
fn velocity(run: &Run, flow: &Flow) -> Result<Tensor> {
    let (tokenizer, _) = run.tokenizer()?;
    let prompts = ["a lake at sunset", ""].map(|prompt| tokenizer.encode(prompt));
    flow.velocity(&noise(&[1, 2], run.architecture.latent())?, &[0.0, 0.7], &flow.context(&prompts)?)
}

fn values(parameters: &Parameters) -> Tensors {
    parameters.trained().into_iter().map(|(name, var)| (name, var.as_detached_tensor())).collect()
}

fn largest(tensor: &Tensor) -> Result<f32> {
    Ok(tensor.abs()?.max_all()?.to_scalar()?)
}

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

    let parameters = Parameters::seeded(1);
    let network = AutoencoderTiny::new(parameters.builder(), &run.architecture.autoencoder()?)?;
    let decoded = network.decode(&network.encode(&Pool::new(2, 64).tensor(&[0, 1])?)?)?;
    check(&parameters, decoded.sqr()?.mean_all()?, true)?;

    let parameters = Parameters::seeded(2);
    let flow = Flow::new(&run, &parameters.builder(), 1)?;
    check(&parameters, velocity(&run, &flow)?.sqr()?.mean_all()?, true)?;

    // Behind the zeros that the stack starts from, gradients are zero at first, but they are there.
    let student = Parameters::given(&distill::student(&values(&parameters))?, base::is_unet)?;
    let flow = Flow::new(&run, &student.builder(), distill::STACKS)?;
    check(&student, velocity(&run, &flow)?.sqr()?.mean_all()?, false)
}

#[test]
fn the_stack_starts_as_the_single_one() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let run = toy_run(folder.path())?;
    let parameters = Parameters::seeded(3);
    let single = velocity(&run, &Flow::new(&run, &parameters.builder(), 1)?)?;
    let weights = values(&parameters);
    let student = distill::student(&weights)?;
    let stacked = velocity(&run, &Flow::frozen(&run, &student, distill::STACKS)?)?;
    let scale = largest(&single)?;
    assert!(largest(&(&single - stacked)?)? < 1e-5 * scale);

    // Two copies without the change of the first are something else.
    let mut copies = student;
    for (name, tensor) in &mut copies {
        if let Some(name) = name.strip_prefix("unet.stack.0.") {
            tensor.clone_from(&weights[&format!("unet.{name}")]);
        }
    }
    let plain = velocity(&run, &Flow::frozen(&run, &copies, distill::STACKS)?)?;
    assert!(largest(&(single - plain)?)? > 1e-2 * scale);
    Ok(())
}

/// All stages, a few steps each, and the engine draws with what came out.
#[test]
fn a_run_ends_in_a_pair_that_the_engine_opens() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let run = toy_run(folder.path())?;
    let short = |schedule: Schedule| Schedule { steps: 3, batch: 4, micro_batch: 2, ..schedule };
    assert!(base::train(&run, &short(config::BASE), 4).is_err(), "there is no autoencoder yet");
    autoencoder::train(&run, &short(config::AUTOENCODER), 8)?;
    decoder::train(&run, &short(config::DECODER), 8)?;
    base::train(&run, &short(config::BASE), 4)?;
    pairs::make(&run, Stage::Base, 4, Solver { steps: 2, guidance: 1.5 })?;
    reflow::train(&run, &short(config::REFLOW), 100)?;
    pairs::make(&run, Stage::Reflow, 4, Solver { steps: 1, guidance: 1.0 })?;
    distill::train(&run, &short(config::DISTILL), 100)?;
    sheet::write(&run, &run.path("sheet.png"), 1, 2)?;
    let sheet = image::open(run.path("sheet.png"))?;
    assert_eq!((sheet.width(), sheet.height()), (8 * 64 + 7 * 2, 64));
    assert!(run.path("autoencoder/roundtrip.png").exists());
    let pair = folder.path().join("pair");
    export::write(&run, &pair)?;

    // What the engine draws is what the trainer's own networks draw with the weights rounded to f16.
    let models =
        Models::open(&OpenRequest { model: Source::Folder(pair), ..OpenRequest::default() }, &mut |_, _, _| ())?;
    let prompt = "a snowy mountain near a lake at sunset";
    let student = half(&run.trained(Stage::Distill)?)?;
    let teacher = half(&run.trained(Stage::Reflow)?)?;
    for (settings, weights, stacks) in [
        (Settings { seed: 7, ..Settings::student(prompt) }, student, distill::STACKS),
        (Settings { seed: 7, steps: 3, ..Settings::teacher(prompt) }, teacher, 1),
    ] {
        let drawn = models.draw(&settings, None, &mut |_| (), &Cancel::default())?.picture;
        assert_eq!((drawn.width, drawn.height), (64, 64));
        let (tokenizer, _) = run.tokenizer()?;
        let flow = Flow::frozen(&run, &weights, stacks)?;
        let start = noise(&[7], run.architecture.latent())?;
        let (prompts, empty) = ([tokenizer.encode(prompt)], tokenizer.encode(""));
        let path = flow.sample(&start, &prompts, &empty, settings.steps as usize, f64::from(settings.guidance))?;
        let decoder = half(&run.trained(Stage::Decoder)?)?;
        let decoder = AutoencoderTiny::new(frozen(&decoder, ""), &run.architecture.autoencoder()?)?;
        let ours = pictures::from_tensor(&decoder.decode(&path.latents)?)?;
        let decibels = pictures::psnr(&ours, &[drawn.rgb.to_vec()]);
        assert!(decibels > 45.0, "{:?}: {decibels} dB", settings.role);
    }
    Ok(())
}

/// Weights as they are after a file in f16.
fn half(weights: &Tensors) -> Result<Tensors> {
    weights
        .iter()
        .map(|(name, tensor)| Ok((name.clone(), tensor.to_dtype(DType::F16)?.to_dtype(DType::F32)?)))
        .collect()
}

/// A few steps on a handful of pictures must bring their loss down.
#[test]
fn the_flow_learns() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let run = toy_run(folder.path())?;
    let parameters = Parameters::seeded(4);
    let flow = Flow::new(&run, &parameters.builder(), 1)?;
    let (tokenizer, _) = run.tokenizer()?;
    let target = noise(&[1, 2], run.architecture.latent())?;
    let prompts = ["a city at night", "dunes at noon"].map(|prompt| tokenizer.encode(prompt));
    let start = noise(&[3, 4], run.architecture.latent())?;
    let loss = || base::velocity_loss(&flow, &target, &start, &[0.2, 0.6], &prompts);
    let before: f32 = loss()?.to_scalar()?;
    let schedule = Schedule { steps: 40, batch: 1, micro_batch: 1, warm_up: 4, rate: 5e-3, ..config::BASE };
    run.train(Stage::Base, &schedule, &parameters, &|_, _| loss(), &mut |_| Ok(String::new()))?;
    let after: f32 = loss()?.to_scalar()?;
    assert!(after < 0.7 * before, "{before} {after}");
    Ok(())
}
