//! What is measured of pictures: features, attributes, diversity; and of latents: straightness and transport. Change here
//! what is measured and how; what is compared is in `mod.rs`.

use std::time::Instant;

use anyhow::Result;
use candle_core::Tensor;
use instaflow_engine::Cancel;
use instaflow_engine::vae::Autoencoder;

use crate::attribute_classifier::{Classifier, likeliest};
use crate::eval_target::{self, EvalTarget};
use crate::flow_model::{flow_fingerprint, noise};
use crate::frechet::Gaussian;
use crate::held_out_prompts;
use crate::parameters::{Tensors, weights_fingerprint};
use crate::pictures;
use crate::scenes::Scene;
use crate::scenes::attributes::HEADS;
use crate::shards::{self, LATENTS, Origin, Rows, Shard};
use crate::sharpness::Sharpness;
use crate::stage::Stage;
use crate::stages::classifier::labels;
use crate::training_run::Run;

/// Pictures that one replica works on at once.
pub const PART: usize = 16;
/// Where the straightness of a path is in the files of an evaluation.
const STRAIGHTNESS: &str = "straightness";

/// The networks that measure.
pub struct Metrics<'a> {
    run: &'a Run,
    classifier: Classifier,
    decoder: Autoencoder,
    never: Cancel,
}

/// What the classifier says of some pictures.
#[derive(Default)]
pub struct Predictions {
    /// A row for each picture.
    pub features: Vec<Vec<f32>>,
    /// The class that each head names, for each picture.
    pub classes: Vec<Vec<u32>>,
    /// How crisp each picture is, at the size that is drawn.
    pub sharpness: Vec<Sharpness>,
}

impl<'a> Metrics<'a> {
    /// With the run's classifier and decoder.
    pub fn open(run: &'a Run) -> Result<Self> {
        let weights = run.trained(Stage::Classifier)?;
        let classifier = Classifier::new(&run.frozen_builder(&weights, ""), &run.config.sizes)?;
        Ok(Self { run, classifier, decoder: run.decoder()?, never: Cancel::default() })
    }

    /// The classifier.
    pub fn classifier(&self) -> &Classifier {
        &self.classifier
    }

    /// Of rendered scenes, at the size that is drawn.
    pub fn renders(&self, scenes: Vec<Scene>) -> Result<Predictions> {
        self.of(scenes, |scenes| self.rendered(scenes, self.run.config.sizes.drawn()))
    }

    /// Of rendered scenes that went through the autoencoder: the best that a flow can do.
    pub fn round_trips(&self, scenes: Vec<Scene>) -> Result<Predictions> {
        self.of(scenes, |scenes| {
            let latents = self.decoder.encode(&self.rendered(scenes, self.run.config.sizes.picture)?, &self.never)?;
            Ok(self.decoder.decode(&latents, &self.never)?)
        })
    }

    /// Of the latents at the first `count` places.
    pub fn drawn(&self, rows: &Rows, count: usize) -> Result<Predictions> {
        self.of((0..count).collect(), |places| {
            Ok(self.decoder.decode(&rows.latents(places, &self.run.device)?, &self.never)?)
        })
    }

    /// How much of a picture the way through the autoencoder keeps, in dB at the size that is drawn: of all scenes, then
    /// of each style's.
    pub fn round_trip(&self, scenes: &[Scene]) -> Result<Vec<(String, f64)>> {
        let side = self.run.config.sizes.drawn();
        let parts = scenes.chunks(PART).map(<[Scene]>::to_vec).collect();
        let squares = self.run.replicas().map(parts, |scenes: Vec<Scene>| {
            let latents = self.decoder.encode(&self.rendered(&scenes, self.run.config.sizes.picture)?, &self.never)?;
            let decoded = pictures::from_tensor(&self.decoder.decode(&latents, &self.never)?)?;
            let square = |(scene, decoded): (&Scene, &Vec<u8>)| pictures::mean_square(&scene.render(side), decoded);
            Ok(scenes.iter().zip(&decoded).map(square).collect::<Vec<_>>())
        })?;
        let squares = squares.concat();
        let mut all = vec![("all".to_owned(), pictures::decibels(&squares))];
        for (class, name) in HEADS[0].classes.iter().enumerate() {
            let of_style =
                |(scene, square): (&Scene, &f64)| (scene.attributes.classes()[0] == class).then_some(*square);
            let squares: Vec<f64> = scenes.iter().zip(&squares).filter_map(of_style).collect();
            if !squares.is_empty() {
                all.push(((*name).to_owned(), pictures::decibels(&squares)));
            }
        }
        Ok(all)
    }

    /// How near the pictures of two sets of latents are to each other, place by place, in dB.
    pub fn likeness(&self, a: &Rows, b: &Rows, count: usize) -> Result<f64> {
        let parts = (0..count).collect::<Vec<_>>().chunks(PART).map(<[usize]>::to_vec).collect();
        let squares = self.run.replicas().map(parts, |places: Vec<usize>| {
            let decoded = |rows: &Rows| {
                let latents = rows.latents(&places, &self.run.device)?;
                pictures::from_tensor(&self.decoder.decode(&latents, &self.never)?)
            };
            let (a, b) = (decoded(a)?, decoded(b)?);
            Ok(a.iter().zip(&b).map(|(a, b)| pictures::mean_square(a, b)).collect::<Vec<_>>())
        })?;
        Ok(pictures::decibels(&squares.concat()))
    }

    fn rendered(&self, scenes: &[Scene], side: u32) -> Result<Tensor> {
        let rendered: Vec<Vec<u8>> = scenes.iter().map(|scene| scene.render(side)).collect();
        let slices: Vec<&[u8]> = rendered.iter().map(Vec::as_slice).collect();
        pictures::tensor(&slices, side, &self.run.device)
    }

    fn of<T: Clone + Send + Sync>(
        &self,
        items: Vec<T>,
        make: impl Fn(&[T]) -> Result<Tensor> + Sync,
    ) -> Result<Predictions> {
        let parts = items.chunks(PART).map(<[T]>::to_vec).collect();
        let seen = self.run.replicas().map(parts, |items: Vec<T>| {
            let pictures = make(&items)?.clamp(-1.0, 1.0)?;
            let seen = self.classifier.forward(&pictures)?;
            let columns = seen.logits.iter().map(likeliest).collect::<Result<Vec<_>>>()?;
            let classes = (0..items.len()).map(|row| columns.iter().map(|column| column[row]).collect()).collect();
            let side = pictures.dim(3)?;
            let sharpness = pictures::from_tensor(&pictures)?.iter().map(|rgb| Sharpness::of(rgb, side)).collect();
            Ok(Predictions { features: seen.features.to_vec2()?, classes, sharpness })
        })?;
        let mut all = Predictions::default();
        for part in seen {
            all.features.extend(part.features);
            all.classes.extend(part.classes);
            all.sharpness.extend(part.sharpness);
        }
        Ok(all)
    }
}

impl Predictions {
    /// The features' distribution.
    pub fn gaussian(&self) -> Result<Gaussian> {
        Gaussian::of(&self.features)
    }

    /// For each head, the share of pictures that show what their prompt says; `None` where no prompt says anything of it.
    /// `mentioned` says for each picture and head whether its prompt names the class.
    pub fn accuracies(&self, scenes: &[Scene], mentioned: &[Vec<bool>]) -> Vec<Option<f64>> {
        let wanted: Vec<Vec<u32>> = scenes.iter().map(labels).collect();
        let right = |head: usize| {
            let asked: Vec<usize> = (0..wanted.len()).filter(|&place| mentioned[place][head]).collect();
            let same = asked.iter().filter(|&&place| self.classes[place][head] == wanted[place][head]).count();
            (!asked.is_empty()).then(|| same as f64 / asked.len() as f64)
        };
        (0..HEADS.len()).map(right).collect()
    }

    /// Mean distance of features between two pictures of the same prompt, of which `each` follow one another.
    pub fn diversity(&self, each: usize) -> f64 {
        let (mut sum, mut pairs) = (0.0, 0);
        for same in self.features.chunks(each.max(1)) {
            for (index, a) in same.iter().enumerate() {
                for b in &same[index + 1..] {
                    sum += a.iter().zip(b).map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>().sqrt();
                    pairs += 1;
                }
            }
        }
        sum / f64::from(pairs.max(1))
    }
}

/// The latents that a target draws of the first `count` prompts, each from `seeds` noises; made where they are
/// missing. `None` where a limit ended it early.
pub fn latents(run: &Run, target: &EvalTarget, weights: &Tensors, count: usize, seeds: usize) -> Result<Option<Rows>> {
    let (flow, tokenizer) = (target.flow(run, weights)?, run.tokenizer()?);
    let empty = tokenizer.encode("");
    let origin = Origin::from([
        ("weights".to_owned(), flow_fingerprint(weights)?),
        ("decoder".to_owned(), weights_fingerprint(&run.trained(Stage::Decoder)?, "")?),
        ("prompts".to_owned(), held_out_prompts::fingerprint()),
        ("seeds".to_owned(), seeds.to_string()),
    ]);
    let folder = run.path("evaluate").join(if seeds == 1 { target.id() } else { target.id() + "-seeds" });
    let (replicas, limits) = (run.replicas(), &run.limits);
    let whole = shards::fill(&folder, count * seeds, Shard::WHOLE, PART, &origin, replicas, limits, |rows| {
        let places: Vec<(usize, usize)> = rows.map(|row| (row / seeds, row % seeds)).collect();
        let ids: Vec<Vec<u32>> =
            places.iter().map(|(row, _)| tokenizer.encode(&held_out_prompts::prompt(*row))).collect();
        let noises: Vec<u64> = places.iter().map(|(row, index)| held_out_prompts::noise_seed(*row, *index)).collect();
        let (latents, straightness) = eval_target::latents(run, target, &flow, &ids, &empty, &noises)?;
        // The path's mean over these prompts, for each of them: the mean over all is the same.
        let straightness = vec![straightness.unwrap_or_default() as f32; places.len()];
        let straightness = Tensor::from_vec(straightness, places.len(), &candle_core::Device::Cpu)?;
        Ok(Tensors::from([(LATENTS.to_owned(), latents), (STRAIGHTNESS.to_owned(), straightness)]))
    })?;
    if whole { Ok(Some(shards::read(&folder, count * seeds)?.0)) } else { Ok(None) }
}

/// Straightness S(Z), summed over a latent's values, and transport cost E‖Z₁ − Z₀‖², of the first `count` prompts
/// (paper, section 3).
pub fn paths(run: &Run, rows: &Rows, count: usize) -> Result<(f64, f64)> {
    let parts: Vec<Vec<usize>> = (0..count).collect::<Vec<_>>().chunks(PART).map(<[usize]>::to_vec).collect();
    let sums = run.replicas().map(parts, |places| {
        let number = |tensor: Tensor| -> Result<f64> { Ok(f64::from(tensor.sum_all()?.to_scalar::<f32>()?)) };
        let seeds: Vec<u64> = places.iter().map(|&place| held_out_prompts::noise_seed(rows.number(place), 0)).collect();
        let way = (rows.latents(&places, &run.device)? - noise(run, &seeds)?)?;
        Ok((number(rows.tensor(STRAIGHTNESS, &places, &run.device)?)?, number(way.sqr()?)?))
    })?;
    let count = count.max(1) as f64;
    Ok((sums.iter().map(|sum| sum.0).sum::<f64>() / count, sums.iter().map(|sum| sum.1).sum::<f64>() / count))
}

/// Median seconds from prompt to pixels, one picture at a time on one replica, out of `runs` after one that does not
/// count.
pub fn seconds(run: &Run, target: &EvalTarget, weights: &Tensors, runs: usize) -> Result<f64> {
    let (flow, decoder, tokenizer) = (target.flow(run, weights)?, run.decoder()?, run.tokenizer()?);
    let empty = tokenizer.encode("");
    let time = |row: usize| -> Result<f64> {
        let prompt = held_out_prompts::prompt(row);
        let started = Instant::now();
        let ids = [tokenizer.encode(&prompt)];
        let start = noise(run, &[held_out_prompts::noise_seed(row, 0)])?;
        let path = flow.sample(&start, &ids, &empty, target.steps, target.guidance)?;
        // Reading the pixels waits for a device that computes on its own.
        pictures::from_tensor(&decoder.decode(&path.latents, &Cancel::default())?)?;
        Ok(started.elapsed().as_secs_f64())
    };
    let mut times = run.replicas().map(vec![()], |()| (0..=runs).map(time).collect::<Result<Vec<f64>>>())?.concat();
    times.remove(0);
    times.sort_by(f64::total_cmp);
    Ok(times.get(times.len() / 2).copied().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use instaflow_test_support::{Tolerance, assert_close};

    #[test]
    fn diversity_is_between_pictures_of_one_prompt() {
        let features = vec![vec![0.0, 0.0], vec![3.0, 4.0], vec![100.0, 0.0], vec![100.0, 1.0]];
        let seen = Predictions { features, ..Predictions::default() };
        assert_close(seen.diversity(2), 3.0, Tolerance::absolute(1e-9));
        assert_close(seen.diversity(1), 0.0, Tolerance::absolute(1e-9));
    }
}
