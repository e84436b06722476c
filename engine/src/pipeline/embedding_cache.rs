//! A cache of recent text embeddings, so that a prompt is not encoded again for a new seed, size or step count.

use std::collections::VecDeque;
use std::sync::Arc;

use candle_core::Tensor;

/// How many embeddings of chunks are kept. Each takes 0.2 MiB with CLIP ViT-L in f32. This is enough for long prompts and
/// negative prompts of every model, and for words that are deleted and typed again.
const CAPACITY: usize = 64;

#[derive(Default)]
pub(super) struct EmbeddingCache {
    /// The most recently used one is last.
    entries: VecDeque<(Key, Tensor)>,
}

/// The digest of a text encoder, what was added to its weights, how it was used, and the token ids of the chunk that it
/// encoded.
#[derive(PartialEq)]
pub(super) struct Key {
    pub(super) encoder: String,
    /// See [`Adapted::fingerprint`](crate::adapters::Adapted::fingerprint).
    pub(super) adapters: Arc<str>,
    pub(super) clip_skip: usize,
    pub(super) ids: Vec<u32>,
}

impl EmbeddingCache {
    /// The embedding (1, L, D), which becomes the most recently used one.
    pub(super) fn get(&mut self, key: &Key) -> Option<Tensor> {
        let at = self.entries.iter().position(|(other, _)| other == key)?;
        let entry = self.entries.remove(at)?;
        let embedding = entry.1.clone();
        self.entries.push_back(entry);
        Some(embedding)
    }

    pub(super) fn insert(&mut self, key: Key, embedding: Tensor) {
        self.entries.retain(|(other, _)| *other != key);
        if self.entries.len() == CAPACITY {
            self.entries.pop_front();
        }
        self.entries.push_back((key, embedding));
    }

    pub(super) fn clear(&mut self) {
        self.entries.clear();
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};

    use super::*;

    fn key(id: usize) -> Key {
        Key { encoder: "e".to_owned(), adapters: "".into(), clip_skip: 1, ids: vec![id as u32] }
    }

    #[test]
    fn the_least_recently_used_goes_first() -> candle_core::Result<()> {
        let mut embeddings = EmbeddingCache::default();
        for prompt in 0..CAPACITY {
            embeddings.insert(key(prompt), Tensor::zeros((1, 1, 1), DType::F32, &Device::Cpu)?);
        }
        assert!(embeddings.get(&key(0)).is_some());
        embeddings.insert(key(CAPACITY), Tensor::zeros((1, 1, 1), DType::F32, &Device::Cpu)?);
        assert!(embeddings.get(&key(0)).is_some(), "used a moment ago");
        assert!(embeddings.get(&key(1)).is_none(), "unused the longest");
        assert_eq!(embeddings.entries.len(), CAPACITY);
        Ok(())
    }
}
