//! Random weights, for timing a network without its real weights.

use candle_core::{DType, Device, Result, Shape, Tensor, bail};
use candle_nn::var_builder::SimpleBackend;
use candle_nn::{Init, VarBuilder};
use rayon::prelude::*;

use crate::splitmix::SplitMix64;

/// Gives tensors of any name and shape. Biases are 0, vectors (the weights of norms) are 1, and everything else is uniform
/// with variance `1 / fan_in`, so that values neither vanish nor grow in a deep network. The same seed gives the same
/// weights in any order.
pub fn random_weights(seed: u64, dtype: DType, device: &Device) -> VarBuilder<'static> {
    VarBuilder::from_backend(Box::new(RandomWeights { seed }), dtype, device.clone())
}

struct RandomWeights {
    seed: u64,
}

impl SimpleBackend for RandomWeights {
    fn get(&self, shape: Shape, name: &str, _: Init, dtype: DType, device: &Device) -> Result<Tensor> {
        let dims = shape.dims();
        if name.ends_with("bias") {
            return Tensor::zeros(dims, dtype, device);
        }
        if dims.len() < 2 {
            return Tensor::ones(dims, dtype, device);
        }
        let fan_in: usize = dims[1..].iter().product();
        let bound = (3.0 / fan_in.max(1) as f32).sqrt();
        let start = name.bytes().fold(self.seed, |state, byte| bits(state ^ u64::from(byte)));
        let value = |i: usize| {
            let value = bits(start.wrapping_add(i as u64)) >> 40;
            bound * (value as f32 / (1u64 << 23) as f32 - 1.0)
        };
        let values: Vec<f32> = (0..shape.elem_count()).into_par_iter().map(value).collect();
        Tensor::from_vec(values, dims, device)?.to_dtype(dtype)
    }

    fn get_unchecked(&self, name: &str, _: DType, _: &Device) -> Result<Tensor> {
        bail!("random weights need a shape, but {name} was asked for without one")
    }

    fn contains_tensor(&self, _: &str) -> bool {
        true
    }
}

/// The first number of a seed's stream.
fn bits(seed: u64) -> u64 {
    SplitMix64::new(seed).bits()
}

#[cfg(test)]
mod tests {
    use instaflow_test_support::{Tolerance, assert_close, assert_error};

    use super::*;

    #[test]
    fn matrices_have_the_variance_of_their_fan_in() {
        let builder = random_weights(1, DType::F32, &Device::Cpu);
        let values = builder.get((64, 16, 3, 3), "conv.weight").unwrap().flatten_all().unwrap();
        let values = values.to_vec1::<f32>().unwrap();
        let mean = values.iter().sum::<f32>() / values.len() as f32;
        let variance = values.iter().map(|value| value * value).sum::<f32>() / values.len() as f32;
        assert_close(mean, 0.0, Tolerance::absolute(0.01));
        assert_close(variance * 144.0, 1.0, Tolerance::absolute(0.05));
        let again = random_weights(1, DType::F32, &Device::Cpu).get((64, 16, 3, 3), "conv.weight").unwrap();
        assert_eq!(again.flatten_all().unwrap().to_vec1::<f32>().unwrap(), values);
    }

    #[test]
    fn norms_start_as_the_identity() {
        let builder = random_weights(1, DType::BF16, &Device::Cpu).pp("norm");
        let read = |name: &str| {
            let tensor = builder.get(3, name).unwrap().to_dtype(DType::F32).unwrap();
            tensor.to_vec1::<f32>().unwrap()
        };
        assert_eq!(read("weight"), [1.0; 3]);
        assert_eq!(read("bias"), [0.0; 3]);
        assert_error(builder.get_unchecked("weight"), "asked for without one");
    }
}
