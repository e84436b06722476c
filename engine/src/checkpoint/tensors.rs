//! The weight files of one component: which tensors they hold, from their headers alone.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Range;
use std::path::PathBuf;

use candle_core::DType;
use safetensors::Dtype;
use safetensors::tensor::Metadata;
use serde::Deserialize;

use super::files::{Bytes, Files, TABLE_LIMIT};
use crate::Result;

/// Largest header in bytes. That of Stable Diffusion's U-Net has about 80 kilobytes.
const HEADER_LIMIT: u64 = 16 << 20;

/// A file begins with the length of its header, a little-endian u64.
const LENGTH_BYTES: usize = 8;

/// All tensors of a component by name. Holds views of the files, not copies.
#[derive(Debug)]
pub(super) struct Tensors {
    files: Vec<(PathBuf, Bytes)>,
    table: BTreeMap<String, Stored>,
}

/// Where and how one tensor is stored.
#[derive(Debug)]
pub(super) struct Stored {
    file: usize,
    range: Range<usize>,
    /// The type in the file.
    pub dtype: Dtype,
    /// Row-major.
    pub shape: Vec<usize>,
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
            None => return Err(folder.fault("", nothing_found(&names))),
        }
        tensors.rename_old_attention();
        Ok(tensors)
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
        self.files.first().map(|(path, _)| path.clone()).unwrap_or_default()
    }

    /// Reads the header of one file. From a shard, it takes only the tensors that the index lists for it.
    fn add(&mut self, folder: &Files, name: &str, from_index: Option<(&str, HashSet<String>)>) -> Result<()> {
        let Some(bytes) = folder.map(name)? else {
            let index = from_index.map_or("the folder", |(index, _)| index);
            return Err(folder.fault(name, format!("is missing, although {index} lists it: fetch the folder again")));
        };
        let (start, metadata) = read_header(&bytes).map_err(|message| folder.fault(name, message))?;
        let mut found = metadata.tensors();
        if let Some((index, wanted)) = from_index {
            if let Some(absent) = wanted.iter().find(|tensor| !found.contains_key(*tensor)) {
                return Err(folder.fault(name, format!("has no tensor {absent}, although {index} lists it")));
            }
            found.retain(|tensor, _| wanted.contains(tensor));
        }
        for (tensor, info) in found {
            let range = start + info.data_offsets.0..start + info.data_offsets.1;
            let stored = Stored { file: self.files.len(), range, dtype: info.dtype, shape: info.shape.clone() };
            self.table.insert(tensor, stored);
        }
        self.files.push((folder.path().join(name), bytes));
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

impl Stored {
    /// The same type in candle; `None` for a type that weights do not have.
    pub fn candle_dtype(&self) -> Option<DType> {
        match self.dtype {
            Dtype::F32 => Some(DType::F32),
            Dtype::F16 => Some(DType::F16),
            Dtype::BF16 => Some(DType::BF16),
            _ => None,
        }
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
    let parsed: Index = serde_json::from_slice(&bytes)
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

/// Checks a file's header and gives the offset at which its tensors begin. Deserializing [`Metadata`] checks that the
/// tensors leave no gaps and that their shapes fit their bytes; this function checks the lengths. The crate's
/// `read_metadata` does so too, but it allows a header of 100 MB and its errors do not say how many bytes are missing.
fn read_header(bytes: &[u8]) -> Result<(usize, Metadata), String> {
    if bytes.starts_with(b"version https://git-lfs") {
        return Err("is a Git LFS pointer, not the file itself: fetch it with `git lfs pull`".into());
    }
    let Some((length, rest)) = bytes.split_first_chunk::<LENGTH_BYTES>() else {
        return Err(format!("is not a safetensors file: it has only {} bytes; fetch it again", bytes.len()));
    };
    let length = u64::from_le_bytes(*length);
    if length > HEADER_LIMIT {
        return Err(format!("is damaged, or not a safetensors file: it claims a header of {length} bytes"));
    }
    let length = length as usize;
    let Some((header, data)) = rest.split_at_checked(length) else {
        return Err(format!("ends within its header of {length} bytes: fetch it again"));
    };
    let metadata: Metadata = serde_json::from_slice(header)
        .map_err(|error| format!("has a header that is not valid ({error}): fetch it again"))?;
    match metadata.data_len() {
        wanted if wanted > data.len() => Err(format!(
            "is cut short: its header announces {wanted} bytes, but only {} are there; fetch it again",
            data.len()
        )),
        wanted if wanted < data.len() => {
            Err(format!("has {} bytes that its header does not list: fetch it again", data.len() - wanted))
        }
        _ => Ok((LENGTH_BYTES + length, metadata)),
    }
}
