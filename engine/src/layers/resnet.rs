//! The residual block that the U-Net and the full autoencoder are made of (Diffusers' `ResnetBlock2D`).

use candle_core::{DType, Result, Tensor};
use candle_nn::VarBuilder;
use instaflow_kernels::FusedOps;

use super::{Conv2d, GroupNorm, Linear};

/// Norm, SiLU and convolution, twice. The time embedding is added in between and the input at the end.
#[derive(Debug)]
pub(crate) struct Resnet {
    norm1: GroupNorm,
    conv1: Conv2d,
    time: Option<Linear>,
    norm2: GroupNorm,
    conv2: Conv2d,
    shortcut: Option<Conv2d>,
}

impl Resnet {
    /// `time_width` is the width of the time embedding; an autoencoder has none.
    pub(crate) fn new(
        vb: &VarBuilder,
        input: usize,
        output: usize,
        time_width: Option<usize>,
        groups: usize,
        eps: f64,
    ) -> Result<Self> {
        Ok(Self {
            norm1: GroupNorm::new(&vb.pp("norm1"), groups, input, eps)?,
            conv1: Conv2d::new(&vb.pp("conv1"), input, output, 3)?,
            time: time_width.map(|width| Linear::new(&vb.pp("time_emb_proj"), width, output)).transpose()?,
            norm2: GroupNorm::new(&vb.pp("norm2"), groups, output, eps)?,
            conv2: Conv2d::new(&vb.pp("conv2"), output, output, 3)?,
            shortcut: (input != output).then(|| Conv2d::new(&vb.pp("conv_shortcut"), input, output, 1)).transpose()?,
        })
    }

    /// See [`Conv2d::bytes_to_pack`].
    pub(crate) fn bytes_to_pack(&self, image: (usize, usize, usize), dtype: DType) -> Result<usize> {
        let convs = [Some(&self.conv1), Some(&self.conv2), self.shortcut.as_ref()];
        convs.into_iter().flatten().map(|conv| conv.bytes_to_pack(image, dtype)).sum()
    }

    /// `x` (B, h, w, input); `time` (B, width), after SiLU; (B, h, w, output).
    pub(crate) fn forward(&self, x: &Tensor, time: Option<&Tensor>) -> Result<Tensor> {
        let channel_bias = match (&self.time, time) {
            (Some(layer), Some(time)) => Some(layer.forward(time)?),
            _ => None,
        };
        let fused_ops = FusedOps { channel_bias: channel_bias.as_ref(), ..FusedOps::default() };
        let h = self.conv1.forward_with(&self.norm1.forward_silu(x)?, fused_ops)?;
        let h = self.norm2.forward_silu(&h)?;
        match &self.shortcut {
            Some(shortcut) => self.conv2.forward_with(&h, FusedOps::residual(&shortcut.forward(x)?)),
            None => self.conv2.forward_with(&h, FusedOps::residual(x)),
        }
    }
}
