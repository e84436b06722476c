//! The tiny autoencoder (TAESD), as Diffusers' `AutoencoderTiny` computes it.

use candle_core::{Result, Tensor};
use candle_nn::VarBuilder;
use instaflow_kernels::{Activation, FusedOps};
use serde::{Deserialize, Serialize};

use crate::layers::{Conv2d, channels_first, channels_last, check_sizes};

/// `config.json` of an AutoencoderTiny. Anything absent has TAESD's value.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default)]
pub struct TinyConfig {
    /// Channels of the picture.
    pub in_channels: usize,
    /// Channels of the picture.
    pub out_channels: usize,
    /// Channels of each encoder level. They must all be equal, because the class has no layers between different widths.
    pub encoder_block_out_channels: Vec<usize>,
    /// Channels of each decoder level. They must all be equal.
    pub decoder_block_out_channels: Vec<usize>,
    /// "relu".
    pub act_fn: String,
    /// Channels of the latent.
    pub latent_channels: usize,
    /// 2.
    pub upsampling_scaling_factor: usize,
    /// Residual blocks of each encoder level, from the finest.
    pub num_encoder_blocks: Vec<usize>,
    /// Residual blocks of each decoder level, from the coarsest. If there are more levels than in the encoder, the decoder
    /// gives larger pictures than the encoder takes.
    pub num_decoder_blocks: Vec<usize>,
    /// The sampler's latents are the encoder's, minus the shift, times this.
    pub scaling_factor: f64,
    /// See `scaling_factor`.
    pub shift_factor: Option<f64>,
}

impl Default for TinyConfig {
    fn default() -> Self {
        Self {
            in_channels: 3,
            out_channels: 3,
            encoder_block_out_channels: vec![64; 4],
            decoder_block_out_channels: vec![64; 4],
            act_fn: "relu".into(),
            latent_channels: 4,
            upsampling_scaling_factor: 2,
            num_encoder_blocks: vec![1, 3, 3, 3],
            num_decoder_blocks: vec![3, 3, 3, 1],
            scaling_factor: 1.0,
            shift_factor: Some(0.0),
        }
    }
}

impl TinyConfig {
    /// Pixels along each side of a decoded picture for one latent value.
    pub fn decoder_factor(&self) -> usize {
        1 << (self.num_decoder_blocks.len() - 1)
    }

    /// The error is one sentence that says why this autoencoder is not supported.
    pub fn validate(&self) -> std::result::Result<(), String> {
        let halves = [
            (&self.encoder_block_out_channels, &self.num_encoder_blocks),
            (&self.decoder_block_out_channels, &self.num_decoder_blocks),
        ];
        for (channels, blocks) in halves {
            let levels = blocks.len();
            if channels.len() != levels {
                return Err("the encoder's and decoder's blocks and channels must have one entry per level".into());
            }
            let widths = channels.iter().map(|width| ("block_out_channels", *width));
            check_sizes(levels, widths.chain([("latent_channels", self.latent_channels)]))?;
            if channels.iter().any(|c| *c != channels[0]) {
                return Err(format!("all levels must have the same number of channels, but they have {channels:?}"));
            }
        }
        if self.act_fn != "relu" || self.upsampling_scaling_factor != 2 {
            return Err(format!(
                "act_fn \"{}\" with upsampling_scaling_factor {} is unknown (known: relu, 2)",
                self.act_fn, self.upsampling_scaling_factor
            ));
        }
        if self.in_channels != 3 || self.out_channels != 3 {
            return Err("only autoencoders of RGB pictures (in_channels and out_channels 3) are supported".into());
        }
        if !(self.scaling_factor.is_finite() && self.scaling_factor != 0.0) {
            return Err("scaling_factor must be a number other than 0".into());
        }
        Ok(())
    }
}

/// The tiny autoencoder.
#[derive(Debug)]
pub struct AutoencoderTiny {
    /// `None` if only the decoder was asked for.
    encoder: Option<Vec<Layer>>,
    decoder: Vec<Layer>,
}

#[derive(Debug)]
enum Layer {
    Conv(Conv2d, Activation),
    Block([Conv2d; 3]),
}

impl AutoencoderTiny {
    /// The tensors under `vb` are named `encoder.layers.N.*` and `decoder.layers.N.*`.
    pub fn new(vb: VarBuilder, config: &TinyConfig) -> Result<Self> {
        config.validate().map_err(candle_core::Error::msg)?;
        Ok(Self {
            encoder: Some(encoder(&vb.pp("encoder").pp("layers"), config)?),
            decoder: decoder(&vb.pp("decoder").pp("layers"), config)?,
        })
    }

    /// The same for [`Self::decode`] only: TAESD's own repository has each half in a file.
    pub fn decoder(vb: VarBuilder, config: &TinyConfig) -> Result<Self> {
        config.validate().map_err(candle_core::Error::msg)?;
        Ok(Self { encoder: None, decoder: decoder(&vb.pp("decoder").pp("layers"), config)? })
    }

    /// Pixels (B, 3, H, W) in −1 … 1 to latents (B, C, H/f, W/f).
    pub fn encode(&self, pixels: &Tensor) -> Result<Tensor> {
        let missing = || candle_core::Error::msg("the tiny autoencoder was loaded without its encoder");
        run(self.encoder.as_ref().ok_or_else(missing)?, &pixels.affine(0.5, 0.5)?)
    }

    /// Latents (B, C, h, w) to pixels (B, 3, h·f, w·f) in −1 … 1 (not clamped), where f is the decoder's factor. The latents
    /// are first squashed into −3 … 3.
    pub fn decode(&self, latents: &Tensor) -> Result<Tensor> {
        let latents = ((latents / 3.0)?.tanh()? * 3.0)?;
        run(&self.decoder, &latents)?.affine(2.0, -1.0)
    }
}

fn encoder(vb: &VarBuilder, config: &TinyConfig) -> Result<Vec<Layer>> {
    let width = config.encoder_block_out_channels[0];
    let mut layers = Vec::new();
    for (level, blocks) in config.num_encoder_blocks.iter().enumerate() {
        let vb_conv = vb.pp(layers.len());
        let conv = if level == 0 {
            Conv2d::new(&vb_conv, config.in_channels, width, 3)?
        } else {
            Conv2d::without_bias(&vb_conv, width, width, 3)?.strided((1, 1))
        };
        layers.push(Layer::Conv(conv, Activation::None));
        for _ in 0..*blocks {
            layers.push(block(&vb.pp(layers.len()), width)?);
        }
    }
    let conv = Conv2d::new(&vb.pp(layers.len()), width, config.latent_channels, 3)?;
    layers.push(Layer::Conv(conv, Activation::None));
    Ok(layers)
}

fn decoder(vb: &VarBuilder, config: &TinyConfig) -> Result<Vec<Layer>> {
    let width = config.decoder_block_out_channels[0];
    let levels = config.num_decoder_blocks.len();
    let mut layers = vec![Layer::Conv(Conv2d::new(&vb.pp(0), config.latent_channels, width, 3)?, Activation::Relu)];
    // The Python class counts the activation and each upsampling as a layer.
    let mut index = 2;
    for (level, blocks) in config.num_decoder_blocks.iter().enumerate() {
        for _ in 0..*blocks {
            layers.push(block(&vb.pp(index), width)?);
            index += 1;
        }
        if level + 1 < levels {
            let conv = Conv2d::without_bias(&vb.pp(index + 1), width, width, 3)?.upsampled();
            layers.push(Layer::Conv(conv, Activation::None));
            index += 2;
        } else {
            layers.push(Layer::Conv(Conv2d::new(&vb.pp(index), width, config.out_channels, 3)?, Activation::None));
        }
    }
    Ok(layers)
}

fn block(vb: &VarBuilder, width: usize) -> Result<Layer> {
    let [a, b, c] = [0, 2, 4].map(|index| Conv2d::new(&vb.pp("conv").pp(index), width, width, 3));
    Ok(Layer::Block([a?, b?, c?]))
}

/// `x` (B, C, H, W) through all layers.
fn run(layers: &[Layer], x: &Tensor) -> Result<Tensor> {
    let y = layers.iter().try_fold(channels_last(x)?, |x, layer| match layer {
        Layer::Conv(conv, activation) => conv.forward_with(&x, FusedOps::activation(*activation)),
        Layer::Block([a, b, c]) => {
            let h = a.forward_with(&x, FusedOps::activation(Activation::Relu))?;
            let h = b.forward_with(&h, FusedOps::activation(Activation::Relu))?;
            c.forward_with(&h, FusedOps { residual: Some(&x), activation: Activation::Relu, ..FusedOps::default() })
        }
    })?;
    channels_first(&y)
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};

    use super::*;

    #[test]
    fn a_decoder_may_paint_larger_pictures_than_the_encoder_saw() -> Result<()> {
        let config = TinyConfig {
            encoder_block_out_channels: vec![8; 3],
            num_encoder_blocks: vec![0, 1, 0],
            decoder_block_out_channels: vec![8; 4],
            num_decoder_blocks: vec![1, 0, 0, 1],
            ..TinyConfig::default()
        };
        assert_eq!((config.validate(), config.decoder_factor()), (Ok(()), 8));
        let network = AutoencoderTiny::new(VarBuilder::zeros(DType::F32, &Device::Cpu), &config)?;
        let latents = network.encode(&Tensor::zeros((1, 3, 8, 12), DType::F32, &Device::Cpu)?)?;
        assert_eq!(latents.dims(), [1, 4, 2, 3]);
        assert_eq!(network.decode(&latents)?.dims(), [1, 3, 16, 24]);

        let uneven = TinyConfig { num_decoder_blocks: vec![1, 0], ..config };
        assert!(uneven.validate().is_err_and(|message| message.contains("one entry per level")));
        Ok(())
    }
}
