//! Textual inversions in files: A1111's form (`emb_params`, or `string_to_param` as its older files have it), whose token
//! is the file's name, and Diffusers' form, whose tensors are named by their tokens. Change here what such a file may hold.

use std::fs;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

use crate::text::Embedding;
use crate::{Error, Result};

/// Largest file in bytes, as it is read whole. 75 vectors of 1024 numbers take 300 kilobytes.
const FILE_LIMIT: u64 = 16 << 20;

/// Tokens in a file, at most. One is usual; a file of many tensors is something else.
const MOST_TOKENS: usize = 64;

/// Files in a folder, at most.
const MOST_FILES: usize = 4096;

/// The file itself, or the safetensors files directly in a folder, sorted.
pub fn embedding_files(path: &Path) -> Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let unreadable = |source| Error::File { action: "cannot read", path: path.to_owned(), source };
    let entries = fs::read_dir(path).map_err(unreadable)?.flatten().take(MOST_FILES).map(|entry| entry.path());
    let is_one = |path: &PathBuf| path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("safetensors"));
    let mut files: Vec<PathBuf> = entries.filter(is_one).collect();
    files.sort();
    Ok(files)
}

/// Reads the embeddings of a safetensors file.
pub fn read_embeddings(path: &Path) -> Result<Vec<Embedding>> {
    let wrong = |message: String| Error::Checkpoint { path: path.to_owned(), message };
    let unreadable = |source| Error::File { action: "cannot read", path: path.to_owned(), source };
    if is_pickle(path) {
        let message = "can run code when it is read: load it in Python with torch.load(FILE, weights_only=True), and save \
                       its vectors with safetensors.torch.save_file under the name emb_params";
        return Err(wrong(message.to_owned()));
    }
    let metadata = path.metadata().map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(wrong("is not a regular file: give the safetensors file of a textual inversion".to_owned()));
    }
    if metadata.len() > FILE_LIMIT {
        return Err(wrong("is too large for a textual inversion: give the file with its vectors alone".to_owned()));
    }
    let bytes = fs::read(path).map_err(unreadable)?;
    let file = SafeTensors::deserialize(&bytes)
        .map_err(|error| wrong(format!("is not a safetensors file ({error}): fetch it again, or convert it")))?;
    let mut tensors: Vec<(String, TensorView<'_>)> = file.tensors();
    tensors.sort_by(|(a, _), (b, _)| a.cmp(b));
    let is = |name: &str| tensors.iter().any(|(other, _)| other == name);
    if is("clip_g") || is("clip_l") {
        let message = "holds vectors for the two text encoders of Stable Diffusion XL: use an embedding that was made for \
                       the model at hand";
        return Err(wrong(message.to_owned()));
    }
    let stem = || path.file_stem().unwrap_or_default().to_string_lossy().trim().to_owned();
    let by_file = |name: &str| name == "emb_params" || name == "*" || name.starts_with("string_to_param");
    if let Some((name, view)) = tensors.iter().find(|(name, _)| by_file(name)) {
        return Ok(vec![embedding(stem(), view).map_err(|message| wrong(format!("{name} {message}")))?]);
    }
    if tensors.is_empty() || tensors.len() > MOST_TOKENS {
        let message = format!("holds {} tensors, which is no textual inversion: give another file", tensors.len());
        return Err(wrong(message));
    }
    let named = |(name, view): &(String, TensorView<'_>)| {
        embedding(name.trim().to_owned(), view).map_err(|message| wrong(format!("\"{name}\" {message}")))
    };
    tensors.iter().map(named).collect()
}

/// Vectors (n, D) or one vector (D). The error goes on after the tensor's name.
fn embedding(name: String, view: &TensorView<'_>) -> Result<Embedding, String> {
    let width = match *view.shape() {
        [width] | [_, width] => width,
        ref shape => return Err(format!("has shape {shape:?}, but vectors (n, D) are expected: give another file")),
    };
    let dtype = match view.dtype() {
        Dtype::F32 => DType::F32,
        Dtype::F16 => DType::F16,
        Dtype::BF16 => DType::BF16,
        other => return Err(format!("holds {other:?} values: write them as F32")),
    };
    if name.is_empty() || view.data().is_empty() {
        return Err("is empty, so it stands for no token: give another file".to_owned());
    }
    let vectors = Tensor::from_raw_buffer(view.data(), dtype, view.shape(), &Device::Cpu)
        .and_then(|tensor| tensor.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>())
        .map_err(|error| format!("cannot be read ({error})"))?;
    if vectors.iter().any(|value| !value.is_finite()) {
        return Err("has values that are not finite numbers: fetch the file again".to_owned());
    }
    Ok(Embedding { name, width, vectors })
}

/// Whether Python's pickle wrote such a file.
fn is_pickle(path: &Path) -> bool {
    let ending = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
    ["pt", "pth", "bin", "ckpt", "pkl"].contains(&ending.as_str())
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use instaflow_test_support::assert_error;

    use super::*;

    fn write(name: &str, tensors: &[(&str, &[usize])]) -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join(name);
        let tensors: HashMap<String, Tensor> = tensors
            .iter()
            .map(|&(name, shape)| (name.to_owned(), Tensor::ones(shape, DType::F16, &Device::Cpu).expect("a tensor")))
            .collect();
        candle_core::safetensors::save(&tensors, &path).expect("a file");
        (folder, path)
    }

    #[test]
    fn each_form_says_its_token() {
        for (file, tensors, expected) in [
            ("moody one.safetensors", &[("emb_params", &[3, 4][..])][..], &[("moody one", 3)][..]),
            ("old.safetensors", &[("string_to_param.*", &[2, 4])], &[("old", 2)]),
            ("x.safetensors", &[("<cat-toy>", &[4]), ("<dog>", &[2, 4])], &[("<cat-toy>", 1), ("<dog>", 2)]),
        ] {
            let (_folder, path) = write(file, tensors);
            let found = read_embeddings(&path).expect("embeddings");
            let found: Vec<_> = found.iter().map(|found| (found.name.as_str(), found.count())).collect();
            assert_eq!(found, expected);
        }
    }

    #[test]
    fn what_is_no_embedding_is_refused() {
        for (file, tensors, words) in [
            ("a.safetensors", &[("emb_params", &[1, 2, 4][..])][..], "emb_params has shape [1, 2, 4]"),
            ("a.safetensors", &[("emb_params", &[0, 4])], "is empty"),
            ("a.safetensors", &[], "holds 0 tensors"),
            ("a.safetensors", &[("clip_l", &[1, 4]), ("clip_g", &[1, 8])], "Stable Diffusion XL"),
            ("a.PT", &[("emb_params", &[1, 4])], "torch.load"),
            ("a.bin", &[("emb_params", &[1, 4])], "emb_params"),
        ] {
            let (_folder, path) = write(file, tensors);
            assert_error(read_embeddings(&path), words);
        }
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.safetensors");
        assert_error(read_embeddings(&path), "cannot read");
        assert_error(read_embeddings(folder.path()), "is not a regular file");
        fs::write(&path, b"<html>").expect("a file");
        assert_error(read_embeddings(&path), "is not a safetensors file");
    }
}
