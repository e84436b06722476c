//! Latents in files: the noise a picture starts from, and what the sampler leaves.

use std::borrow::Cow;
use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use safetensors::{Dtype, SafeTensors, View};

use crate::{Error, Result};

/// Latents of one picture or several, as f32.
#[derive(Clone, Debug, PartialEq)]
pub struct Latents {
    /// (N, C, h, w): pictures, channels, rows, columns.
    pub shape: [usize; 4],
    /// The values, last dimension fastest.
    pub values: Vec<f32>,
}

impl Latents {
    /// Reads the tensor `noise` (f32, f16 or bf16) of a safetensors file.
    pub fn read(path: &Path) -> Result<Self> {
        let bytes = fs::read(path).map_err(|source| file_error("cannot read", path, source))?;
        let wrong = |message: String| Error::Checkpoint { path: path.to_owned(), message };
        let file = SafeTensors::deserialize(&bytes)
            .map_err(|error| wrong(format!("this is no safetensors file ({error}): write the noise as one")))?;
        let view = file
            .tensor("noise")
            .map_err(|_| wrong("the file has no tensor `noise`: name the noise so when writing it".to_owned()))?;
        let shape: [usize; 4] = view.shape().try_into().map_err(|_| {
            wrong(format!("`noise` has shape {:?}: it must be (N, channels, rows, columns)", view.shape()))
        })?;
        let dtype = match view.dtype() {
            Dtype::F32 => DType::F32,
            Dtype::F16 => DType::F16,
            Dtype::BF16 => DType::BF16,
            other => return Err(wrong(format!("`noise` holds {other:?} values: write it as F32"))),
        };
        if view.data().is_empty() {
            return Err(wrong("`noise` is empty: it needs at least one picture's values".to_owned()));
        }
        let values = Tensor::from_raw_buffer(view.data(), dtype, view.shape(), &Device::Cpu)?
            .to_dtype(DType::F32)?
            .flatten_all()?
            .to_vec1()?;
        if values.iter().any(|value: &f32| !value.is_finite()) {
            return Err(wrong("`noise` has values that are not finite numbers: write it again".to_owned()));
        }
        Ok(Self { shape, values })
    }

    /// Writes the values as the f32 tensor `latents` of a safetensors file: beside `path` first, then under its name.
    /// An existing file is replaced only where `overwrite` says so.
    pub fn write(&self, path: &Path, overwrite: bool) -> Result<()> {
        let bytes = safetensors::serialize([("latents", self)], None)
            .map_err(|error| Error::Tensor(candle_core::Error::wrap(error)))?;
        let mut beside = path.as_os_str().to_owned();
        beside.push(format!(".{}.part", std::process::id()));
        let beside = PathBuf::from(beside);
        let result = File::create(&beside)
            .and_then(|mut file| {
                file.write_all(&bytes)?;
                file.sync_all()
            })
            .and_then(|()| publish(&beside, path, overwrite));
        if result.is_err() {
            // The file under its own name is untouched; what could not be finished goes.
            let _ = fs::remove_file(&beside);
        }
        result.map_err(|source| file_error("cannot write", path, source))
    }

    /// One picture's values, (1, C, h, w); `None` past the last.
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

/// Gives a finished file its name: a rename where it may replace another, a hard link where it must not, which fails
/// on an existing name without a moment in between.
fn publish(beside: &Path, path: &Path, overwrite: bool) -> std::io::Result<()> {
    if overwrite {
        return fs::rename(beside, path);
    }
    match fs::hard_link(beside, path) {
        Ok(()) => fs::remove_file(beside),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Err(error),
        // A file system without hard links.
        Err(_) if !path.exists() => fs::rename(beside, path),
        Err(error) => Err(error),
    }
}

fn file_error(action: &'static str, path: &Path, source: std::io::Error) -> Error {
    Error::File { action, path: path.to_owned(), source }
}
