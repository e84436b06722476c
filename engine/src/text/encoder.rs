//! CLIP's text encoder (Radford et al. 2021), as Transformers' `CLIPTextModel` computes it: the last hidden state after
//! the final layer norm. Unlike candle-transformers' encoder it can be trained and takes its sizes from the folder.

use candle_core::{Result, Tensor};
use candle_nn::{Init, VarBuilder};
use instaflow_kernels::{Activation, FusedOps};
use serde::{Deserialize, Serialize};

use crate::layers::{Attention, LayerNorm, Linear, check_sizes};

/// `text_encoder/config.json`. Anything absent has CLIP ViT-L/14's value.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default)]
pub struct TextConfig {
    /// Entries of the vocabulary.
    pub vocab_size: usize,
    /// Width D of the embedding.
    pub hidden_size: usize,
    /// Width of the hidden layer of each block.
    pub intermediate_size: usize,
    /// Transformer blocks.
    pub num_hidden_layers: usize,
    /// Heads of each attention.
    pub num_attention_heads: usize,
    /// Tokens L that fit.
    pub max_position_embeddings: usize,
    /// "quick_gelu" or "gelu".
    pub hidden_act: String,
    /// Added to variances.
    pub layer_norm_eps: f64,
}

impl Default for TextConfig {
    fn default() -> Self {
        Self {
            vocab_size: 49408,
            hidden_size: 768,
            intermediate_size: 3072,
            num_hidden_layers: 12,
            num_attention_heads: 12,
            max_position_embeddings: 77,
            hidden_act: "quick_gelu".into(),
            layer_norm_eps: 1e-5,
        }
    }
}

impl TextConfig {
    /// The error is one sentence that says why this network is not supported.
    pub fn validate(&self) -> std::result::Result<(), String> {
        if !matches!(self.hidden_act.as_str(), "quick_gelu" | "gelu") {
            return Err(format!("the activation \"{}\" is unknown (known: quick_gelu, gelu)", self.hidden_act));
        }
        let sizes = [
            ("vocab_size", self.vocab_size),
            ("hidden_size", self.hidden_size),
            ("intermediate_size", self.intermediate_size),
            ("num_hidden_layers", self.num_hidden_layers),
            ("max_position_embeddings", self.max_position_embeddings),
        ];
        check_sizes(1, sizes)?;
        if self.num_attention_heads == 0 || !self.hidden_size.is_multiple_of(self.num_attention_heads) {
            return Err(format!(
                "hidden_size {} does not divide into {} attention heads",
                self.hidden_size, self.num_attention_heads
            ));
        }
        Ok(())
    }
}

/// The text encoder.
#[derive(Debug)]
pub struct TextEncoder {
    tokens: Tensor,
    positions: Tensor,
    layers: Vec<Layer>,
    final_norm: LayerNorm,
}

#[derive(Debug)]
struct Layer {
    norm1: LayerNorm,
    attention: Attention,
    norm2: LayerNorm,
    ff_in: Linear,
    ff_out: Linear,
    activation: Activation,
}

impl TextEncoder {
    /// The tensors under `vb` are named `text_model.*`, or have no prefix, as Transformers 5 saves them.
    pub fn new(vb: VarBuilder, config: &TextConfig) -> Result<Self> {
        config.validate().map_err(candle_core::Error::msg)?;
        let vb = if vb.contains_tensor("embeddings.token_embedding.weight") { vb } else { vb.pp("text_model") };
        let width = config.hidden_size;
        let embeddings = vb.pp("embeddings");
        let init = Init::Randn { mean: 0.0, stdev: 0.02 };
        Ok(Self {
            tokens: embeddings.pp("token_embedding").get_with_hints((config.vocab_size, width), "weight", init)?,
            positions: embeddings.pp("position_embedding").get_with_hints(
                (config.max_position_embeddings, width),
                "weight",
                init,
            )?,
            layers: (0..config.num_hidden_layers)
                .map(|index| Layer::new(&vb.pp("encoder").pp("layers").pp(index), config))
                .collect::<Result<_>>()?,
            final_norm: LayerNorm::new(&vb.pp("final_layer_norm"), width, config.layer_norm_eps)?,
        })
    }

    /// Token ids (B, L) as u32 to embeddings (B, L, D).
    pub fn forward(&self, ids: &Tensor) -> Result<Tensor> {
        let (batch, length) = ids.dims2()?;
        let width = self.tokens.dim(1)?;
        let tokens = self.tokens.index_select(&ids.flatten_all()?, 0)?.reshape((batch, length, width))?;
        self.encode(&tokens, self.layers.len())
    }

    /// The embedding (1, L, D) of L token ids, of which some may be `added` ones, without the last layers: `clip_skip` 1
    /// leaves none out, 2 the last one, and so on; the final norm is always applied.
    pub fn forward_chunk(&self, ids: &[u32], added: Option<&AddedTokens>, clip_skip: usize) -> Result<Tensor> {
        let device = self.tokens.device();
        let is_added = |id: u32| added.is_some_and(|added| id >= added.first);
        let known: Vec<u32> = ids.iter().map(|&id| if is_added(id) { 0 } else { id }).collect();
        let mut tokens = self.tokens.index_select(&Tensor::new(known, device)?, 0)?;
        if let Some(added) = added.filter(|_| ids.iter().any(|&id| is_added(id))) {
            let rows: Vec<u32> = ids.iter().map(|&id| id.saturating_sub(added.first)).collect();
            let mask: Vec<u8> = ids.iter().map(|&id| u8::from(is_added(id))).collect();
            let mask = Tensor::new(mask, device)?.unsqueeze(1)?.broadcast_as(tokens.shape())?;
            let rows = added.vectors.index_select(&Tensor::new(rows, device)?, 0)?.to_dtype(tokens.dtype())?;
            tokens = mask.where_cond(&rows, &tokens)?;
        }
        self.encode(&tokens.unsqueeze(0)?, (self.layers.len() + 1).saturating_sub(clip_skip))
    }

    /// Token embeddings (B, L, D) through the first `layers`.
    fn encode(&self, tokens: &Tensor, layers: usize) -> Result<Tensor> {
        let mut x = tokens.broadcast_add(&self.positions.narrow(0, 0, tokens.dim(1)?)?)?;
        for layer in self.layers.iter().take(layers) {
            x = layer.forward(&x)?;
        }
        self.final_norm.forward(&x)
    }
}

/// Vectors of tokens that the text encoder's own table does not have.
#[derive(Clone, Debug)]
pub struct AddedTokens {
    /// The id of the first one; the others follow.
    pub first: u32,
    /// (n, D).
    pub vectors: Tensor,
}

impl Layer {
    fn new(vb: &VarBuilder, config: &TextConfig) -> Result<Self> {
        let (width, eps) = (config.hidden_size, config.layer_norm_eps);
        let projection = |name: &str| Linear::new(&vb.pp("self_attn").pp(name), width, width);
        Ok(Self {
            norm1: LayerNorm::new(&vb.pp("layer_norm1"), width, eps)?,
            attention: Attention::new(
                projection("q_proj")?,
                projection("k_proj")?,
                projection("v_proj")?,
                projection("out_proj")?,
                config.num_attention_heads,
            )?,
            norm2: LayerNorm::new(&vb.pp("layer_norm2"), width, eps)?,
            ff_in: Linear::new(&vb.pp("mlp").pp("fc1"), width, config.intermediate_size)?,
            ff_out: Linear::new(&vb.pp("mlp").pp("fc2"), config.intermediate_size, width)?,
            activation: if config.hidden_act == "quick_gelu" { Activation::QuickGelu } else { Activation::Gelu },
        })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        // No token sees those after it.
        let x = self.attention.self_attend(&self.norm1.forward(x)?, Some(x), true)?;
        let hidden = self.ff_in.forward_with(&self.norm2.forward(&x)?, FusedOps::activation(self.activation))?;
        self.ff_out.forward_with(&hidden, FusedOps::residual(&x))
    }
}
