//! The weight files of one component: which tensors they hold, from their headers alone.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use candle_core::DType;
use half::{bf16, f16};
use safetensors::Dtype;
use safetensors::tensor::TensorInfo;
use serde::Deserialize;

use super::files::{Bytes, Files, TABLE_LIMIT};
use super::{header, text_file};
use crate::{Error, Result};

/// All tensors of a component by name. Holds views of the files, not copies.
#[derive(Debug, Default)]
pub(crate) struct Tensors {
    files: Vec<Arc<(PathBuf, Bytes)>>,
    table: BTreeMap<String, Stored>,
}

/// Where and how one tensor is stored.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    file: usize,
    range: Range<usize>,
    /// The type in the file.
    pub dtype: Dtype,
    /// Row-major.
    pub shape: Vec<usize>,
    /// What its numbers must be multiplied by, if their type is too narrow to hold them as they are.
    pub scale: Option<f32>,
}

impl Tensors {
    /// Finds the weight files in a component's folder and reads their headers.
    pub fn open(folder: &Files) -> Result<Self> {
        let names = folder.names();
        let mut tensors = Self { files: Vec::new(), table: BTreeMap::new() };
        match find(&names) {
            Some(Layout::Single(name)) => tensors.add(folder, name, None)?,
            Some(Layout::Sharded(index)) => {
                for (shard, wanted) in read_index(folder, index)? {
                    tensors.add(folder, &shard, Some((index, wanted)))?;
                }
            }
            None => return Err(folder.missing("", nothing_found(&names))),
        }
        tensors.rename_old_attention();
        Ok(tensors)
    }

    /// Reads the header of one file on disk, which holds several components or one whose names are not Diffusers'.
    pub fn open_file(path: &Path) -> Result<Self> {
        let unreadable = |source| Error::File { action: "cannot read", path: path.to_owned(), source };
        let file = File::open(path).map_err(unreadable)?;
        let length = file.metadata().map_err(unreadable)?.len();
        let bytes = Bytes::map(&file, length).map_err(unreadable)?;
        let mut tensors = Self::default();
        tensors
            .add_bytes(path.to_owned(), bytes, |_| Ok(()))
            .map_err(|message| Error::Checkpoint { path: path.to_owned(), message })?;
        Ok(tensors)
    }

    /// Tensors of no file, for tests of names and shapes.
    #[cfg(test)]
    pub fn of_shapes(tensors: impl Iterator<Item = (String, Dtype, Vec<usize>)>) -> Self {
        let stored = |dtype, shape| Stored { file: 0, range: 0..0, dtype, shape, scale: None };
        Self { files: Vec::new(), table: tensors.map(|(name, dtype, shape)| (name, stored(dtype, shape))).collect() }
    }

    /// The same files with other tensors in them, which are parts of this one's or have other names.
    pub fn view(&self, table: BTreeMap<String, Stored>) -> Self {
        let mut tensors = Self { files: self.files.clone(), table };
        tensors.rename_old_attention();
        tensors
    }

    /// The same files and tensors; the files are shared, not copied.
    pub fn whole(&self) -> Self {
        Self { files: self.files.clone(), table: self.table.clone() }
    }

    /// Place, shape and type of one tensor.
    pub fn get(&self, name: &str) -> Option<&Stored> {
        self.table.get(name)
    }

    /// All of them, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Stored)> {
        self.table.iter().map(|(name, stored)| (name.as_str(), stored))
    }

    /// The bytes of one tensor. Their address may have any alignment.
    pub fn bytes(&self, stored: &Stored) -> &[u8] {
        &self.files[stored.file].1[stored.range.clone()]
    }

    /// The values of one tensor, if they are numbers of 16 or 32 bits. For small ones: it copies.
    pub fn values(&self, stored: &Stored) -> Option<Vec<f32>> {
        let bytes = self.bytes(stored);
        match stored.dtype {
            Dtype::F32 => Some(bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()),
            Dtype::F16 => Some(bytes.as_chunks().0.iter().map(|bytes| f16::from_le_bytes(*bytes).to_f32()).collect()),
            Dtype::BF16 => Some(bytes.as_chunks().0.iter().map(|bytes| bf16::from_le_bytes(*bytes).to_f32()).collect()),
            _ => None,
        }
    }

    /// Lets the system take back the memory of these bytes.
    pub fn release(&self, stored: &Stored) {
        self.files[stored.file].1.release(stored.range.clone());
    }

    /// The file that holds a tensor.
    pub fn path_of(&self, stored: &Stored) -> PathBuf {
        self.files[stored.file].0.clone()
    }

    /// The first file, for errors about tensors that are missing.
    pub fn path(&self) -> PathBuf {
        self.files.first().map(|file| file.0.clone()).unwrap_or_default()
    }

    /// Reads the header of one file. From a shard, it takes only the tensors that the index lists for it.
    fn add(&mut self, folder: &Files, name: &str, from_index: Option<(&str, HashSet<String>)>) -> Result<()> {
        let Some(bytes) = folder.map(name)? else {
            let index = from_index.map_or("the folder", |(index, _)| index);
            return Err(folder.fault(name, format!("is missing, although {index} lists it: fetch the folder again")));
        };
        let choose = |found: &mut Found<'_>| {
            let Some((index, wanted)) = from_index else { return Ok(()) };
            if let Some(absent) = wanted.iter().find(|tensor| !found.contains_key(*tensor)) {
                return Err(format!("has no tensor {absent}, although {index} lists it"));
            }
            found.retain(|tensor, _| wanted.contains(tensor));
            Ok(())
        };
        self.add_bytes(folder.path().join(name), bytes, choose).map_err(|message| folder.fault(name, message))
    }

    /// Reads the header of one file and takes the tensors that `choose` leaves.
    fn add_bytes(
        &mut self,
        path: PathBuf,
        bytes: Bytes,
        choose: impl FnOnce(&mut Found<'_>) -> Result<(), String>,
    ) -> Result<(), String> {
        let (start, metadata) = header::parse(&bytes)?;
        let mut found = metadata.tensors();
        choose(&mut found)?;
        for (tensor, info) in found {
            let range = start + info.data_offsets.0..start + info.data_offsets.1;
            let (dtype, shape) = (info.dtype, info.shape.clone());
            self.table.insert(tensor, Stored { file: self.files.len(), range, dtype, shape, scale: None });
        }
        self.files.push(Arc::new((path, bytes)));
        Ok(())
    }

    /// Gives the attention of autoencoders its present names. Diffusers before 0.18 wrote others, which published folders
    /// still have; it renames them on reading as well.
    fn rename_old_attention(&mut self) {
        let renames = [("query", "to_q"), ("key", "to_k"), ("value", "to_v"), ("proj_attn", "to_out.0")];
        let old: Vec<(String, String)> = (self.table.keys())
            .filter_map(|name| {
                let (layer, end) = name.rsplit_once('.')?;
                let (parent, old) = layer.rsplit_once('.')?;
                let (attentions, number) = parent.rsplit_once('.')?;
                let in_attention = attentions.ends_with("attentions") && number.parse::<u32>().is_ok();
                let (_, new) = renames.iter().find(|(from, _)| *from == old && in_attention)?;
                Some((name.clone(), format!("{parent}.{new}.{end}")))
            })
            .collect();
        for (from, to) in old {
            if let (false, Some(stored)) = (self.table.contains_key(&to), self.table.remove(&from)) {
                self.table.insert(to, stored);
            }
        }
    }
}

/// Tensors in a header.
type Found<'a> = HashMap<String, &'a TensorInfo>;

impl Stored {
    /// The same type in candle; `None` for a type that weights do not have.
    pub fn candle_dtype(&self) -> Option<DType> {
        match self.dtype {
            Dtype::F32 => Some(DType::F32),
            Dtype::F16 => Some(DType::F16),
            Dtype::BF16 => Some(DType::BF16),
            Dtype::F8_E4M3 => Some(DType::F8E4M3),
            _ => None,
        }
    }

    /// The same numbers in another shape; `None` if that has more or fewer of them.
    pub fn reshaped(&self, shape: Vec<usize>) -> Option<Self> {
        let same = shape.iter().product::<usize>() == self.shape.iter().product::<usize>();
        same.then(|| Self { shape, ..self.clone() })
    }

    /// One of several equal parts of the first dimension; `None` if it cannot be divided so.
    pub fn part(&self, index: usize, of: usize) -> Option<Self> {
        let first = *self.shape.first()?;
        if index >= of || !first.is_multiple_of(of) || !self.range.len().is_multiple_of(of) {
            return None;
        }
        let length = self.range.len() / of;
        let start = self.range.start + index * length;
        let mut shape = self.shape.clone();
        shape[0] = first / of;
        Some(Self { range: start..start + length, shape, ..self.clone() })
    }

    /// Its size in the file.
    pub fn byte_count(&self) -> u64 {
        self.range.len() as u64
    }
}

/// How the weights of a folder are stored.
enum Layout<'a> {
    Single(&'a str),
    /// Several files; this is the name of the index that lists them.
    Sharded(&'a str),
}

/// Finds the weights among a folder's files. Full precision is preferred to the `fp16` and `bf16` variants because it
/// serves every precision, and a single file to shards.
fn find(names: &[String]) -> Option<Layout<'_>> {
    let present = |wanted: String| names.iter().find(|name| **name == wanted).map(String::as_str);
    for variant in ["", ".fp16", ".bf16"] {
        for stem in ["diffusion_pytorch_model", "model"] {
            let single = present(format!("{stem}{variant}.safetensors")).map(Layout::Single);
            // Diffusers puts the variant last in the name, Transformers first.
            let index = present(format!("{stem}.safetensors.index{variant}.json"))
                .or_else(|| present(format!("{stem}{variant}.safetensors.index.json")));
            if let Some(found) = single.or(index.map(Layout::Sharded)) {
                return Some(found);
            }
        }
    }
    None
}

/// The error message if [`find`] finds nothing.
fn nothing_found(names: &[String]) -> String {
    let with = |endings: &[&str]| names.iter().find(|name| endings.iter().any(|ending| name.ends_with(ending)));
    if let Some(part) = names.iter().find(|name| name.contains("-of-") && name.ends_with(".safetensors")) {
        format!("holds {part}, one of several files, but not the index (*.safetensors.index.json) that lists them")
    } else if let Some(other) = with(&[".safetensors"]) {
        format!("holds {other}, but diffusion_pytorch_model.safetensors or model.safetensors is expected: rename it")
    } else if let Some(pickle) = with(&[".bin", ".pt", ".pth", ".ckpt", ".pkl"]) {
        format!("holds {pickle}, which can run code when it is read: fetch or convert the weights as safetensors")
    } else {
        "holds no weights: diffusion_pytorch_model.safetensors or model.safetensors is expected".into()
    }
}

/// The shards that an index lists, and the names of the tensors in each.
fn read_index(folder: &Files, index: &str) -> Result<BTreeMap<String, HashSet<String>>> {
    #[derive(Deserialize)]
    struct Index {
        weight_map: HashMap<String, String>,
    }
    let bytes = folder.read(index, TABLE_LIMIT)?.unwrap_or_default();
    let value = text_file::json(&bytes).map_err(|message| folder.fault(index, message))?;
    let parsed = Index::deserialize(value)
        .map_err(|error| folder.fault(index, format!("is not an index of safetensors files ({error})")))?;
    let mut shards = BTreeMap::<String, HashSet<String>>::new();
    for (tensor, shard) in parsed.weight_map {
        let plain = shard.ends_with(".safetensors") && !shard.contains(['/', '\\', ':']);
        if !plain {
            return Err(folder.fault(index, format!("lists {shard:?}, which is not a safetensors file")));
        }
        shards.entry(shard).or_default().insert(tensor);
    }
    if shards.is_empty() {
        return Err(folder.fault(index, "lists no files"));
    }
    Ok(shards)
}
