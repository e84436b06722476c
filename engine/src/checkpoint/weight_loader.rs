//! Gives a network's constructor the tensors that it asks for, read from the files one at a time.

use std::sync::Arc;

use candle_core::{DType, Device, Result, Shape, Tensor, bail};
use candle_nn::Init;
use candle_nn::var_builder::SimpleBackend;

use super::component::Carried;
use super::tensors::Tensors;
use crate::Cancel;

/// Reads every tensor in its stored type and converts it on the device. Memory holds the network and one more tensor, or four
/// of them in f32 if something is carried over.
pub(super) struct WeightLoader {
    pub tensors: Arc<Tensors>,
    /// What is added to them.
    pub carried: Option<Carried>,
    /// Checked before every tensor; counts the bytes read.
    pub cancel: Cancel,
}

impl SimpleBackend for WeightLoader {
    fn get(&self, shape: Shape, name: &str, _: Init, dtype: DType, device: &Device) -> Result<Tensor> {
        let tensor = self.get_unchecked(name, dtype, device)?;
        if tensor.shape() != &shape {
            bail!("tensor {name} has the shape {:?}, {shape:?} is expected", tensor.shape());
        }
        Ok(tensor)
    }

    fn get_unchecked(&self, name: &str, dtype: DType, device: &Device) -> Result<Tensor> {
        self.cancel.check().map_err(candle_core::Error::wrap)?;
        let tensor = match &self.carried {
            None => read(&self.tensors, name, dtype, device)?,
            Some(carried) => {
                let own = read(&self.tensors, name, DType::F32, device)?;
                let other = |tensors| read(tensors, name, DType::F32, device)?.reshape(own.shape());
                let difference = (other(&carried.finetune)? - other(&carried.base)?)?;
                (&own + (difference * f64::from(carried.weight))?)?.to_dtype(dtype)?
            }
        };
        self.cancel.add_bytes_read(tensor.elem_count() * dtype.size_in_bytes());
        Ok(tensor)
    }

    fn contains_tensor(&self, name: &str) -> bool {
        self.tensors.get(name).is_some()
    }
}

/// A tensor of a file, converted on the device.
fn read(tensors: &Tensors, name: &str, dtype: DType, device: &Device) -> Result<Tensor> {
    let Some(stored) = tensors.get(name) else { bail!("tensor {name} is missing") };
    let Some(stored_as) = stored.candle_dtype() else { bail!("tensor {name} is stored as {}", stored.dtype) };
    let read = |device: &Device| {
        let tensor = Tensor::from_raw_buffer(tensors.bytes(stored), stored_as, &stored.shape, device);
        tensors.release(stored);
        tensor
    };
    match stored.scale {
        // Not every GPU can convert numbers of 8 bits, and the product needs more of them.
        _ if stored_as == DType::F8E4M3 => {
            let tensor = read(&Device::Cpu)?.to_dtype(DType::F32)?;
            let scaled = (tensor * f64::from(stored.scale.unwrap_or(1.0)))?;
            scaled.to_dtype(dtype)?.to_device(device)
        }
        None => read(device)?.to_dtype(dtype),
        Some(scale) => (read(device)?.to_dtype(DType::F32)? * f64::from(scale))?.to_dtype(dtype),
    }
}
