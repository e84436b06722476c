//! Files of a run. They are written whole or not at all. Change here how files are read and written; the stages decide
//! what is in them.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result, ensure};
use candle_core::{DType, Device, Tensor};
use instaflow_engine::atomic;
use safetensors::tensor::Metadata as Header;
use safetensors::{Dtype, View};

use crate::parameters::Tensors;

/// What a safetensors file says about its tensors.
pub type Metadata = HashMap<String, String>;

/// Writes a file in one go, its folder included.
pub fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    write_with(path, |beside| std::fs::write(beside, bytes))
}

/// Adds a line to a file, which need not exist.
pub fn append_line(path: &Path, line: &str) -> Result<()> {
    let append = || {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let mut file = std::fs::OpenOptions::new().create(true).append(true).open(path)?;
        // In one call, so that a process that is killed leaves no half of it.
        file.write_all(format!("{line}\n").as_bytes())
    };
    append().with_context(|| format!("cannot write {}", path.display()))
}

/// Prints results on stdout; a reader that has gone away is an error, no panic.
pub fn print(text: &str) -> Result<()> {
    let mut out = std::io::stdout();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).context("cannot write to stdout")
}

/// Reads a text file.
pub fn read_text(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

/// Writes JSON as people read it.
pub fn write_json(path: &Path, value: &serde_json::Value) -> Result<()> {
    write(path, format!("{value:#}\n").as_bytes())
}

/// Writes a picture as PNG.
pub fn write_png(path: &Path, picture: &image::RgbImage) -> Result<()> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    picture.write_to(&mut bytes, image::ImageFormat::Png).context("cannot encode a PNG")?;
    write(path, bytes.get_ref())
}

/// Something that becomes a tensor in a file.
pub enum Saved<'a> {
    /// A tensor, in the type that it has.
    Tensor(Tensor),
    /// Numbers and their shape.
    Values(&'a [f32], Vec<usize>),
}

/// Writes tensors by name, one after the other, so that memory holds no second copy of them all.
pub fn write_tensors<'a>(
    path: &Path,
    tensors: impl IntoIterator<Item = (String, Saved<'a>)>,
    metadata: Metadata,
) -> Result<()> {
    write_with(path, |beside| {
        safetensors::serialize_to_file(tensors, Some(metadata), beside).map_err(std::io::Error::other)
    })
}

/// Named tensors as [`write_tensors`] takes them.
pub fn saved(tensors: &Tensors) -> impl Iterator<Item = (String, Saved<'static>)> {
    tensors.iter().map(|(name, tensor)| (name.clone(), Saved::Tensor(tensor.clone())))
}

/// A safetensors file whose tensors are read one at a time.
pub struct TensorFile {
    name: String,
    file: Mutex<File>,
    header: Header,
    start: u64,
}

impl TensorFile {
    /// Reads the header; `None` if there is no such file.
    pub fn open(path: &Path) -> Result<Option<Self>> {
        if !path.exists() {
            return Ok(None);
        }
        let name = path.display().to_string();
        let read = || -> Result<Self> {
            let mut file = File::open(path)?;
            let length = file.metadata()?.len();
            let mut count = [0; 8];
            file.read_exact(&mut count)?;
            let count = u64::from_le_bytes(count);
            ensure!(count <= length.saturating_sub(8), "it is cut off, or no safetensors file");
            let mut bytes = vec![0; count as usize];
            file.read_exact(&mut bytes)?;
            let header: Header = serde_json::from_slice(&bytes)?;
            ensure!(8 + count + header.data_len() as u64 == length, "it is cut off: remove it, and make it again");
            Ok(Self { name: name.clone(), file: Mutex::new(file), header, start: 8 + count })
        };
        read().map(Some).with_context(|| format!("cannot read {name}"))
    }

    /// What the file says about its tensors.
    pub fn metadata(&self) -> Metadata {
        self.header.metadata().clone().unwrap_or_default()
    }

    /// The names of all tensors, sorted.
    pub fn names(&self) -> Vec<String> {
        let mut names = self.header.offset_keys();
        names.sort();
        names
    }

    /// The length of a tensor's first dimension, from the header alone; 0 if there is none of this name.
    pub fn rows(&self, name: &str) -> usize {
        self.header.info(name).and_then(|info| info.shape.first().copied()).unwrap_or_default()
    }

    /// A tensor in the type that it has, on the CPU; `None` if there is none of this name.
    pub fn get(&self, name: &str) -> Result<Option<Tensor>> {
        let Some(info) = self.header.info(name) else { return Ok(None) };
        let read = || -> Result<Tensor> {
            let (start, end) = info.data_offsets;
            let mut bytes = vec![0; end - start];
            let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
            file.seek(SeekFrom::Start(self.start + start as u64))?;
            file.read_exact(&mut bytes)?;
            Ok(Tensor::from_raw_buffer(&bytes, DType::try_from(info.dtype)?, &info.shape, &Device::Cpu)?)
        };
        read().map(Some).with_context(|| format!("cannot read {name} in {}", self.name))
    }

    /// All tensors whose names begin with `prefix`, without it.
    pub fn below(&self, prefix: &str) -> Result<Tensors> {
        let mut tensors = Tensors::new();
        for name in self.names() {
            if let (Some(rest), Some(tensor)) = (name.strip_prefix(prefix), self.get(&name)?) {
                tensors.insert(rest.to_owned(), tensor);
            }
        }
        Ok(tensors)
    }
}

impl View for Saved<'_> {
    fn dtype(&self) -> Dtype {
        match self {
            Self::Tensor(tensor) => tensor.dtype().into(),
            Self::Values(..) => Dtype::F32,
        }
    }

    fn shape(&self) -> &[usize] {
        match self {
            Self::Tensor(tensor) => tensor.dims(),
            Self::Values(_, shape) => shape,
        }
    }

    fn data(&self) -> Cow<'_, [u8]> {
        match self {
            Self::Tensor(tensor) => tensor.data(),
            Self::Values(values, _) => values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<_>>().into(),
        }
    }

    fn data_len(&self) -> usize {
        match self {
            Self::Tensor(tensor) => tensor.data_len(),
            Self::Values(values, _) => size_of_val(*values),
        }
    }
}

/// Writes a file in one go, its folder included, with what `fill` puts into it.
fn write_with(path: &Path, fill: impl FnOnce(&Path) -> std::io::Result<()>) -> Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    }
    Ok(atomic::write_with(path, true, fill)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use instaflow_test_support::assert_error;

    #[test]
    fn tensors_come_back_one_by_one() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("deep/er.safetensors");
        let half = Tensor::new(&[[1f32, 2.0], [3.0, 4.0]], &Device::Cpu)?.to_dtype(DType::F16)?;
        let tensors =
            [("a/x".to_owned(), Saved::Values(&[1.0, 2.0, 3.0], vec![3])), ("b/x".to_owned(), Saved::Tensor(half))];
        write_tensors(&path, tensors, Metadata::from([("steps".into(), "7".into())]))?;
        let file = TensorFile::open(&path)?.context("a file")?;
        assert_eq!(file.names(), ["a/x", "b/x"]);
        assert_eq!(file.metadata()["steps"], "7");
        assert_eq!(file.below("a/")?["x"].to_vec1::<f32>()?, [1.0, 2.0, 3.0]);
        assert_eq!(file.get("b/x")?.context("b")?.to_dtype(DType::F32)?.to_vec2::<f32>()?, [[1.0, 2.0], [3.0, 4.0]]);
        assert!(file.get("c")?.is_none());
        assert_eq!(std::fs::read_dir(folder.path().join("deep"))?.count(), 1, "something lies beside the file");
        Ok(())
    }

    #[test]
    fn a_file_that_is_cut_off_is_refused() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("a.safetensors");
        write_tensors(&path, [("a".to_owned(), Saved::Values(&[1.0; 9], vec![9]))], Metadata::new())?;
        let bytes = std::fs::read(&path)?;
        for length in [0, 5, 20, bytes.len() - 1] {
            std::fs::write(&path, &bytes[..length])?;
            assert_error(TensorFile::open(&path), "a.safetensors");
        }
        assert!(TensorFile::open(&folder.path().join("none"))?.is_none());
        Ok(())
    }
}
