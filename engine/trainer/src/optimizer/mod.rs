//! AdamW or Muon, with gradient clipping and a moving average of the weights. Change here what a step does to the
//! weights; how they are stored is in `cpu_state` (slices) and `gpu_state` (one flat tensor).

mod cpu_state;
mod gpu_state;
mod muon;

use anyhow::{Context, Result, bail, ensure};
use candle_core::backprop::GradStore;
use candle_core::{Device, Var};
use serde::{Deserialize, Serialize};

use crate::file_io::{Saved, TensorFile};
use crate::parameters::{Parameters, Tensors};
use crate::workers::Workers;
use cpu_state::TensorState;
use gpu_state::FlatState;

/// The rule by which gradients change weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// Loshchilov and Hutter, ICLR 2019, algorithm 2: the paper's.
    AdamW,
    /// Muon for linear maps and convolutions, AdamW for the rest: fewer steps to the same loss, each a little longer.
    Muon,
}

/// How one step changes the weights.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// Learning rate.
    pub rate: f64,
    /// Steps done, this one included: 1, 2 …
    pub count: u64,
    /// Decoupled weight decay of tensors with two dimensions and more.
    pub decay: f64,
    /// Longest gradient, over all weights together.
    pub clip: f64,
    /// Share of the old average that is kept; ramped up over the first steps, so that the start is forgotten.
    pub average: f64,
}

/// The gradients of all trained weights, in the order of their names.
pub type Gradients = Vec<candle_core::Tensor>;

/// The weights that learn, and what is remembered of them.
pub struct Optimizer {
    weights: Vec<Weight>,
    state: State,
}

/// A tensor that learns.
#[derive(Clone)]
struct Weight {
    name: String,
    var: Var,
    /// Rows and columns where Muon changes it.
    muon: Option<(usize, usize)>,
}

/// Two moments and the moving average of every weight.
enum State {
    Host(Vec<TensorState>),
    Device(Box<FlatState>),
}

/// Sections of a saved state: weights, their two moments, their moving average.
pub const SECTIONS: [&str; 4] = ["value", "mean", "square", "average"];

const BETA1: f64 = 0.9;
const BETA2: f64 = 0.99;
const EPSILON: f64 = 1e-8;

/// The numbers that a step multiplies with.
struct Factors {
    /// What a decaying weight keeps of itself.
    keep: f64,
    /// The learning rate.
    rate: f64,
    /// Step size, the bias corrections of both moments included.
    size: f64,
    /// Added to the root of the second moment; corrected likewise.
    epsilon: f64,
    /// What the moving average keeps of itself.
    average: f64,
    /// What the gradient is scaled with, so that it is no longer than `clip`.
    scale: f64,
}

impl Optimizer {
    /// A fresh state for the trained weights, on their device.
    pub fn new(parameters: &Parameters, rule: Rule) -> Result<Self> {
        let weight = |(name, var): (String, Var)| {
            let muon = (rule == Rule::Muon).then(|| muon::matrix(&name, var.dims())).flatten();
            Weight { name, var, muon }
        };
        let weights: Vec<Weight> = parameters.trained().into_iter().map(weight).collect();
        ensure!(!weights.is_empty(), "there is no weight to train");
        let state = if matches!(weights[0].var.device(), Device::Cpu) {
            State::Host(weights.iter().map(|weight| TensorState::new(&weight.var)).collect::<Result<_>>()?)
        } else {
            State::Device(Box::new(FlatState::new(&weights)?))
        };
        Ok(Self { weights, state })
    }

    /// What a step needs of a backward pass.
    ///
    /// A weight without a gradient is an error: a network in which something silently does not learn is a mistake.
    pub fn gradients(&self, mut store: GradStore) -> Result<Gradients> {
        let gradient = |weight: &Weight| {
            let gradient =
                store.remove(&weight.var).with_context(|| format!("{} receives no gradient", weight.name))?;
            Ok(gradient.contiguous()?)
        };
        self.weights.iter().map(gradient).collect()
    }

    /// One step along the sum of `gradients`, one set for each replica; answers its length before clipping.
    pub fn step(&mut self, gradients: &[Gradients], step: &Step, workers: &Workers) -> Result<f64> {
        let length = match &self.state {
            State::Host(slots) => cpu_state::length(slots, gradients, workers)?,
            State::Device(_) => gpu_state::length(gradients)?,
        };
        if !length.is_finite() {
            bail!("the gradient is no longer a number: lower --rate and continue from the last checkpoint");
        }
        let factors = step.factors(length);
        match &mut self.state {
            State::Host(slots) => cpu_state::update(&self.weights, slots, gradients, &factors, workers)?,
            State::Device(flat) => flat.update(&self.weights, gradients, &factors)?,
        }
        Ok(length)
    }

    /// Everything that a run needs to go on, by section and name.
    pub fn save(&self) -> Result<Vec<(String, Saved<'_>)>> {
        let mut all = Vec::new();
        for (index, Weight { name, var, .. }) in self.weights.iter().enumerate() {
            let parts: [Saved<'_>; 3] = match &self.state {
                State::Host(slots) => slots[index].parts().map(|values| Saved::Values(values, var.dims().to_vec())),
                State::Device(flat) => flat.parts(index)?.map(Saved::Tensor),
            };
            all.push((format!("{}/{name}", SECTIONS[0]), Saved::Tensor(var.as_detached_tensor())));
            all.extend(SECTIONS[1..].iter().zip(parts).map(|(section, part)| (format!("{section}/{name}"), part)));
        }
        Ok(all)
    }

    /// Takes over what [`Optimizer::save`] gave, tensor by tensor.
    pub fn restore(&mut self, saved: &TensorFile) -> Result<()> {
        for (index, Weight { name, var, .. }) in self.weights.iter().enumerate() {
            let read = |section: &str| {
                let tensor = saved
                    .get(&format!("{section}/{name}"))?
                    .with_context(|| format!("the checkpoint has no {section} of {name}"))?;
                ensure!(tensor.shape() == var.shape(), "{name} has another shape in the checkpoint");
                Ok(tensor)
            };
            var.set(&read(SECTIONS[0])?.to_device(var.device())?)?;
            let parts = [read(SECTIONS[1])?, read(SECTIONS[2])?, read(SECTIONS[3])?];
            match &mut self.state {
                State::Host(slots) => slots[index].restore(&parts)?,
                State::Device(flat) => flat.restore(index, &parts)?,
            }
        }
        if let State::Device(flat) = &mut self.state {
            flat.reload(&self.weights)?;
        }
        Ok(())
    }

    /// The moving averages by name, on the CPU.
    pub fn averages(&self) -> Result<Tensors> {
        let average = |(index, Weight { name, var, .. }): (usize, &Weight)| {
            let tensor = match &self.state {
                State::Host(slots) => slots[index].average(var)?,
                State::Device(flat) => flat.parts(index)?[2].to_device(&Device::Cpu)?,
            };
            Ok((name.clone(), tensor))
        };
        self.weights.iter().enumerate().map(average).collect()
    }

    /// How many numbers learn.
    pub fn numbers(&self) -> usize {
        self.weights.iter().map(|weight| weight.var.elem_count()).sum()
    }
}

impl Step {
    fn factors(&self, length: f64) -> Factors {
        let count = self.count as f64;
        // Both bias corrections in the step size and in epsilon, so that the loop has no division more than it needs.
        let correction = (1.0 - BETA2.powf(count)).sqrt();
        Factors {
            keep: 1.0 - self.rate * self.decay,
            rate: self.rate,
            size: self.rate * correction / (1.0 - BETA1.powf(count)),
            epsilon: EPSILON * correction,
            average: self.average.min((1.0 + count) / (10.0 + count)),
            scale: if length > self.clip { self.clip / length } else { 1.0 },
        }
    }
}

/// Whether a weight decays: matrices and kernels do, biases and the weights of norms do not.
fn decays(var: &Var) -> bool {
    var.rank() >= 2
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Tensor;
    use candle_nn::Init;
    use instaflow_test_support::{Tolerance, assert_close, assert_error, assert_not_close};

    const STEP: Step = Step { rate: 0.1, count: 1, decay: 0.01, clip: 1.0, average: 0.9 };

    /// The same on slices and on a flat tensor; a CPU can do both.
    fn both(parameters: &Parameters, rule: Rule) -> Result<[Optimizer; 2]> {
        let host = Optimizer::new(parameters, rule)?;
        let flat =
            Optimizer { weights: host.weights.clone(), state: State::Device(Box::new(FlatState::new(&host.weights)?)) };
        Ok([host, flat])
    }

    /// Two tensors, two replicas, ten steps: against the formula of the paper, number by number.
    #[test]
    fn steps_follow_the_plain_formula() -> Result<()> {
        for way in 0..2 {
            let parameters = Parameters::seeded(3, &Device::Cpu);
            let builder = parameters.builder();
            let hint = Init::Uniform { lo: -1.0, up: 1.0 };
            let matrix = builder.get_with_hints((2, 3), "matrix", hint)?;
            let vector = builder.get_with_hints(3, "vector", hint)?;
            let workers = Workers::new(2)?;
            let adam = &mut both(&parameters, Rule::AdamW)?[way];
            let flat = |t: &Tensor| -> Result<Vec<f64>> {
                Ok(t.flatten_all()?.to_vec1::<f32>()?.into_iter().map(f64::from).collect())
            };
            let mut x = [flat(&matrix)?, flat(&vector)?].concat();
            let (mut m, mut s, mut ema) = ([0.0; 9], [0.0; 9], x.clone());
            for count in 1..=10u64 {
                // loss = (matrix * vector)² summed, once for each of the two replicas
                let loss = || adam.gradients(matrix.broadcast_mul(&vector)?.sqr()?.sum_all()?.backward()?);
                let gradients = [loss()?, loss()?];
                let length = adam.step(&gradients, &Step { count, ..STEP }, &workers)?;

                let (a, v) = x.split_at(6);
                let mut g: Vec<f64> = (0..6).map(|i| 4.0 * a[i] * v[i % 3] * v[i % 3]).collect();
                g.extend((0..3).map(|j| 4.0 * v[j] * (a[j] * a[j] + a[j + 3] * a[j + 3])));
                let norm = g.iter().map(|g| g * g).sum::<f64>().sqrt();
                assert_close(length, norm, Tolerance::of_largest(1e-4));
                for i in 0..9 {
                    let g = g[i] * (1.0 / norm).min(1.0);
                    m[i] = 0.9 * m[i] + 0.1 * g;
                    s[i] = 0.99 * s[i] + 0.01 * g * g;
                    let corrections = [0.9f64, 0.99].map(|beta| 1.0 - beta.powf(count as f64));
                    let (mh, sh) = (m[i] / corrections[0], s[i] / corrections[1]);
                    x[i] -= 0.1 * (mh / (sh.sqrt() + 1e-8) + if i < 6 { 0.01 * x[i] } else { 0.0 });
                    let keep = 0.9f64.min((1.0 + count as f64) / (10.0 + count as f64));
                    ema[i] = keep * ema[i] + (1.0 - keep) * x[i];
                }
            }
            let averages = adam.averages()?;
            let averages = [flat(&averages["matrix"])?, flat(&averages["vector"])?];
            assert_close([flat(&matrix)?, flat(&vector)?].concat(), &x, Tolerance::absolute(1e-4));
            assert_close(averages.concat(), &ema, Tolerance::absolute(1e-4));
        }
        Ok(())
    }

    /// Muon's step is its matrix's gradient made orthogonal, on slices and on a flat tensor; vectors go AdamW's way.
    #[test]
    fn muon_changes_matrices_and_both_ways_agree() -> Result<()> {
        let mut ends = Vec::new();
        for way in 0..2 {
            let parameters = Parameters::seeded(3, &Device::Cpu);
            let builder = parameters.builder();
            let hint = Init::Uniform { lo: -1.0, up: 1.0 };
            let matrix = builder.get_with_hints((9, 2, 3, 3), "matrix", hint)?;
            let vector = builder.get_with_hints(3, "vector", hint)?;
            let optimizer = &mut both(&parameters, Rule::Muon)?[way];
            let start = matrix.copy()?;
            for count in 1..=4 {
                let gradients = optimizer.gradients(matrix.broadcast_mul(&vector)?.sqr()?.sum_all()?.backward()?)?;
                let first = ((&gradients[0] * 0.0975)?.reshape((9, 18))?, matrix.copy()?);
                optimizer.step(&[gradients], &Step { count, clip: 1e9, ..STEP }, &Workers::new(2)?)?;
                if count == 1 {
                    let way = (muon::orthogonalised(&first.0)? * (0.1 * muon::scale((9, 18))))?;
                    let expected = ((first.1 * 0.999)? - way.reshape(matrix.shape())?)?;
                    assert_close(&matrix, expected, Tolerance::absolute(1e-5));
                }
            }
            assert_not_close(&matrix, start, Tolerance::absolute(0.05));
            // Values, averages, and both moments, of which either rule finds its own after the other.
            let saved = optimizer.save()?.into_iter().map(|(_, saved)| match saved {
                Saved::Values(values, shape) => Tensor::from_slice(values, shape, &Device::Cpu)?.flatten_all(),
                Saved::Tensor(tensor) => tensor.flatten_all(),
            });
            ends.push(Tensor::cat(&saved.collect::<candle_core::Result<Vec<_>>>()?, 0)?);
        }
        assert_close(&ends[0], &ends[1], Tolerance::absolute(1e-4));
        Ok(())
    }

    #[test]
    fn what_was_saved_is_restored_both_ways() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let workers = Workers::new(1)?;
        for way in 0..2 {
            let path = folder.path().join(format!("{way}.safetensors"));
            let parameters = Parameters::seeded(3, &Device::Cpu);
            let weight = parameters.builder().get_with_hints((2, 3), "weight", candle_nn::init::ONE)?;
            let mut adam = both(&parameters, Rule::AdamW)?.into_iter().nth(way).context("two ways")?;
            let step = |adam: &mut Optimizer, count| {
                let gradients = adam.gradients(weight.sqr()?.sum_all()?.backward()?)?;
                adam.step(&[gradients], &Step { count, ..STEP }, &workers)
            };
            step(&mut adam, 1)?;
            crate::file_io::write_tensors(&path, adam.save()?, crate::file_io::Metadata::new())?;
            step(&mut adam, 2)?;
            let (value, average) = (weight.to_vec2::<f32>()?, adam.averages()?["weight"].to_vec2::<f32>()?);
            adam.restore(&TensorFile::open(&path)?.context("a file")?)?;
            assert_ne!(weight.to_vec2::<f32>()?, value);
            step(&mut adam, 2)?;
            assert_eq!(weight.to_vec2::<f32>()?, value);
            assert_eq!(adam.averages()?["weight"].to_vec2::<f32>()?, average);
        }
        Ok(())
    }

    #[test]
    fn a_weight_without_gradient_is_named() -> Result<()> {
        let parameters = Parameters::seeded(3, &Device::Cpu);
        let used = parameters.builder().get_with_hints(3, "used", candle_nn::init::ONE)?;
        parameters.builder().get_with_hints(3, "idle", candle_nn::init::ONE)?;
        let error = Optimizer::new(&parameters, Rule::AdamW)?.gradients(used.sum_all()?.backward()?).unwrap_err();
        assert!(error.to_string().contains("idle"), "{error}");
        Ok(())
    }

    #[test]
    fn a_gradient_that_is_no_number_changes_nothing() -> Result<()> {
        for way in 0..2 {
            let parameters = Parameters::seeded(3, &Device::Cpu);
            let weight = parameters.builder().get_with_hints(1, "weight", candle_nn::init::ZERO)?;
            let adam = &mut both(&parameters, Rule::AdamW)?[way];
            let gradients = adam.gradients(weight.log()?.sum_all()?.backward()?)?;
            assert_error(adam.step(&[gradients], &STEP, &Workers::new(1)?), "no longer a number");
            assert_eq!(weight.to_vec1::<f32>()?, [0.0]);
        }
        Ok(())
    }
}
