//! The full autoencoder of Stable Diffusion, as Diffusers' `AutoencoderKL` computes it.

use candle_core::{DType, Tensor};
use candle_nn::VarBuilder;
use serde::Deserialize;

use crate::layers::{Attention, Conv2d, GroupNorm, Linear, Resnet, channels_first, channels_last, check_sizes};
use crate::{Cancel, Result};

/// `vae/config.json`. Anything absent has Stable Diffusion 1.5's value.
#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
pub struct KlConfig {
    /// Channels of each level, from the finest.
    pub block_out_channels: Vec<usize>,
    /// "DownEncoderBlock2D" for each level.
    pub down_block_types: Vec<String>,
    /// "UpDecoderBlock2D" for each level.
    pub up_block_types: Vec<String>,
    /// Residual blocks per level in the encoder. The decoder has one more.
    pub layers_per_block: usize,
    /// Channels of the latent.
    pub latent_channels: usize,
    /// Channels of the picture.
    pub in_channels: usize,
    /// Channels of the picture.
    pub out_channels: usize,
    /// Groups of every group norm.
    pub norm_num_groups: usize,
    /// The sampler's latents are the encoder's, minus the shift, times this.
    pub scaling_factor: f64,
    /// See `scaling_factor`.
    pub shift_factor: Option<f64>,
    /// Whether the middle block has attention.
    pub mid_block_add_attention: bool,
    /// Whether a 1×1 convolution follows the encoder.
    pub use_quant_conv: bool,
    /// Whether a 1×1 convolution precedes the decoder.
    pub use_post_quant_conv: bool,
    /// "silu".
    pub act_fn: String,
}

impl Default for KlConfig {
    fn default() -> Self {
        Self {
            block_out_channels: vec![128, 256, 512, 512],
            down_block_types: vec!["DownEncoderBlock2D".into(); 4],
            up_block_types: vec!["UpDecoderBlock2D".into(); 4],
            layers_per_block: 2,
            latent_channels: 4,
            in_channels: 3,
            out_channels: 3,
            norm_num_groups: 32,
            scaling_factor: 0.18215,
            shift_factor: None,
            mid_block_add_attention: true,
            use_quant_conv: true,
            use_post_quant_conv: true,
            act_fn: "silu".into(),
        }
    }
}

impl KlConfig {
    /// The error is one sentence that says why this autoencoder is not supported.
    pub fn validate(&self) -> Result<(), String> {
        let levels = self.block_out_channels.len();
        let types = self.down_block_types.iter().chain(&self.up_block_types);
        if let Some(unknown) =
            types.into_iter().find(|name| !["DownEncoderBlock2D", "UpDecoderBlock2D"].contains(&name.as_str()))
        {
            return Err(format!(
                "the block type \"{unknown}\" is unknown (known: DownEncoderBlock2D, UpDecoderBlock2D)"
            ));
        }
        if self.down_block_types.len() != levels || self.up_block_types.len() != levels {
            return Err("block_out_channels, down_block_types and up_block_types must have one entry per level".into());
        }
        let sizes = [("layers_per_block", self.layers_per_block), ("latent_channels", self.latent_channels)];
        let widths = self.block_out_channels.iter().map(|width| ("block_out_channels", *width));
        check_sizes(levels, sizes.into_iter().chain(widths))?;
        if self.act_fn != "silu" {
            return Err(format!("the activation \"{}\" is unknown (known: silu)", self.act_fn));
        }
        if self.in_channels != 3 || self.out_channels != 3 {
            return Err("only autoencoders of RGB pictures (in_channels and out_channels 3) are supported".into());
        }
        if let Some(channels) = self
            .block_out_channels
            .iter()
            .find(|channels| self.norm_num_groups == 0 || !channels.is_multiple_of(self.norm_num_groups))
        {
            return Err(format!("{channels} channels cannot be divided into {} groups", self.norm_num_groups));
        }
        if !(self.scaling_factor.is_finite() && self.scaling_factor != 0.0) {
            return Err("scaling_factor must be a number other than 0".into());
        }
        Ok(())
    }
}

const EPS: f64 = 1e-6;

/// The full autoencoder.
#[derive(Debug)]
pub struct AutoencoderKl {
    /// The encoder and the convolution after it; `None` if only the decoder was asked for.
    encoder: Option<(Coder, Option<Conv2d>)>,
    post_quant: Option<Conv2d>,
    decoder: Coder,
    latent_channels: usize,
}

/// The encoder or the decoder. Both have a convolution, levels, a middle block (after the levels in the encoder, before
/// them in the decoder), a norm and a convolution.
#[derive(Debug)]
struct Coder {
    conv_in: Conv2d,
    levels: Vec<(Vec<Resnet>, Option<Conv2d>)>,
    mid: (Resnet, Option<PixelAttention>, Resnet),
    conv_norm_out: GroupNorm,
    conv_out: Conv2d,
}

/// Attention of every pixel to every pixel with one head.
#[derive(Debug)]
struct PixelAttention {
    norm: GroupNorm,
    attention: Attention,
}

impl AutoencoderKl {
    /// The tensors under `vb` have Diffusers' names.
    pub fn new(vb: &VarBuilder, config: &KlConfig) -> candle_core::Result<Self> {
        let encoder = Coder::encoder(&vb.pp("encoder"), config)?;
        let quant = pointwise(vb, "quant_conv", config.use_quant_conv, 2 * config.latent_channels)?;
        Ok(Self { encoder: Some((encoder, quant)), ..Self::decoder(vb, config)? })
    }

    /// The same without the encoder, whose weights are not read.
    pub fn decoder(vb: &VarBuilder, config: &KlConfig) -> candle_core::Result<Self> {
        config.validate().map_err(candle_core::Error::msg)?;
        Ok(Self {
            encoder: None,
            post_quant: pointwise(vb, "post_quant_conv", config.use_post_quant_conv, config.latent_channels)?,
            decoder: Coder::decoder(&vb.pp("decoder"), config)?,
            latent_channels: config.latent_channels,
        })
    }

    /// The decoder's latents (B, C, h, w) to pixels (B, 3, H, W) in −1 … 1 (not clamped).
    pub fn decode(&self, latents: &Tensor, cancel: &Cancel) -> Result<Tensor> {
        let latents = channels_last(latents)?;
        let x = match &self.post_quant {
            Some(conv) => conv.forward(&latents)?,
            None => latents,
        };
        let decoder = &self.decoder;
        let mut x = decoder.forward_mid(&decoder.conv_in.forward(&x)?, cancel)?;
        for (resnets, resample) in &decoder.levels {
            for resnet in resnets {
                cancel.check()?;
                x = resnet.forward(&x, None)?;
            }
            if let Some(conv) = resample {
                cancel.check()?;
                x = conv.forward(&x)?;
            }
        }
        Ok(channels_first(&decoder.finish(&x, cancel)?)?)
    }

    /// About how many bytes of packed weights the decoding of latents (B, h, w) of this type adds to those at hand.
    pub fn bytes_to_pack(&self, latents: (usize, usize, usize), dtype: DType) -> candle_core::Result<usize> {
        let (batch, mut rows, mut columns) = latents;
        let decoder = &self.decoder;
        let mut bytes = decoder.conv_in.bytes_to_pack(latents, dtype)?;
        for resnet in [&decoder.mid.0, &decoder.mid.2] {
            bytes += resnet.bytes_to_pack(latents, dtype)?;
        }
        for (resnets, resample) in &decoder.levels {
            for resnet in resnets {
                bytes += resnet.bytes_to_pack((batch, rows, columns), dtype)?;
            }
            if let Some(conv) = resample {
                bytes += conv.bytes_to_pack((batch, rows, columns), dtype)?;
                (rows, columns) = (2 * rows, 2 * columns);
            }
        }
        Ok(bytes + decoder.conv_out.bytes_to_pack((batch, rows, columns), dtype)?)
    }

    /// Pixels (B, 3, H, W) in −1 … 1 to the mean (B, C, h, w) of the latents' distribution.
    pub fn encode(&self, pixels: &Tensor, cancel: &Cancel) -> Result<Tensor> {
        let (encoder, quant) = self
            .encoder
            .as_ref()
            .ok_or_else(|| candle_core::Error::msg("this autoencoder was loaded without its encoder"))?;
        let mut x = encoder.conv_in.forward(&channels_last(pixels)?)?;
        for (resnets, resample) in &encoder.levels {
            for resnet in resnets {
                cancel.check()?;
                x = resnet.forward(&x, None)?;
            }
            if let Some(conv) = resample {
                cancel.check()?;
                x = conv.forward(&x)?;
            }
        }
        let moments = encoder.finish(&encoder.forward_mid(&x, cancel)?, cancel)?;
        let moments = match quant {
            Some(conv) => conv.forward(&moments)?,
            None => moments,
        };
        Ok(channels_first(&moments.narrow(3, 0, self.latent_channels)?)?)
    }
}

fn pointwise(vb: &VarBuilder, name: &str, wanted: bool, channels: usize) -> candle_core::Result<Option<Conv2d>> {
    wanted.then(|| Conv2d::new(&vb.pp(name), channels, channels, 1)).transpose()
}

impl Coder {
    fn encoder(vb: &VarBuilder, config: &KlConfig) -> candle_core::Result<Self> {
        let channels = &config.block_out_channels;
        let levels = (0..channels.len())
            .map(|level| {
                let inputs = (0..config.layers_per_block)
                    .map(|layer| channels[if layer == 0 { level.saturating_sub(1) } else { level }]);
                let (vb, sampler) = (vb.pp("down_blocks").pp(level), "downsamplers.0.conv");
                let (resnets, resample) =
                    build_level(&vb, inputs, channels[level], sampler, level + 1 < channels.len(), config)?;
                Ok((resnets, resample.map(|conv| conv.strided((0, 1)))))
            })
            .collect::<candle_core::Result<_>>()?;
        let last = channels[channels.len() - 1];
        Self::with_levels(
            vb,
            levels,
            (config.in_channels, channels[0]),
            last,
            (last, 2 * config.latent_channels),
            config,
        )
    }

    fn decoder(vb: &VarBuilder, config: &KlConfig) -> candle_core::Result<Self> {
        let channels: Vec<usize> = config.block_out_channels.iter().rev().copied().collect();
        let levels = (0..channels.len())
            .map(|level| {
                let inputs = (0..=config.layers_per_block)
                    .map(|layer| channels[if layer == 0 { level.saturating_sub(1) } else { level }]);
                let (vb, sampler) = (vb.pp("up_blocks").pp(level), "upsamplers.0.conv");
                let (resnets, resample) =
                    build_level(&vb, inputs, channels[level], sampler, level + 1 < channels.len(), config)?;
                Ok((resnets, resample.map(Conv2d::upsampled)))
            })
            .collect::<candle_core::Result<_>>()?;
        let last = channels[channels.len() - 1];
        Self::with_levels(
            vb,
            levels,
            (config.latent_channels, channels[0]),
            channels[0],
            (last, config.out_channels),
            config,
        )
    }

    fn with_levels(
        vb: &VarBuilder,
        levels: Vec<(Vec<Resnet>, Option<Conv2d>)>,
        (input, first): (usize, usize),
        mid: usize,
        (last, output): (usize, usize),
        config: &KlConfig,
    ) -> candle_core::Result<Self> {
        let groups = config.norm_num_groups;
        let vb_mid = vb.pp("mid_block");
        let resnet = |index: usize| Resnet::new(&vb_mid.pp("resnets").pp(index), mid, mid, None, groups, EPS);
        let attention = config
            .mid_block_add_attention
            .then(|| PixelAttention::new(&vb_mid.pp("attentions.0"), mid, groups))
            .transpose()?;
        Ok(Self {
            conv_in: Conv2d::new(&vb.pp("conv_in"), input, first, 3)?,
            levels,
            mid: (resnet(0)?, attention, resnet(1)?),
            conv_norm_out: GroupNorm::new(&vb.pp("conv_norm_out"), groups, last, EPS)?,
            conv_out: Conv2d::new(&vb.pp("conv_out"), last, output, 3)?,
        })
    }

    fn forward_mid(&self, x: &Tensor, cancel: &Cancel) -> Result<Tensor> {
        let (first, attention, second) = &self.mid;
        cancel.check()?;
        let mut x = first.forward(x, None)?;
        if let Some(attention) = attention {
            cancel.check()?;
            x = attention.forward(&x)?;
        }
        cancel.check()?;
        Ok(second.forward(&x, None)?)
    }

    fn finish(&self, x: &Tensor, cancel: &Cancel) -> Result<Tensor> {
        cancel.check()?;
        Ok(self.conv_out.forward(&self.conv_norm_out.forward_silu(x)?)?)
    }
}

/// The residual blocks of one level, and the convolution that leads to the next level.
fn build_level(
    vb: &VarBuilder,
    inputs: impl Iterator<Item = usize>,
    output: usize,
    sampler: &str,
    resamples: bool,
    config: &KlConfig,
) -> candle_core::Result<(Vec<Resnet>, Option<Conv2d>)> {
    let resnets = inputs
        .enumerate()
        .map(|(layer, input)| {
            Resnet::new(&vb.pp("resnets").pp(layer), input, output, None, config.norm_num_groups, EPS)
        })
        .collect::<candle_core::Result<_>>()?;
    let resample = resamples.then(|| Conv2d::new(&vb.pp(sampler), output, output, 3)).transpose()?;
    Ok((resnets, resample))
}

impl PixelAttention {
    fn new(vb: &VarBuilder, channels: usize, groups: usize) -> candle_core::Result<Self> {
        let [query, key, value, out] =
            ["to_q", "to_k", "to_v", "to_out.0"].map(|name| Linear::new(&vb.pp(name), channels, channels));
        Ok(Self {
            norm: GroupNorm::new(&vb.pp("group_norm"), groups, channels, EPS)?,
            attention: Attention::new(query?, key?, value?, out?, 1)?,
        })
    }

    /// (B, H, W, C)
    fn forward(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        let (b, h, w, c) = x.dims4()?;
        let tokens = self.norm.forward(x)?.reshape((b, h * w, c))?;
        let residual = x.reshape((b, h * w, c))?;
        self.attention.self_attend(&tokens, Some(&residual), false)?.reshape((b, h, w, c))
    }
}
