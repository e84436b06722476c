//! The part of a U-Net between its first convolution and its last norm: the levels down, the middle block, and the levels
//! up with the skips of the levels down.

use candle_core::{DType, Result, Tensor};
use candle_nn::{Module, VarBuilder};
use candle_transformers::models::stable_diffusion::embeddings::Timesteps;
use instaflow_kernels::{Activation, FusedOps};

use super::UNetConfig;
use super::transformer::Transformer2d;
use crate::Cancel;
use crate::layers::{Conv2d, Linear, Resnet};

#[derive(Debug)]
pub(super) struct Body {
    timesteps: Timesteps,
    /// Adds the embedding of the guidance scale to that of the time.
    guidance: Option<Linear>,
    time_embedding: [Linear; 2],
    down: Vec<Level>,
    mid: Option<(Resnet, Option<Transformer2d>, Resnet)>,
    up: Vec<Level>,
}

/// The blocks of one resolution, on the way down or up.
#[derive(Debug)]
struct Level {
    layers: Vec<(Resnet, Option<Transformer2d>)>,
    resample: Option<Conv2d>,
}

impl Level {
    fn bytes_to_pack(&self, image: (usize, usize, usize), dtype: DType) -> Result<usize> {
        let resnets = self.layers.iter().map(|(resnet, _)| resnet.bytes_to_pack(image, dtype));
        resnets.chain(self.resample.iter().map(|conv| conv.bytes_to_pack(image, dtype))).sum()
    }
}

impl Body {
    pub(super) fn new(vb: &VarBuilder, config: &UNetConfig) -> Result<Self> {
        let channels = &config.block_out_channels;
        let levels = channels.len();
        let time_width = channels[0] * 4;
        let (groups, eps) = (config.norm_num_groups, config.norm_eps);
        let resnet = |vb: VarBuilder, input, output| Resnet::new(&vb, input, output, Some(time_width), groups, eps);
        let transformer = |vb: VarBuilder, level: usize| Transformer2d::new(&vb, channels[level], level, config);

        let down = (0..levels)
            .map(|level| {
                let vb = vb.pp("down_blocks").pp(level);
                let attends = config.down_block_types[level] == "CrossAttnDownBlock2D";
                let layers = (0..config.layers_per_block)
                    .map(|layer| {
                        let input = channels[if layer == 0 { level.saturating_sub(1) } else { level }];
                        let resnet = resnet(vb.pp("resnets").pp(layer), input, channels[level])?;
                        let attention =
                            attends.then(|| transformer(vb.pp("attentions").pp(layer), level)).transpose()?;
                        Ok((resnet, attention))
                    })
                    .collect::<Result<_>>()?;
                let resample = (level + 1 < levels)
                    .then(|| Conv2d::new(&vb.pp("downsamplers.0.conv"), channels[level], channels[level], 3))
                    .transpose()?
                    .map(|conv| match config.downsample_padding {
                        // Then Diffusers pads only on the right and below.
                        0 => conv.strided((0, 1)),
                        padding => conv.strided((padding, padding)),
                    });
                Ok(Level { layers, resample })
            })
            .collect::<Result<_>>()?;

        let coarsest = channels[levels - 1];
        let vb_mid = vb.pp("mid_block");
        let mid = match config.mid_block_type.as_deref() {
            None => None,
            Some(name) => Some((
                resnet(vb_mid.pp("resnets.0"), coarsest, coarsest)?,
                (name == "UNetMidBlock2DCrossAttn")
                    .then(|| transformer(vb_mid.pp("attentions.0"), levels - 1))
                    .transpose()?,
                resnet(vb_mid.pp("resnets.1"), coarsest, coarsest)?,
            )),
        };

        let up = (0..levels)
            .map(|index| {
                let vb = vb.pp("up_blocks").pp(index);
                let level = levels - 1 - index;
                let attends = config.up_block_types[index] == "CrossAttnUpBlock2D";
                let layers = (0..=config.layers_per_block)
                    .map(|layer| {
                        let below = channels[if layer == 0 { (level + 1).min(levels - 1) } else { level }];
                        // The last skip of a level comes from the level above it.
                        let skip =
                            channels[if layer == config.layers_per_block { level.saturating_sub(1) } else { level }];
                        let resnet = resnet(vb.pp("resnets").pp(layer), below + skip, channels[level])?;
                        let attention =
                            attends.then(|| transformer(vb.pp("attentions").pp(layer), level)).transpose()?;
                        Ok((resnet, attention))
                    })
                    .collect::<Result<_>>()?;
                let resample = (level > 0)
                    .then(|| Conv2d::new(&vb.pp("upsamplers.0.conv"), channels[level], channels[level], 3))
                    .transpose()?
                    .map(Conv2d::upsampled);
                Ok(Level { layers, resample })
            })
            .collect::<Result<_>>()?;

        Ok(Self {
            timesteps: Timesteps::new(channels[0], config.flip_sin_to_cos, config.freq_shift),
            guidance: guidance(vb, config)?,
            time_embedding: [
                Linear::new(&vb.pp("time_embedding.linear_1"), channels[0], time_width)?,
                Linear::new(&vb.pp("time_embedding.linear_2"), time_width, time_width)?,
            ],
            down,
            mid,
            up,
        })
    }

    /// About how many bytes of packed weights a batch of latents (B, h, w) of this type adds to those at hand.
    pub(super) fn bytes_to_pack(&self, latents: (usize, usize, usize), dtype: DType) -> Result<usize> {
        let (batch, mut rows, mut columns) = latents;
        let mut bytes = 0;
        for level in &self.down {
            bytes += level.bytes_to_pack((batch, rows, columns), dtype)?;
            if level.resample.is_some() {
                (rows, columns) = (rows.div_ceil(2), columns.div_ceil(2));
            }
        }
        for resnet in self.mid.iter().flat_map(|(first, _, second)| [first, second]) {
            bytes += resnet.bytes_to_pack((batch, rows, columns), dtype)?;
        }
        for level in &self.up {
            bytes += level.bytes_to_pack((batch, rows, columns), dtype)?;
            if level.resample.is_some() {
                (rows, columns) = (2 * rows, 2 * columns);
            }
        }
        Ok(bytes)
    }

    /// `x` (B, h, w, C0) after the first convolution; the same shape before the last norm. `guidance` (B, W) is the
    /// embedding of the guidance scale, for models that take it.
    pub(super) fn forward(
        &self,
        x: &Tensor,
        timesteps: &Tensor,
        context: &Tensor,
        guidance: Option<&Tensor>,
        cancel: &Cancel,
    ) -> crate::Result<Tensor> {
        let mut time = self.timesteps.forward(timesteps)?.to_dtype(x.dtype())?;
        if let Some((projection, guidance)) = self.guidance.as_ref().zip(guidance) {
            time = (time + projection.forward(&guidance.to_dtype(x.dtype())?)?)?;
        }
        let [first, second] = &self.time_embedding;
        let time = first.forward_with(&time, FusedOps::activation(Activation::Silu))?;
        // Every residual block begins with SiLU on the embedding, so it is computed once here.
        let time = second.forward_with(&time, FusedOps::activation(Activation::Silu))?;
        let layer = |x: &Tensor, (resnet, attention): &(Resnet, Option<Transformer2d>)| -> crate::Result<Tensor> {
            cancel.check()?;
            let x = resnet.forward(x, Some(&time))?;
            match attention {
                Some(attention) => {
                    cancel.check()?;
                    Ok(attention.forward(&x, context)?)
                }
                None => Ok(x),
            }
        };

        let mut skips = vec![x.clone()];
        let mut x = x.clone();
        for level in &self.down {
            for each in &level.layers {
                x = layer(&x, each)?;
                skips.push(x.clone());
            }
            if let Some(conv) = &level.resample {
                x = conv.forward(&x)?;
                skips.push(x.clone());
            }
        }

        if let Some((first, attention, second)) = &self.mid {
            cancel.check()?;
            x = first.forward(&x, Some(&time))?;
            if let Some(attention) = attention {
                cancel.check()?;
                x = attention.forward(&x, context)?;
            }
            cancel.check()?;
            x = second.forward(&x, Some(&time))?;
        }

        for level in &self.up {
            for each in &level.layers {
                let skip = skips.pop().ok_or_else(|| candle_core::Error::msg("the U-Net has more ups than downs"))?;
                x = layer(&Tensor::cat(&[&x, &skip], 3)?, each)?;
            }
            if let Some(conv) = &level.resample {
                cancel.check()?;
                x = conv.forward(&x)?;
            }
        }
        Ok(x)
    }
}

/// The layer for the embedding of the guidance scale, if the config has one.
fn guidance(vb: &VarBuilder, config: &UNetConfig) -> Result<Option<Linear>> {
    let Some(width) = config.time_cond_proj_dim else { return Ok(None) };
    let vb = vb.pp("time_embedding.cond_proj");
    if !vb.contains_tensor("weight") {
        candle_core::bail!("time_cond_proj_dim is {width}, but the weights lack time_embedding.cond_proj.weight");
    }
    Linear::without_bias(&vb, width, config.block_out_channels[0]).map(Some)
}
