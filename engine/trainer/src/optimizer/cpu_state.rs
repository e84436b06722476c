//! The optimizer's state on the CPU: plain slices, one pass over them. Change here how the loops run, not what they
//! compute.

use std::cell::RefCell;

use anyhow::{Context, Result};
use candle_core::{CpuStorage, Device, InplaceOp1, Layout, Storage, Tensor, Var};

use super::{BETA1, BETA2, Factors, Gradients, Weight, decays, muon};
use crate::workers::Workers;

/// What is remembered of one tensor. All slices are row-major and as long as the tensor, whose values stay in its
/// variable: nothing is kept twice, since a network may fill most of the memory.
pub struct TensorState {
    mean: Vec<f32>,
    square: Vec<f32>,
    average: Vec<f32>,
}

/// Numbers of a tensor that are worked on at once: few enough to stay in the first-level cache.
const CHUNK: usize = 1024;

impl TensorState {
    /// Moments of zero, the average of the value.
    pub fn new(var: &Var) -> Result<Self> {
        let average: Vec<f32> = var.flatten_all()?.to_vec1()?;
        let zeros = vec![0.0; average.len()];
        Ok(Self { mean: zeros.clone(), square: zeros, average })
    }

    /// Both moments and the average.
    pub fn parts(&self) -> [&[f32]; 3] {
        [&self.mean, &self.square, &self.average]
    }

    /// Takes over what [`Self::parts`] gave.
    pub fn restore(&mut self, parts: &[Tensor; 3]) -> Result<()> {
        for (target, part) in [&mut self.mean, &mut self.square, &mut self.average].into_iter().zip(parts) {
            *target = part.flatten_all()?.to_vec1()?;
        }
        Ok(())
    }

    /// The average in the shape of its tensor.
    pub fn average(&self, var: &Var) -> Result<Tensor> {
        Ok(Tensor::from_slice(&self.average, var.shape(), &Device::Cpu)?)
    }

    fn update(&mut self, weight: &Weight, gradients: &[&Tensor], factors: &Factors) -> Result<()> {
        match weight.muon {
            Some(matrix) => self.muon(&weight.var, matrix, gradients, factors),
            None => self.adam(&weight.var, gradients, factors),
        }
    }

    fn muon(&mut self, var: &Var, matrix: (usize, usize), gradients: &[&Tensor], factors: &Factors) -> Result<()> {
        let (momentum, scale, beta2) = (muon::MOMENTUM as f32, factors.scale as f32, BETA2 as f32);
        let ahead = with_slices(gradients, |gradients| {
            let mut ahead = vec![0.0; self.mean.len()];
            let moments = self.mean.chunks_mut(CHUNK).zip(self.square.chunks_mut(CHUNK));
            for (index, (ahead, (means, squares))) in ahead.chunks_mut(CHUNK).zip(moments).enumerate() {
                summed(gradients, index * CHUNK, ahead);
                for (ahead, (mean, square)) in ahead.iter_mut().zip(means.iter_mut().zip(squares)) {
                    let gradient = *ahead * scale;
                    // For AdamW, which the run may be told to go on with.
                    *square = beta2 * *square + (1.0 - beta2) * gradient * gradient;
                    *mean = momentum * *mean + (1.0 - momentum) * gradient;
                    *ahead = momentum * *mean + (1.0 - momentum) * gradient;
                }
            }
            Ok(ahead)
        })?;
        let way = muon::orthogonalised(&Tensor::from_vec(ahead, matrix, &Device::Cpu)?)?;
        let size = (factors.rate * muon::scale(matrix)) as f32;
        let (keep, average) = (factors.keep as f32, factors.average as f32);
        with_slices(&[&way], |way| {
            let change = &mut |values: &mut [f32]| {
                for ((value, slow), way) in values.iter_mut().zip(&mut self.average).zip(way[0]) {
                    *value = *value * keep - size * way;
                    *slow += (1.0 - average) * (*value - *slow);
                }
            };
            Ok(var.inplace_op1(&InPlace(RefCell::new(change)))?)
        })
    }

    fn adam(&mut self, var: &Var, gradients: &[&Tensor], factors: &Factors) -> Result<()> {
        let keep = if decays(var) { factors.keep as f32 } else { 1.0 };
        let (size, epsilon) = (factors.size as f32, factors.epsilon as f32);
        let (average, scale) = (factors.average as f32, factors.scale as f32);
        let (beta1, beta2) = (BETA1 as f32, BETA2 as f32);
        with_slices(gradients, |gradients| {
            let change = &mut |values: &mut [f32]| {
                let mut buffer = [0.0; CHUNK];
                let moments = self.mean.chunks_mut(CHUNK).zip(self.square.chunks_mut(CHUNK));
                let weights = values.chunks_mut(CHUNK).zip(self.average.chunks_mut(CHUNK));
                for (index, ((values, averages), (means, squares))) in weights.zip(moments).enumerate() {
                    let gradient = summed(gradients, index * CHUNK, &mut buffer[..values.len()]);
                    let moments = means.iter_mut().zip(squares);
                    for (((value, slow), (mean, square)), gradient) in
                        values.iter_mut().zip(averages).zip(moments).zip(gradient)
                    {
                        let gradient = *gradient * scale;
                        *mean = beta1 * *mean + (1.0 - beta1) * gradient;
                        *square = beta2 * *square + (1.0 - beta2) * gradient * gradient;
                        *value = *value * keep - size * *mean / (square.sqrt() + epsilon);
                        *slow += (1.0 - average) * (*value - *slow);
                    }
                }
            };
            Ok(var.inplace_op1(&InPlace(RefCell::new(change)))?)
        })
    }
}

/// The length of the sum of the replicas' gradients.
pub fn length(slots: &[TensorState], gradients: &[Gradients], workers: &Workers) -> Result<f64> {
    let sizes: Vec<usize> = slots.iter().map(|slot| slot.mean.len()).collect();
    let mut shares = Vec::new();
    for count in balanced(&sizes, workers.count()) {
        let first = shares.last().map_or(0, |share: &std::ops::Range<usize>| share.end);
        shares.push(first..first + count);
    }
    let squares = workers.map(shares, |share| {
        let square = |index: usize| {
            with_slices(&of(gradients, index), |slices| {
                let (mut sum, mut buffer) = (0.0, [0.0; CHUNK]);
                for start in (0..sizes[index]).step_by(CHUNK) {
                    let count = CHUNK.min(sizes[index] - start);
                    let part = summed(slices, start, &mut buffer[..count]);
                    sum += part.iter().map(|g| f64::from(*g) * f64::from(*g)).sum::<f64>();
                }
                Ok(sum)
            })
        };
        share.map(square).sum::<Result<f64>>()
    })?;
    Ok(squares.iter().sum::<f64>().sqrt())
}

/// Changes all weights, shared out over the workers.
pub fn update(
    weights: &[Weight],
    slots: &mut [TensorState],
    gradients: &[Gradients],
    factors: &Factors,
    workers: &Workers,
) -> Result<()> {
    let mut shares = Vec::new();
    let sizes: Vec<usize> = slots.iter().map(|slot| slot.mean.len()).collect();
    let (mut rest, mut first) = (slots, 0);
    for count in balanced(&sizes, workers.count()) {
        let (share, others) = rest.split_at_mut(count);
        shares.push((first, share));
        (rest, first) = (others, first + count);
    }
    workers.map(shares, |(first, share)| {
        (first..).zip(share).try_for_each(|(index, slot)| slot.update(&weights[index], &of(gradients, index), factors))
    })?;
    Ok(())
}

/// How many tensors each share gets, so that the shares have about equally many numbers.
fn balanced(sizes: &[usize], shares: usize) -> Vec<usize> {
    let target = sizes.iter().sum::<usize>().div_ceil(shares.max(1));
    let mut counts = Vec::new();
    let (mut count, mut numbers) = (0, 0);
    for size in sizes {
        (count, numbers) = (count + 1, numbers + size);
        if numbers >= target {
            counts.push(count);
            (count, numbers) = (0, 0);
        }
    }
    counts.extend((count > 0).then_some(count));
    counts
}

/// The replicas' gradients of one tensor.
fn of(gradients: &[Gradients], index: usize) -> Vec<&Tensor> {
    gradients.iter().map(|replica| &replica[index]).collect()
}

/// Shows the values of contiguous tensors on the CPU.
fn with_slices<T>(tensors: &[&Tensor], look: impl FnOnce(&[&[f32]]) -> Result<T>) -> Result<T> {
    let guards: Vec<_> = tensors.iter().map(|tensor| tensor.storage_and_layout()).collect();
    let mut slices = Vec::with_capacity(guards.len());
    for (storage, layout) in &guards {
        let Storage::Cpu(storage) = &**storage else { anyhow::bail!("gradients are added up on the CPU") };
        let values = storage.as_slice::<f32>()?.get(layout.start_offset()..).context("a tensor beyond its storage")?;
        slices.push(values);
    }
    look(&slices)
}

/// The sum of the replicas' gradients from `start` on.
fn summed<'a>(gradients: &[&[f32]], start: usize, buffer: &'a mut [f32]) -> &'a [f32] {
    let end = start + buffer.len();
    let Some((first, others)) = gradients.split_first() else {
        buffer.fill(0.0);
        return buffer;
    };
    buffer.copy_from_slice(&first[start..end]);
    for other in others {
        buffer.iter_mut().zip(&other[start..end]).for_each(|(sum, value)| *sum += value);
    }
    buffer
}

/// Hands the values of a variable on the CPU to a function that may change them.
struct InPlace<'a>(RefCell<Change<'a>>);

type Change<'a> = &'a mut dyn FnMut(&mut [f32]);

impl InplaceOp1 for InPlace<'_> {
    fn name(&self) -> &'static str {
        "optimizer step"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> candle_core::Result<()> {
        let CpuStorage::F32(values) = storage else { candle_core::bail!("weights are trained in f32") };
        let Some((start, end)) = layout.contiguous_offsets() else { candle_core::bail!("a weight with strides") };
        (self.0.borrow_mut())(&mut values[start..end]);
        Ok(())
    }
}
