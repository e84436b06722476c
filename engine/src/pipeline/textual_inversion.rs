//! Textual inversions of a request: read, and given to the models that they fit.

use std::path::PathBuf;

use candle_core::{Device, Tensor};

use super::Models;
use crate::checkpoint;
use crate::protocol::Failure;
use crate::text::{AddedTokens, Embedding, Embeddings, TextConfig, Tokenizer};
use crate::{Error, Result};

/// A file, and what is in it.
pub(super) struct EmbeddingFile {
    path: PathBuf,
    embeddings: Vec<Embedding>,
    /// Whether a folder was named, not this file.
    in_folder: bool,
}

/// Reads files, and all files of folders, in order. A file in a folder that cannot be read costs a remark.
pub(super) fn read(paths: &[PathBuf]) -> Result<(Vec<EmbeddingFile>, Vec<Failure>)> {
    let (mut files, mut remarks) = (Vec::new(), Vec::new());
    for named in paths {
        let in_folder = named.is_dir();
        for path in checkpoint::embedding_files(named)? {
            match checkpoint::read_embeddings(&path) {
                Ok(embeddings) => files.push(EmbeddingFile { path, embeddings, in_folder }),
                Err(error) if in_folder => remarks.push(Failure::from(&error)),
                Err(error) => return Err(error),
            }
        }
    }
    Ok((files, remarks))
}

/// Refuses an embedding that fits none of the models, of which names and the widths of their text encoders are given; for
/// one that fits some of them there is a remark on the others. A folder may hold some for other models.
pub(super) fn check(files: &[EmbeddingFile], models: &[(&str, usize)]) -> Result<Vec<Failure>> {
    let mut remarks = Vec::new();
    for file in files.iter().filter(|file| !file.in_folder) {
        for embedding in &file.embeddings {
            let fault = |(name, width): &(&str, usize)| Error::Checkpoint {
                path: file.path.clone(),
                message: format!(
                    "holds vectors of {} numbers, but the text encoder of {name} takes {width}: use an embedding that was \
                     made for it",
                    embedding.width
                ),
            };
            let others: Vec<_> = models.iter().filter(|(_, width)| *width != embedding.width).collect();
            if let Some(first) = others.first().filter(|_| others.len() == models.len()) {
                return Err(fault(first));
            }
            remarks.extend(others.into_iter().map(|other| Failure::from(&fault(other))));
        }
    }
    remarks.dedup();
    Ok(remarks)
}

/// The embeddings that fit a model, and their vectors on its device.
pub(super) fn for_model(
    files: &[EmbeddingFile],
    tokenizer: &Tokenizer,
    config: &TextConfig,
    models: &Models,
) -> Result<(Embeddings, Option<AddedTokens>)> {
    let width = config.hidden_size;
    let fitting: Vec<&Embedding> =
        files.iter().flat_map(|file| &file.embeddings).filter(|embedding| embedding.width == width).collect();
    if fitting.is_empty() {
        return Ok(Default::default());
    }
    let first = tokenizer.vocabulary_size() as u32;
    let vectors: Vec<f32> = fitting.iter().flat_map(|embedding| &embedding.vectors).copied().collect();
    let vectors = Tensor::from_vec(vectors.clone(), (vectors.len() / width, width), &Device::Cpu)?;
    let vectors = vectors.to_dtype(models.dtype)?.to_device(&models.device)?;
    Ok((Embeddings::new(fitting, first), Some(AddedTokens { first, vectors })))
}
