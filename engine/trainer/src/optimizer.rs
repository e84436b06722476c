//! AdamW with gradient clipping and a moving average of the weights, in one pass over plain slices.

use anyhow::{Context, Result, bail, ensure};
use candle_core::backprop::GradStore;
use candle_core::{Device, Storage, Tensor, Var};

use crate::parameters::{Parameters, Tensors};
use crate::workers::Workers;

/// How one step changes the weights (Loshchilov and Hutter, ICLR 2019, algorithm 2).
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

/// The optimizer's state: weights, moments and averages of everything that is trained.
pub struct AdamW {
    slots: Vec<Slot>,
}

/// One tensor. All slices are row-major and of one length.
struct Slot {
    name: String,
    var: Var,
    value: Vec<f32>,
    gradient: Vec<f32>,
    mean: Vec<f32>,
    square: Vec<f32>,
    average: Vec<f32>,
}

/// Sections of a saved state: weights, their two moments, their moving average.
pub const SECTIONS: [&str; 4] = ["value", "mean", "square", "average"];

const BETA1: f64 = 0.9;
const BETA2: f64 = 0.99;
const EPSILON: f64 = 1e-8;

impl AdamW {
    /// A fresh state for the trained weights.
    pub fn new(parameters: &Parameters) -> Result<Self> {
        let slot = |(name, var): (String, Var)| {
            let value: Vec<f32> = var.flatten_all()?.to_vec1()?;
            let zeros = vec![0.0; value.len()];
            let average = value.clone();
            Ok(Slot { name, var, value, gradient: zeros.clone(), mean: zeros.clone(), square: zeros, average })
        };
        Ok(Self { slots: parameters.trained().into_iter().map(slot).collect::<Result<_>>()? })
    }

    /// One step along the sum of `gradients`; answers the length of that sum before clipping.
    ///
    /// A weight without a gradient is an error: a network in which something silently does not learn is a mistake.
    pub fn step(&mut self, gradients: &[GradStore], step: &Step, workers: &Workers) -> Result<f64> {
        let squares = workers.map(self.shares(workers.count()), |slots| {
            slots.iter_mut().map(|slot| slot.collect(gradients)).sum::<Result<f64>>()
        })?;
        let length = squares.iter().sum::<f64>().sqrt();
        if !length.is_finite() {
            bail!("the gradient is no longer a number: lower --rate and continue from the last checkpoint");
        }
        let scale = if length > step.clip { step.clip / length } else { 1.0 };
        workers.map(self.shares(workers.count()), |slots| {
            slots.iter_mut().try_for_each(|slot| slot.update(step, scale))
        })?;
        Ok(length)
    }

    /// Everything that a run needs to go on, by section and name.
    pub fn save(&self) -> Result<Tensors> {
        let mut tensors = Tensors::new();
        for slot in &self.slots {
            for (section, values) in SECTIONS.iter().zip([&slot.value, &slot.mean, &slot.square, &slot.average]) {
                let tensor = Tensor::from_slice(values, slot.var.shape(), &Device::Cpu)?;
                tensors.insert(format!("{section}/{}", slot.name), tensor);
            }
        }
        Ok(tensors)
    }

    /// Takes over what [`AdamW::save`] gave.
    pub fn restore(&mut self, saved: &Tensors) -> Result<()> {
        for slot in &mut self.slots {
            let targets = [&mut slot.value, &mut slot.mean, &mut slot.square, &mut slot.average];
            for (section, target) in SECTIONS.iter().zip(targets) {
                let tensor = saved
                    .get(&format!("{section}/{}", slot.name))
                    .with_context(|| format!("the checkpoint has no {section} of {}", slot.name))?;
                ensure!(tensor.shape() == slot.var.shape(), "{} has another shape in the checkpoint", slot.name);
                *target = tensor.flatten_all()?.to_vec1()?;
            }
            slot.publish()?;
        }
        Ok(())
    }

    /// The moving averages by name.
    pub fn averages(&self) -> Result<Tensors> {
        let tensor =
            |slot: &Slot| Ok((slot.name.clone(), Tensor::from_slice(&slot.average, slot.var.shape(), &Device::Cpu)?));
        self.slots.iter().map(tensor).collect()
    }

    /// How many numbers learn.
    pub fn numbers(&self) -> usize {
        self.slots.iter().map(|slot| slot.value.len()).sum()
    }

    /// The slots in `count` runs of about equally many numbers.
    fn shares(&mut self, count: usize) -> Vec<&mut [Slot]> {
        let target = self.numbers().div_ceil(count);
        let mut shares = Vec::new();
        let mut rest = self.slots.as_mut_slice();
        while !rest.is_empty() {
            let mut numbers = 0;
            let fits = rest.iter().take_while(|slot| {
                let fits = numbers < target;
                numbers += slot.value.len();
                fits
            });
            let (share, others) = rest.split_at_mut(fits.count());
            shares.push(share);
            rest = others;
        }
        shares
    }
}

impl Slot {
    /// Adds the replicas' gradients up; answers the sum of their squares.
    fn collect(&mut self, gradients: &[GradStore]) -> Result<f64> {
        self.gradient.fill(0.0);
        for store in gradients {
            let gradient = store.get(&self.var).with_context(|| format!("{} receives no gradient", self.name))?;
            let gradient = gradient.contiguous()?;
            let (storage, layout) = gradient.storage_and_layout();
            let Storage::Cpu(storage) = &*storage else { bail!("gradients are added up on the CPU") };
            let values = &storage.as_slice::<f32>()?[layout.start_offset()..];
            self.gradient.iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
        }
        Ok(self.gradient.iter().map(|g| f64::from(*g) * f64::from(*g)).sum())
    }

    fn update(&mut self, step: &Step, scale: f64) -> Result<()> {
        let count = step.count as f64;
        let decay = if self.var.rank() >= 2 { step.decay } else { 0.0 };
        let keep = (1.0 - step.rate * decay) as f32;
        // Both bias corrections in the step size and in epsilon, so that the loop has no division more than it needs.
        let correction2 = (1.0 - BETA2.powf(count)).sqrt();
        let size = (step.rate * correction2 / (1.0 - BETA1.powf(count))) as f32;
        let epsilon = (EPSILON * correction2) as f32;
        let average = step.average.min((1.0 + count) / (10.0 + count)) as f32;
        let (beta1, beta2, scale) = (BETA1 as f32, BETA2 as f32, scale as f32);
        let moments = self.mean.iter_mut().zip(&mut self.square);
        let weights = self.value.iter_mut().zip(&mut self.average);
        for (((value, slow), (mean, square)), gradient) in weights.zip(moments).zip(&self.gradient) {
            let gradient = gradient * scale;
            *mean = beta1 * *mean + (1.0 - beta1) * gradient;
            *square = beta2 * *square + (1.0 - beta2) * gradient * gradient;
            *value = *value * keep - size * *mean / (square.sqrt() + epsilon);
            *slow += (1.0 - average) * (*value - *slow);
        }
        self.publish()
    }

    /// Hands the weights to the networks.
    fn publish(&self) -> Result<()> {
        Ok(self.var.set(&Tensor::from_slice(&self.value, self.var.shape(), &Device::Cpu)?)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_nn::Init;

    const STEP: Step = Step { rate: 0.1, count: 1, decay: 0.01, clip: 1.0, average: 0.9 };

    /// Two tensors, two replicas, ten steps: against the formula of the paper, number by number.
    #[test]
    fn steps_follow_the_plain_formula() -> Result<()> {
        let parameters = Parameters::seeded(3);
        let builder = parameters.builder();
        let hint = Init::Uniform { lo: -1.0, up: 1.0 };
        let matrix = builder.get_with_hints((2, 3), "matrix", hint)?;
        let vector = builder.get_with_hints(3, "vector", hint)?;
        let workers = Workers::new(2)?;
        let mut adam = AdamW::new(&parameters)?;
        let flat = |t: &Tensor| -> Result<Vec<f64>> {
            Ok(t.flatten_all()?.to_vec1::<f32>()?.into_iter().map(f64::from).collect())
        };
        let mut x = [flat(&matrix)?, flat(&vector)?].concat();
        let (mut m, mut s, mut ema) = ([0.0; 9], [0.0; 9], x.clone());
        for count in 1..=10u64 {
            // loss = (matrix * vector)² summed, once for each of the two replicas
            let loss = || -> Result<GradStore> { Ok(matrix.broadcast_mul(&vector)?.sqr()?.sum_all()?.backward()?) };
            let length = adam.step(&[loss()?, loss()?], &Step { count, ..STEP }, &workers)?;

            let (a, v) = x.split_at(6);
            let mut g: Vec<f64> = (0..6).map(|i| 4.0 * a[i] * v[i % 3] * v[i % 3]).collect();
            g.extend((0..3).map(|j| 4.0 * v[j] * (a[j] * a[j] + a[j + 3] * a[j + 3])));
            let norm = g.iter().map(|g| g * g).sum::<f64>().sqrt();
            assert!((norm - length).abs() < 1e-4 * norm, "{norm} {length}");
            for i in 0..9 {
                let g = g[i] * (1.0 / norm).min(1.0);
                m[i] = 0.9 * m[i] + 0.1 * g;
                s[i] = 0.99 * s[i] + 0.01 * g * g;
                let (mh, sh) = (m[i] / (1.0 - 0.9f64.powf(count as f64)), s[i] / (1.0 - 0.99f64.powf(count as f64)));
                x[i] -= 0.1 * (mh / (sh.sqrt() + 1e-8) + if i < 6 { 0.01 * x[i] } else { 0.0 });
                let keep = 0.9f64.min((1.0 + count as f64) / (10.0 + count as f64));
                ema[i] = keep * ema[i] + (1.0 - keep) * x[i];
            }
        }
        let averages = adam.averages()?;
        for (expected, got) in
            [(&x, [flat(&matrix)?, flat(&vector)?]), (&ema, [flat(&averages["matrix"])?, flat(&averages["vector"])?])]
        {
            for (a, b) in expected.iter().zip(got.concat()) {
                assert!((a - b).abs() < 1e-4, "{a} {b}");
            }
        }
        Ok(())
    }

    #[test]
    fn a_weight_without_gradient_is_named() -> Result<()> {
        let parameters = Parameters::seeded(3);
        let used = parameters.builder().get_with_hints(3, "used", candle_nn::init::ONE)?;
        parameters.builder().get_with_hints(3, "idle", candle_nn::init::ONE)?;
        let error =
            AdamW::new(&parameters)?.step(&[used.sum_all()?.backward()?], &STEP, &Workers::new(2)?).unwrap_err();
        assert!(error.to_string().contains("idle"), "{error}");
        Ok(())
    }

    #[test]
    fn a_gradient_that_is_no_number_changes_nothing() -> Result<()> {
        let parameters = Parameters::seeded(3);
        let weight = parameters.builder().get_with_hints(1, "weight", candle_nn::init::ZERO)?;
        let gradients = weight.log()?.sum_all()?.backward()?;
        assert!(AdamW::new(&parameters)?.step(&[gradients], &STEP, &Workers::new(1)?).is_err());
        assert_eq!(weight.to_vec1::<f32>()?, [0.0]);
        Ok(())
    }
}
