//! Latents in files: the noise that a picture starts from, and the sampler's result. Add another file format here.

use std::borrow::Cow;
use std::fs;
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use safetensors::{Dtype, SafeTensors, View};

pub use crate::protocol::Latents;

use crate::{Error, Result, atomic};

/// Largest file in bytes, as it is read whole. This is the noise of 16,000 pictures of 512².
const FILE_LIMIT: u64 = 1 << 30;

impl Latents {
    /// Reads the tensor `noise` (f32, f16 or bf16) of a safetensors file, from which a picture starts.
    pub fn read(path: &Path) -> Result<Self> {
        Self::read_tensor(path, "noise")
    }

    /// Reads the tensor `latents` of a safetensors file, as [`Latents::write`] wrote it.
    pub fn read_latents(path: &Path) -> Result<Self> {
        Self::read_tensor(path, "latents")
    }

    fn read_tensor(path: &Path, name: &str) -> Result<Self> {
        let wrong = |message: String| Error::Checkpoint { path: path.to_owned(), message };
        let unreadable = |source| Error::File { action: "cannot read", path: path.to_owned(), source };
        let metadata = path.metadata().map_err(unreadable)?;
        if !metadata.is_file() {
            return Err(wrong(format!("is not a regular file: give a safetensors file with the tensor `{name}`")));
        }
        if metadata.len() > FILE_LIMIT {
            let gib = FILE_LIMIT >> 30;
            return Err(wrong(format!("the file is larger than {gib} GiB: write the {name} to a file of its own")));
        }
        let bytes = fs::read(path).map_err(unreadable)?;
        let file = SafeTensors::deserialize(&bytes)
            .map_err(|error| wrong(format!("is not a safetensors file ({error}): write the {name} as one")))?;
        let view = file
            .tensor(name)
            .map_err(|_| wrong(format!("the file has no tensor `{name}`: write the tensor under this name")))?;
        let shape: [usize; 4] = view.shape().try_into().map_err(|_| {
            wrong(format!("`{name}` has shape {:?}: it must be (N, channels, rows, columns)", view.shape()))
        })?;
        let dtype = match view.dtype() {
            Dtype::F32 => DType::F32,
            Dtype::F16 => DType::F16,
            Dtype::BF16 => DType::BF16,
            other => return Err(wrong(format!("`{name}` holds {other:?} values: write it as F32"))),
        };
        if view.data().is_empty() {
            return Err(wrong(format!("`{name}` is empty: it must hold at least one picture's values")));
        }
        let values = Tensor::from_raw_buffer(view.data(), dtype, view.shape(), &Device::Cpu)?
            .to_dtype(DType::F32)?
            .flatten_all()?
            .to_vec1()?;
        if values.iter().any(|value: &f32| !value.is_finite()) {
            return Err(wrong(format!("`{name}` has values that are not finite numbers: write it again")));
        }
        Ok(Self { shape, values })
    }

    /// Writes the values as the f32 tensor `latents` of a safetensors file, whole or not at all. An existing file is
    /// replaced only with `overwrite`.
    pub fn write(&self, path: &Path, overwrite: bool) -> Result<()> {
        let bytes = safetensors::serialize([("latents", self)], None)
            .map_err(|error| Error::Tensor(candle_core::Error::wrap(error)))?;
        atomic::write(path, &bytes, overwrite)
    }

    /// The values (1, C, h, w) of one picture; `None` past the last.
    pub fn picture(&self, index: usize) -> Option<Self> {
        let [count, channels, rows, columns] = self.shape;
        let values = self.values.len() / count.max(1);
        let part = self.values.get(index * values..(index + 1) * values)?;
        (index < count).then(|| Self { shape: [1, channels, rows, columns], values: part.to_vec() })
    }

    /// The tensor (N, C, h, w) on a device.
    pub(super) fn tensor(&self, device: &Device) -> Result<Tensor> {
        if self.values.len() != self.shape.iter().product::<usize>() {
            let (shape, values) = (self.shape, self.values.len());
            return Err(Error::Setting(format!("latents of shape {shape:?} cannot hold {values} values")));
        }
        Ok(Tensor::from_slice(&self.values, &self.shape, device)?)
    }

    /// From a tensor (N, C, h, w) of any floating type on any device.
    pub(super) fn from_tensor(tensor: &Tensor) -> Result<Self> {
        let (n, c, h, w) = tensor.dims4()?;
        let values = tensor.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?;
        Ok(Self { shape: [n, c, h, w], values })
    }
}

impl View for &Latents {
    fn dtype(&self) -> Dtype {
        Dtype::F32
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        self.values.iter().flat_map(|value| value.to_le_bytes()).collect()
    }

    fn data_len(&self) -> usize {
        self.values.len() * size_of::<f32>()
    }
}
