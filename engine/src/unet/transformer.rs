//! The transformer over the pixels of a feature map: the block that the U-Net has besides the residual block.

use candle_core::{Result, Tensor};
use candle_nn::VarBuilder;
use instaflow_kernels::{Activation, FusedOps};

use super::UNetConfig;
use crate::layers::{Attention, GroupNorm, LayerNorm, Linear};

/// Transformer blocks over the pixels of a feature map, with the text as context.
#[derive(Debug)]
pub(crate) struct Transformer2d {
    norm: GroupNorm,
    project_in: Linear,
    blocks: Vec<TransformerBlock>,
    project_out: Linear,
}

#[derive(Debug)]
struct TransformerBlock {
    norm1: LayerNorm,
    self_attn: Attention,
    norm2: LayerNorm,
    cross_attn: Attention,
    norm3: LayerNorm,
    ff_in: Linear,
    ff_out: Linear,
}

impl Transformer2d {
    pub(super) fn new(vb: &VarBuilder, channels: usize, level: usize, config: &UNetConfig) -> Result<Self> {
        let projection = |name: &str| {
            let vb = vb.pp(name);
            if config.use_linear_projection {
                Linear::new(&vb, channels, channels)
            } else {
                Linear::pointwise(&vb, channels, channels)
            }
        };
        Ok(Self {
            // This one's eps is fixed in Diffusers.
            norm: GroupNorm::new(&vb.pp("norm"), config.norm_num_groups, channels, 1e-6)?,
            project_in: projection("proj_in")?,
            blocks: (0..config.transformer_layers_per_block)
                .map(|block| {
                    let vb = vb.pp("transformer_blocks").pp(block);
                    TransformerBlock::new(&vb, channels, config.cross_attention_dim, config.heads(level))
                })
                .collect::<Result<_>>()?,
            project_out: projection("proj_out")?,
        })
    }

    /// `x` (B, h, w, C), `context` (B, L, D); (B, h, w, C).
    pub(super) fn forward(&self, x: &Tensor, context: &Tensor) -> Result<Tensor> {
        let (b, h, w, c) = x.dims4()?;
        // (B, h, w, C) to (B, h·w, C): a pixel is a token.
        let tokens = self.norm.forward(x)?.reshape((b, h * w, c))?;
        let mut tokens = self.project_in.forward(&tokens)?;
        for block in &self.blocks {
            tokens = block.forward(&tokens, context)?;
        }
        let residual = x.reshape((b, h * w, c))?;
        self.project_out.forward_with(&tokens, FusedOps::residual(&residual))?.reshape((b, h, w, c))
    }
}

impl TransformerBlock {
    fn new(vb: &VarBuilder, width: usize, text_width: usize, heads: usize) -> Result<Self> {
        let attention = |name: &str, context: usize| {
            let vb = vb.pp(name);
            Attention::new(
                Linear::without_bias(&vb.pp("to_q"), width, width)?,
                Linear::without_bias(&vb.pp("to_k"), context, width)?,
                Linear::without_bias(&vb.pp("to_v"), context, width)?,
                Linear::new(&vb.pp("to_out.0"), width, width)?,
                heads,
            )
        };
        let norm = |name: &str| LayerNorm::new(&vb.pp(name), width, 1e-5);
        Ok(Self {
            norm1: norm("norm1")?,
            self_attn: attention("attn1", width)?,
            norm2: norm("norm2")?,
            cross_attn: attention("attn2", text_width)?,
            norm3: norm("norm3")?,
            ff_in: Linear::new(&vb.pp("ff.net.0.proj"), width, 8 * width)?,
            ff_out: Linear::new(&vb.pp("ff.net.2"), 4 * width, width)?,
        })
    }

    /// (B, N, C), with the text (B, L, D).
    fn forward(&self, x: &Tensor, context: &Tensor) -> Result<Tensor> {
        let x = self.self_attn.self_attend(&self.norm1.forward(x)?, Some(x), false)?;
        let x = self.cross_attn.cross_attend(&self.norm2.forward(&x)?, context, Some(&x))?;
        let hidden = self.ff_in.forward_with(&self.norm3.forward(&x)?, FusedOps::activation(Activation::Geglu))?;
        self.ff_out.forward_with(&hidden, FusedOps::residual(&x))
    }
}
