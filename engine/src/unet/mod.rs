//! The conditional U-Net of Stable Diffusion 1.x (Diffusers' `UNet2DConditionModel`), or two of them in series (the paper's
//! stacked U-Net, appendix B). Unlike candle-transformers' U-Net it takes its shapes from the folder, can be stacked,
//! stops between blocks, and can be trained at speed on a CPU.

mod config;
pub(crate) use config::meant_side;
pub use config::{PerLevel, SampleSize, UNetConfig};

mod body;

mod transformer;

use candle_core::{DType, Tensor};
use candle_nn::VarBuilder;

use crate::layers::{Conv2d, GroupNorm, channels_first, channels_last};
use crate::{Cancel, Result};
use body::Body;

/// A U-Net, or several in series: the feature map that one gives replaces the output of the next one's first convolution.
#[derive(Debug)]
pub struct UNet {
    conv_in: Conv2d,
    bodies: Vec<Body>,
    conv_norm_out: GroupNorm,
    conv_out: Conv2d,
}

impl UNet {
    /// The tensors under `vb` have Diffusers' names. If `num_stacks` is 2, they are `stack.0.*` (without `conv_norm_out` and
    /// `conv_out`) and `stack.1.*` (without `conv_in`).
    pub fn new(vb: VarBuilder, config: &UNetConfig) -> candle_core::Result<Self> {
        config.validate().map_err(candle_core::Error::msg)?;
        let stacks: Vec<VarBuilder> = match config.num_stacks {
            1 => vec![vb],
            n => (0..n).map(|index| vb.pp("stack").pp(index)).collect(),
        };
        let (first, last) = (&stacks[0], &stacks[stacks.len() - 1]);
        let width = config.block_out_channels[0];
        Ok(Self {
            conv_in: Conv2d::new(&first.pp("conv_in"), config.in_channels, width, 3)?,
            bodies: stacks.iter().map(|vb| Body::new(vb, config)).collect::<candle_core::Result<_>>()?,
            conv_norm_out: GroupNorm::new(&last.pp("conv_norm_out"), config.norm_num_groups, width, config.norm_eps)?,
            conv_out: Conv2d::new(&last.pp("conv_out"), width, config.out_channels, 3)?,
        })
    }

    /// About how many bytes of packed weights a batch of latents (B, h, w) of this type adds to those at hand.
    pub(crate) fn bytes_to_pack(&self, latents: (usize, usize, usize), dtype: DType) -> candle_core::Result<usize> {
        let ends = [&self.conv_in, &self.conv_out].map(|conv| conv.bytes_to_pack(latents, dtype));
        ends.into_iter().chain(self.bodies.iter().map(|body| body.bytes_to_pack(latents, dtype))).sum()
    }

    /// The velocity at `x` (B, C, h, w) and network time `timesteps` (B) in f32, 1000 … 0, for text embeddings `context`
    /// (B, L, D). Stops with [`crate::Error::Cancelled`] between blocks.
    pub fn forward(&self, x: &Tensor, timesteps: &Tensor, context: &Tensor, cancel: &Cancel) -> Result<Tensor> {
        self.forward_guided(x, timesteps, context, None, cancel)
    }

    /// The same with the embedding (B, W) of the guidance scale (see [`guidance_embedding`]), for models that take it as an
    /// input. Others ignore it.
    pub fn forward_guided(
        &self,
        x: &Tensor,
        timesteps: &Tensor,
        context: &Tensor,
        guidance: Option<&Tensor>,
        cancel: &Cancel,
    ) -> Result<Tensor> {
        let mut x = self.conv_in.forward(&channels_last(x)?)?;
        let timesteps = timesteps.to_dtype(DType::F32)?;
        for body in &self.bodies {
            x = body.forward(&x, &timesteps, context, guidance, cancel)?;
        }
        cancel.check()?;
        Ok(channels_first(&self.conv_out.forward(&self.conv_norm_out.forward_silu(&x)?)?)?)
    }
}

/// The embedding of a guidance scale for models that take it as an input: sines, then cosines, of (`scale` − 1)·1000 at
/// `width`/2 frequencies from 1 to 1/10,000 (Luo et al., 2023, arXiv 2310.04378, section 4.2, as in Diffusers).
pub fn guidance_embedding(scale: f64, width: usize) -> Vec<f32> {
    let half = width / 2;
    let angle = |index: usize| {
        let frequency = (-(10_000f64.ln()) * index as f64 / half.saturating_sub(1).max(1) as f64).exp();
        (scale - 1.0) * 1000.0 * frequency
    };
    (0..half).map(|index| angle(index).sin() as f32).chain((0..half).map(|index| angle(index).cos() as f32)).collect()
}
