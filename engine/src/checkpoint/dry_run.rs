//! A network's constructor run over headers alone: what it asks for is checked and counted, nothing is read.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use candle_core::{DType, Device, Result, Shape, Tensor, bail};
use candle_nn::Init;
use candle_nn::var_builder::SimpleBackend;

use super::tensors::{Stored, Tensors};

/// What a network needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Size {
    /// Numbers in its tensors.
    pub parameters: u64,
    /// Bytes of its tensors in the arithmetic that was asked for.
    pub bytes: u64,
}

/// Answers with tensors of the right shape that share a single zero. The first tensor that is missing or does not fit
/// ends the constructor, so that a hostile config cannot make it go on.
#[derive(Clone)]
pub(super) struct DryRun {
    tensors: Arc<Tensors>,
    log: Arc<Mutex<Log>>,
}

/// What was asked for so far.
#[derive(Default)]
struct Log {
    asked: HashSet<String>,
    size: Size,
    fault: Option<(PathBuf, String)>,
}

impl DryRun {
    pub fn new(tensors: Arc<Tensors>) -> Self {
        Self { tensors, log: Arc::default() }
    }

    /// Everything that was asked for, a tensor asked for twice counted once.
    pub fn size(&self) -> Size {
        self.log().size
    }

    /// The first tensor that did not fit: its file, and what is wrong.
    pub fn fault(&self) -> Option<(PathBuf, String)> {
        self.log().fault.clone()
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn refuse<T>(&self, path: PathBuf, message: &str) -> Result<T> {
        self.log().fault.get_or_insert_with(|| (path, message.to_owned()));
        bail!("{message}")
    }

    fn find(&self, name: &str) -> Result<&Stored> {
        let Some(stored) = self.tensors.get(name) else {
            let message = format!("lacks the tensor {name}, which config.json calls for");
            return self.refuse(self.tensors.path(), &message);
        };
        if stored.candle_dtype().is_none() {
            let message = format!("keeps {name} as {}, where F32, F16 or BF16 is expected", stored.dtype);
            return self.refuse(self.tensors.path_of(stored), &message);
        }
        Ok(stored)
    }

    fn answer(&self, name: &str, stored: &Stored, dtype: DType, device: &Device) -> Result<Tensor> {
        let mut log = self.log();
        if log.asked.insert(name.to_owned()) {
            let count = stored.shape.iter().product::<usize>() as u64;
            log.size.parameters += count;
            log.size.bytes += count * dtype.size_in_bytes() as u64;
        }
        Tensor::zeros((), dtype, device)?.broadcast_as(stored.shape.as_slice())
    }
}

impl SimpleBackend for DryRun {
    fn get(&self, shape: Shape, name: &str, _: Init, dtype: DType, device: &Device) -> Result<Tensor> {
        let stored = self.find(name)?;
        if stored.shape != shape.dims() {
            let (has, wants) = (&stored.shape, shape.dims());
            let message = format!("has {name} in the shape {has:?}, but config.json makes it {wants:?}");
            return self.refuse(self.tensors.path_of(stored), &message);
        }
        self.answer(name, stored, dtype, device)
    }

    fn get_unchecked(&self, name: &str, dtype: DType, device: &Device) -> Result<Tensor> {
        let stored = self.find(name)?;
        self.answer(name, stored, dtype, device)
    }

    fn contains_tensor(&self, name: &str) -> bool {
        self.tensors.get(name).is_some()
    }
}
