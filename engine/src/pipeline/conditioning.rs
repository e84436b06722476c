//! From prompts to the text embeddings that condition the U-Net: chunk by chunk, weighed, and brought to one length. Change
//! here how prompts are combined; what their marks mean is in `text/`.

use std::time::Instant;

use candle_core::{DType, Tensor};
use tracing::info_span;

use super::Models;
use super::draw::finite;
use super::embedding_cache::Key;
use super::loaded_model::LoadedModel;
use crate::protocol::{PromptSyntax, Settings, Timings};
use crate::text::emphasis::{move_from_empty, multiply_and_restore_mean};
use crate::text::{Chunk, LoraTag, PromptTokens};
use crate::{Cancel, Error, Result};

/// How many times as long as the longer one prompts become at most when they are repeated to a common length.
const MOST_REPEATED: usize = 4;

/// The prompts of a picture, in tokens.
pub(super) struct Conditioning<'a> {
    model: &'a LoadedModel,
    prompt: PromptTokens,
    /// A second prompt to lie between, and how far on the way.
    toward: Option<(PromptTokens, f32)>,
    /// With guidance.
    negative: Option<PromptTokens>,
    syntax: PromptSyntax,
    clip_skip: usize,
}

impl<'a> Conditioning<'a> {
    /// Reads the prompts of the settings; nothing is encoded yet.
    pub fn read(model: &'a LoadedModel, settings: &Settings, guided: bool) -> Result<Self> {
        let layers = model.text.config.num_hidden_layers;
        let clip_skip = settings.clip_skip as usize;
        if !(1..=layers).contains(&clip_skip) {
            return Err(Error::Setting(format!(
                "clip skip {clip_skip} is not possible: the text encoder of {} has {layers} layers, so choose 1 to {layers}",
                model.card.name
            )));
        }
        let syntax = settings.prompt_syntax;
        let toward = settings.blend.prompt.as_ref();
        Ok(Self {
            model,
            prompt: model.read_prompt(&settings.prompt, syntax),
            toward: toward.map(|toward| (model.read_prompt(&toward.to, syntax), toward.by)),
            negative: guided.then(|| model.read_prompt(&settings.negative_prompt, syntax)),
            syntax,
            clip_skip,
        })
    }

    /// The LoRAs that the prompt names.
    pub fn loras(&self) -> &[LoraTag] {
        &self.prompt.loras
    }

    /// Keys L of the U-Net's cross-attention.
    pub fn keys(&self) -> usize {
        let (text, negative) = self.lengths();
        text.max(negative) * self.model.tokenizer.limit()
    }

    /// The text embedding (B, L, D): the prompt's, interpolated towards a second prompt's if there is one. With guidance,
    /// the negative prompt's comes before it.
    pub fn encode(&self, models: &Models, timings: &mut Timings, cancel: &Cancel) -> Result<Tensor> {
        let encoder = Encoder { models, conditioning: self, cancel };
        let (text_length, negative_length) = self.lengths();
        let mut text = encoder.prompt(&self.prompt, timings)?;
        if let Some((toward, by)) = &self.toward {
            let other = encoder.prompt(toward, timings)?;
            let length = self.prompt.chunks.len().max(toward.chunks.len());
            let (from, to) = (encoder.filled(text, length, timings)?, encoder.filled(other, length, timings)?);
            text = ((from * f64::from(1.0 - by))? + (to * f64::from(*by))?)?;
        }
        let text = encoder.lengthened(text, text_length, timings)?;
        let Some(negative) = &self.negative else { return Ok(text) };
        let negative = encoder.lengthened(encoder.prompt(negative, timings)?, negative_length, timings)?;
        Ok(Tensor::cat(&[&negative, &text], 0)?)
    }

    /// How many chunks the prompt and the negative prompt are brought to: the same number, if there are both.
    fn lengths(&self) -> (usize, usize) {
        let toward = self.toward.as_ref().map_or(0, |(toward, _)| toward.chunks.len());
        let text = self.prompt.chunks.len().max(toward);
        let Some(negative) = self.negative.as_ref().map(|negative| negative.chunks.len()) else { return (text, text) };
        let common = self.common(text, negative);
        (common, common)
    }

    /// The length that two prompts are brought to.
    fn common(&self, one: usize, other: usize) -> usize {
        let longer = one.max(other);
        // ComfyUI repeats prompts, which attention does not notice (`comfy/conds.py`); A1111 adds empty chunks.
        let multiple =
            (1..=MOST_REPEATED).map(|times| longer * times).find(|length| length.is_multiple_of(one.min(other)));
        if self.syntax == PromptSyntax::ComfyUi { multiple.unwrap_or(longer) } else { longer }
    }
}

/// What encodes the prompts of a picture.
struct Encoder<'a> {
    models: &'a Models,
    conditioning: &'a Conditioning<'a>,
    cancel: &'a Cancel,
}

impl Encoder<'_> {
    /// The weighed embedding (1, L, D) of one prompt.
    fn prompt(&self, prompt: &PromptTokens, timings: &mut Timings) -> Result<Tensor> {
        let any_weight = prompt.chunks.iter().any(|chunk| !chunk.is_plain());
        let weighed = |chunk: &Chunk, timings: &mut Timings| {
            let embedding = self.chunk(&chunk.ids, timings)?;
            if any_weight && !chunk.is_plain() { self.weighed(&embedding, chunk, timings) } else { Ok(embedding) }
        };
        let mut chunks = Vec::with_capacity(prompt.chunks.len());
        for chunk in &prompt.chunks {
            self.cancel.check()?;
            chunks.push(weighed(chunk, timings)?);
        }
        joined(chunks)
    }

    /// The embedding (1, L, D) of a chunk, in which each token has its weight.
    fn weighed(&self, embedding: &Tensor, chunk: &Chunk, timings: &mut Timings) -> Result<Tensor> {
        let values = |tensor: &Tensor| tensor.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>();
        let mut weighed = values(embedding)?;
        if self.conditioning.syntax == PromptSyntax::ComfyUi {
            let empty = self.empty(timings)?;
            move_from_empty(&mut weighed, &values(&empty)?, &chunk.weights);
        } else {
            multiply_and_restore_mean(&mut weighed, &chunk.weights);
        }
        let weighed = Tensor::from_vec(weighed, embedding.shape(), embedding.device())?.to_dtype(embedding.dtype())?;
        finite(&weighed, "text encoder")?;
        Ok(weighed)
    }

    /// An embedding of several chunks, brought to a number of them.
    fn lengthened(&self, embedding: Tensor, length: usize, timings: &mut Timings) -> Result<Tensor> {
        let have = embedding.dim(1)? / self.conditioning.model.tokenizer.limit();
        let repeats = self.conditioning.syntax == PromptSyntax::ComfyUi && length.is_multiple_of(have.max(1));
        if repeats && length > have {
            return Ok(embedding.repeat((1, length / have, 1))?);
        }
        self.filled(embedding, length, timings)
    }

    /// An embedding of several chunks with empty ones behind it.
    fn filled(&self, embedding: Tensor, length: usize, timings: &mut Timings) -> Result<Tensor> {
        let have = embedding.dim(1)? / self.conditioning.model.tokenizer.limit();
        let mut chunks = vec![embedding];
        if length > have {
            let empty = self.empty(timings)?;
            chunks.extend((have..length).map(|_| empty.clone()));
        }
        joined(chunks)
    }

    fn empty(&self, timings: &mut Timings) -> Result<Tensor> {
        self.chunk(&self.conditioning.model.tokenizer.empty_chunk().ids, timings)
    }

    /// The embedding (1, L, D) of one chunk, from the cache if it has it.
    fn chunk(&self, ids: &[u32], timings: &mut Timings) -> Result<Tensor> {
        let begun = Instant::now();
        let Conditioning { model, clip_skip, .. } = *self.conditioning;
        let (encoder, adapters) = (model.text.digest.clone(), model.text.adapted.fingerprint());
        let key = Key { encoder, adapters, clip_skip, ids: ids.to_vec() };
        if let Some(embedding) = self.models.embeddings().get(&key) {
            return Ok(embedding);
        }
        let _span = info_span!("text encoder").entered();
        let embedding = model.text.network.forward_chunk(ids, model.added_tokens.as_ref(), clip_skip)?;
        finite(&embedding, "text encoder")?;
        timings.text_encoder += begun.elapsed().as_secs_f64();
        self.models.embeddings().insert(key, embedding.clone());
        Ok(embedding)
    }
}

/// Chunks (1, L, D), one after the other.
fn joined(mut chunks: Vec<Tensor>) -> Result<Tensor> {
    match (chunks.len(), chunks.pop()) {
        (1, Some(only)) => Ok(only),
        (_, last) => {
            chunks.extend(last);
            Ok(Tensor::cat(&chunks, 1)?)
        }
    }
}

#[cfg(test)]
#[path = "conditioning_tests.rs"]
mod tests;
