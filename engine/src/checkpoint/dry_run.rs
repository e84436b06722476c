//! A dry run of a network's constructor over the headers alone: the tensors that it asks for are checked and counted, but
//! not read.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use candle_core::{DType, Device, Result, Shape, Tensor, bail};
use candle_nn::Init;
use candle_nn::var_builder::SimpleBackend;

use super::component::Carried;
use super::tensors::{Stored, Tensors};

/// What a network needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Size {
    /// How many numbers its tensors hold.
    pub parameters: u64,
    /// Their size in bytes in the type that they are loaded as.
    pub bytes: u64,
}

/// Gives tensors of the right shape that all share a single zero. The constructor ends at the first tensor that is missing
/// or does not fit, so a hostile config cannot keep it running.
#[derive(Clone)]
pub(super) struct DryRun {
    tensors: Arc<Tensors>,
    /// Must fit as well.
    carried: Option<Carried>,
    log: Arc<Mutex<Log>>,
}

/// What the constructor has asked for so far.
#[derive(Default)]
struct Log {
    asked: HashSet<String>,
    size: Size,
    fault: Option<(PathBuf, String)>,
}

impl DryRun {
    pub fn new(tensors: Arc<Tensors>, carried: Option<Carried>) -> Self {
        Self { tensors, carried, log: Arc::default() }
    }

    /// The size of everything that was asked for. A tensor counts once, however often it is asked for.
    pub fn size(&self) -> Size {
        self.log().size
    }

    /// The file of the first tensor that did not fit, and what is wrong.
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
            let message = format!("stores {name} as {}, but F32, F16, BF16 or F8_E4M3 is expected", stored.dtype);
            return self.refuse(self.tensors.path_of(stored), &message);
        }
        if let Some(Err((path, message))) = self.carried.as_ref().map(|carried| carried.check(name, stored)) {
            return self.refuse(path, &message);
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
