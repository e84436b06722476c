//! The text embeddings drawn with last, so that a new seed, size or step count does not encode the prompt again.

use std::collections::VecDeque;

use candle_core::Tensor;

/// Embeddings kept: 0.2 MiB each with CLIP ViT-L in f32. Enough for both models' prompt and negative prompt and for
/// the words deleted and typed again.
const CAPACITY: usize = 32;

#[derive(Default)]
pub(super) struct EmbeddingCache {
    /// Latest use last.
    entries: VecDeque<(Key, Tensor)>,
}

/// Which text encoder (its digest) and which token ids.
#[derive(PartialEq)]
pub(super) struct Key {
    pub(super) encoder: String,
    pub(super) ids: Vec<u32>,
}

impl EmbeddingCache {
    /// The embedding (1, L, D), which becomes the latest used.
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
        Key { encoder: "e".to_owned(), ids: vec![id as u32] }
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
