//! A small tensor of a layer, such as a bias, that clones of the layer share and that can be replaced.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use candle_core::{Result, Tensor, bail};

/// A tensor with another one to come in its place. Clones have the same one.
#[derive(Clone, Debug)]
pub struct Replaceable(Arc<Mutex<Tensor>>);

impl Replaceable {
    /// Begins with this one.
    pub fn new(tensor: Tensor) -> Self {
        Self(Arc::new(Mutex::new(tensor)))
    }

    /// The present one.
    pub fn get(&self) -> Tensor {
        self.lock().clone()
    }

    /// Puts another tensor of the same shape and type in its place.
    pub fn set(&self, tensor: &Tensor) -> Result<()> {
        let mut present = self.lock();
        if tensor.shape() != present.shape() || tensor.dtype() != present.dtype() {
            bail!("{tensor:?} cannot take the place of {:?}", *present);
        }
        *present = tensor.clone();
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Tensor> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};

    use super::*;

    #[test]
    fn only_the_like_takes_its_place() -> Result<()> {
        let zeros = |n: usize, dtype| Tensor::zeros(n, dtype, &Device::Cpu);
        let first = Replaceable::new(zeros(3, DType::F32)?);
        let clone = first.clone();
        first.set(&Tensor::ones(3, DType::F32, &Device::Cpu)?)?;
        assert_eq!(clone.get().to_vec1::<f32>()?, [1.0; 3]);
        assert!(first.set(&zeros(2, DType::F32)?).is_err());
        assert!(first.set(&zeros(3, DType::F64)?).is_err());
        assert_eq!(first.get().to_vec1::<f32>()?, [1.0; 3]);
        Ok(())
    }
}
