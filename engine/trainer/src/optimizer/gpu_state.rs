//! The optimizer's state on a GPU: everything in one flat tensor each, so that a step is a dozen operations however many
//! weights there are. Change here how that is laid out, not what it computes.

use anyhow::Result;
use candle_core::{DType, Tensor};

use super::{BETA1, BETA2, Factors, Gradients, Weight, decays, muon};

/// Values, moments and averages of all weights, one after the other, (N).
pub struct FlatState {
    value: Tensor,
    mean: Tensor,
    square: Tensor,
    average: Tensor,
    /// 1 where a weight decays, else 0.
    decay: Tensor,
    /// What the first moment keeps of itself.
    momentum: Tensor,
    /// Where each tensor begins, and its shape.
    places: Vec<(usize, Vec<usize>)>,
}

impl FlatState {
    /// Moments of zero, the averages of the values.
    pub fn new(weights: &[Weight]) -> Result<Self> {
        let value = values(weights)?;
        let of_each = |number: &dyn Fn(&Weight) -> f64| -> Result<Tensor> {
            let full = |weight: &Weight| Tensor::full(number(weight) as f32, weight.var.elem_count(), value.device());
            let parts: Vec<Tensor> = weights.iter().map(full).collect::<candle_core::Result<_>>()?;
            Ok(Tensor::cat(&parts, 0)?)
        };
        let mut next = 0;
        let place = |Weight { var, .. }: &Weight| {
            next += var.elem_count();
            (next - var.elem_count(), var.dims().to_vec())
        };
        Ok(Self {
            mean: value.zeros_like()?,
            square: value.zeros_like()?,
            average: value.copy()?,
            decay: of_each(&|weight| f64::from(u8::from(decays(&weight.var))))?,
            momentum: of_each(&|weight| if weight.muon.is_some() { muon::MOMENTUM } else { BETA1 })?,
            places: weights.iter().map(place).collect(),
            value,
        })
    }

    /// Changes all weights.
    pub fn update(&mut self, weights: &[Weight], gradients: &[Gradients], factors: &Factors) -> Result<()> {
        let gradient = (summed(gradients)? * factors.scale)?;
        let moved = |mean: &Tensor| &gradient + (mean - &gradient)? * &self.momentum;
        self.mean = moved(&self.mean)?;
        self.square = ((&self.square * BETA2)? + (gradient.sqr()? * (1.0 - BETA2))?)?;
        let mut way = ((&self.mean * factors.size)? / (self.square.sqrt()? + factors.epsilon)?)?;
        if weights.iter().any(|weight| weight.muon.is_some()) {
            let ahead = moved(&self.mean)?;
            let part = |(weight, (start, _)): (&Weight, &(usize, Vec<usize>))| {
                let Some(matrix) = weight.muon else { return way.narrow(0, *start, weight.var.elem_count()) };
                let gradient = ahead.narrow(0, *start, weight.var.elem_count())?.reshape(matrix)?;
                (muon::orthogonalised(&gradient)? * (factors.rate * muon::scale(matrix)))?.flatten_all()
            };
            let parts: Vec<Tensor> = weights.iter().zip(&self.places).map(part).collect::<candle_core::Result<_>>()?;
            way = Tensor::cat(&parts, 0)?;
        }
        let decayed = ((&self.value * &self.decay)? * (1.0 - factors.keep))?;
        self.value = ((&self.value - decayed)? - way)?;
        self.average = (&self.average + ((&self.value - &self.average)? * (1.0 - factors.average))?)?;
        for (Weight { var, .. }, (start, shape)) in weights.iter().zip(&self.places) {
            var.set(&self.value.narrow(0, *start, var.elem_count())?.reshape(shape.as_slice())?)?;
        }
        Ok(())
    }

    /// Both moments and the average of one tensor.
    pub fn parts(&self, index: usize) -> Result<[Tensor; 3]> {
        let (start, shape) = &self.places[index];
        let count = shape.iter().product();
        let part = |flat: &Tensor| flat.narrow(0, *start, count)?.reshape(shape.as_slice());
        Ok([part(&self.mean)?, part(&self.square)?, part(&self.average)?])
    }

    /// Takes over what [`Self::parts`] gave for one tensor.
    pub fn restore(&mut self, index: usize, parts: &[Tensor; 3]) -> Result<()> {
        let start = self.places[index].0;
        for (flat, part) in [&self.mean, &self.square, &self.average].into_iter().zip(parts) {
            let part = part.flatten_all()?.to_dtype(DType::F32)?.to_device(flat.device())?;
            flat.slice_set(&part, 0, start)?;
        }
        Ok(())
    }

    /// Takes the values from the variables.
    pub fn reload(&mut self, weights: &[Weight]) -> Result<()> {
        self.value = values(weights)?;
        Ok(())
    }
}

/// The length of the sum of the replicas' gradients.
pub fn length(gradients: &[Gradients]) -> Result<f64> {
    Ok(f64::from(summed(gradients)?.sqr()?.sum_all()?.to_scalar::<f32>()?).sqrt())
}

fn values(weights: &[Weight]) -> Result<Tensor> {
    let flat: Vec<Tensor> =
        weights.iter().map(|weight| weight.var.flatten_all()).collect::<candle_core::Result<_>>()?;
    Ok(Tensor::cat(&flat, 0)?.detach())
}

/// The sum of the replicas' gradients, flat.
fn summed(gradients: &[Gradients]) -> Result<Tensor> {
    let flat = |replica: &Gradients| {
        let parts: Vec<Tensor> = replica.iter().map(Tensor::flatten_all).collect::<candle_core::Result<_>>()?;
        Tensor::cat(&parts, 0)
    };
    let mut replicas = gradients.iter();
    let first = replicas.next().map(flat).ok_or_else(|| anyhow::anyhow!("a step needs a gradient"))??;
    replicas.try_fold(first, |sum, replica| Ok((sum + flat(replica)?)?))
}
