//! The network that names a scene's attributes, for `evaluate` and for perceptual losses. Change here what it learns
//! from; its layers are in `attribute_classifier.rs`, its questions in `scenes/`.

use std::ops::Range;

use anyhow::Result;
use candle_core::Tensor;

use crate::attribute_classifier::{Classifier, cross_entropy, likeliest};
use crate::parameters::{Parameters, Tensors};
use crate::pictures::{self, HELD_OUT_SEEDS, Pool};
use crate::scenes::attributes::HEADS;
use crate::scenes::{self, Scene};
use crate::seeded_random::{Random, key};
use crate::stage::Stage;
use crate::training::Schedule;
use crate::training_run::Run;

/// Most of the noise that is added to a picture, as a standard deviation: a network that lives on single pixels would
/// say little about pictures that are drawn, not rendered.
const NOISE: f64 = 0.1;
/// Held-out scenes begin here, apart from those of the other stages.
const TESTED: u64 = HELD_OUT_SEEDS + (1 << 20);
/// Held-out scenes that each checkpoint is is_perceptual by.
const COUNT: usize = 512;
/// Scenes that one worker looks at together.
const PART: usize = 32;

/// Trains the classifier on `pool` different scenes.
pub fn train(run: &Run, schedule: &Schedule, pool: usize) -> Result<()> {
    let stage = Stage::Classifier;
    run.require_scenes("the classifier")?;
    let parameters = run.parameters(stage, || Ok(Parameters::seeded(stage.seed(), &run.device)))?;
    let network = Classifier::new(&parameters.builder(), &run.config.sizes)?;
    let pool = Pool::new(pool, run.config.sizes.picture);
    let loss = |step: u64, range: Range<usize>| {
        let mut randoms: Vec<Random> =
            range.map(|sample| Random::new(key(&[stage.seed(), step, sample as u64]))).collect();
        let chosen: Vec<usize> = randoms.iter_mut().map(|random| random.below(pool.count())).collect();
        let pictures = noisy(&pool.tensor(&chosen, &run.device)?, &mut randoms)?;
        let scenes: Vec<Vec<u32>> = chosen.iter().map(|&scene| labels(&scenes::sample(scene as u64))).collect();
        cross_entropy(&network.forward(&pictures)?.logits, &columns(&scenes))
    };
    run.train(stage, schedule, &parameters, &loss, &mut |_, averages| look(run, &averages()?))
}

/// The class of each of [`HEADS`] that a scene shows.
pub fn labels(scene: &Scene) -> Vec<u32> {
    scene.attributes.classes().iter().map(|&class| class as u32).collect()
}

/// By head what is by scene.
pub fn columns(scenes: &[Vec<u32>]) -> Vec<Vec<u32>> {
    (0..HEADS.len()).map(|head| scenes.iter().map(|labels| labels[head]).collect()).collect()
}

/// The share of held-out scenes that each head names rightly.
pub fn accuracies(run: &Run, network: &Classifier, count: usize) -> Result<Vec<f64>> {
    let side = run.config.sizes.picture;
    let parts: Vec<Vec<u64>> =
        (0..count as u64).map(|index| TESTED + index).collect::<Vec<_>>().chunks(PART).map(<[u64]>::to_vec).collect();
    let counted = run.replicas().map(parts, |seeds| {
        let scenes: Vec<_> = seeds.into_iter().map(scenes::sample).collect();
        let rendered: Vec<Vec<u8>> = scenes.iter().map(|scene| scene.render(side)).collect();
        let slices: Vec<&[u8]> = rendered.iter().map(Vec::as_slice).collect();
        let seen = network.forward(&pictures::tensor(&slices, side, &run.device)?)?;
        let labels: Vec<Vec<u32>> = scenes.iter().map(labels).collect();
        let right = |(head, logits): (usize, &Tensor)| {
            let classes = likeliest(logits)?;
            Ok(classes.iter().zip(&labels).filter(|(class, labels)| **class == labels[head]).count())
        };
        seen.logits.iter().enumerate().map(right).collect::<Result<Vec<usize>>>()
    })?;
    let total = |head: usize| counted.iter().map(|right| right[head]).sum::<usize>() as f64 / count.max(1) as f64;
    Ok((0..HEADS.len()).map(total).collect())
}

fn look(run: &Run, weights: &Tensors) -> Result<String> {
    let network = Classifier::new(&run.frozen_builder(weights, ""), &run.config.sizes)?;
    let right = accuracies(run, &network, COUNT)?;
    let each = HEADS.iter().zip(&right).map(|(head, right)| format!("{} {:.1}", head.name, 100.0 * right));
    Ok(format!("% right of {COUNT} held-out scenes: {}", each.collect::<Vec<_>>().join(", ")))
}

/// Pictures (B, 3, H, W) with noise of a strength of each one's own.
fn noisy(pictures: &Tensor, randoms: &mut [Random]) -> Result<Tensor> {
    let size = pictures.elem_count() / randoms.len().max(1);
    let mut values = Vec::with_capacity(pictures.elem_count());
    for random in randoms {
        let strength = NOISE * random.uniform();
        // Twelve numbers' sum would be normal; one is noise enough, and this is the inner loop.
        values.extend((0..size).map(|_| (strength * 12f64.sqrt() * (random.uniform() - 0.5)) as f32));
    }
    Ok((pictures + Tensor::from_vec(values, pictures.shape(), pictures.device())?)?)
}
