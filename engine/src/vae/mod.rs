//! From latents to pixels and back: Stable Diffusion's full autoencoder, and the tiny one for the same latents (TAESD).

mod kl;
pub use kl::{AutoencoderKl, KlConfig};

mod tiny;
pub use tiny::{AutoencoderTiny, TinyConfig};

use candle_core::{DType, Tensor};
use candle_nn::VarBuilder;

use crate::{Cancel, Result};

/// Either autoencoder, chosen by the `_class_name` of its config.
#[derive(Debug)]
pub struct Autoencoder {
    network: Network,
    config: AutoencoderConfig,
}

#[derive(Debug)]
enum Network {
    Kl(Box<AutoencoderKl>),
    Tiny(AutoencoderTiny),
}

/// The config of either.
#[derive(Clone, Debug)]
pub enum AutoencoderConfig {
    /// Of `AutoencoderKL`.
    Kl(KlConfig),
    /// Of `AutoencoderTiny`.
    Tiny(TinyConfig),
}

impl AutoencoderConfig {
    /// From a parsed `config.json`. The error is one sentence that says why this autoencoder is not supported.
    pub fn from_json(config: &serde_json::Value) -> Result<Self, String> {
        fn parse<T: serde::de::DeserializeOwned>(config: &serde_json::Value) -> Result<T, String> {
            T::deserialize(config).map_err(|error| format!("a setting has the wrong form: {error}"))
        }
        match config.get("_class_name").and_then(serde_json::Value::as_str) {
            Some("AutoencoderTiny") => {
                let config: TinyConfig = parse(config)?;
                config.validate()?;
                Ok(Self::Tiny(config))
            }
            Some("AutoencoderKL") | None => {
                let config: KlConfig = parse(config)?;
                config.validate()?;
                Ok(Self::Kl(config))
            }
            Some(other) => {
                Err(format!("the autoencoder \"{other}\" is unknown (known: AutoencoderKL, AutoencoderTiny)"))
            }
        }
    }

    /// Pixels along each side of one latent value.
    pub fn factor(&self) -> usize {
        match self {
            Self::Kl(config) => 1 << (config.block_out_channels.len() - 1),
            Self::Tiny(config) => config.decoder_factor(),
        }
    }

    /// Channels of the latent.
    pub fn latent_channels(&self) -> usize {
        match self {
            Self::Kl(config) => config.latent_channels,
            Self::Tiny(config) => config.latent_channels,
        }
    }

    /// The sampler's latents are the encoder's, minus the shift, times the scale.
    fn scale_and_shift(&self) -> (f64, f64) {
        match self {
            Self::Kl(config) => (config.scaling_factor, config.shift_factor.unwrap_or(0.0)),
            Self::Tiny(config) => (config.scaling_factor, config.shift_factor.unwrap_or(0.0)),
        }
    }
}

impl Autoencoder {
    /// The tensors under `vb` have Diffusers' names. `config` is the parsed `config.json`; see
    /// [`AutoencoderConfig::from_json`].
    pub fn new(vb: VarBuilder, config: &serde_json::Value) -> candle_core::Result<Self> {
        Self::build(vb, config, AutoencoderKl::new, AutoencoderTiny::new)
    }

    /// The same for [`Self::decode`] only: the encoder of the full one (34 million parameters in Stable Diffusion) is not
    /// read.
    pub fn decoder(vb: VarBuilder, config: &serde_json::Value) -> candle_core::Result<Self> {
        Self::build(vb, config, AutoencoderKl::decoder, AutoencoderTiny::decoder)
    }

    fn build(
        vb: VarBuilder,
        config: &serde_json::Value,
        kl: impl FnOnce(&VarBuilder, &KlConfig) -> candle_core::Result<AutoencoderKl>,
        tiny: impl FnOnce(VarBuilder, &TinyConfig) -> candle_core::Result<AutoencoderTiny>,
    ) -> candle_core::Result<Self> {
        let config = AutoencoderConfig::from_json(config).map_err(candle_core::Error::msg)?;
        let network = match &config {
            AutoencoderConfig::Kl(config) => Network::Kl(Box::new(kl(&vb, config)?)),
            AutoencoderConfig::Tiny(config) => Network::Tiny(tiny(vb, config)?),
        };
        Ok(Self { network, config })
    }

    /// A sampler's latents (B, C, h, w) to pixels (B, 3, H, W) in −1 … 1 (not clamped). Undoes scale and shift.
    pub fn decode(&self, latents: &Tensor, cancel: &Cancel) -> Result<Tensor> {
        let (scale, shift) = self.config.scale_and_shift();
        let latents = latents.affine(1.0 / scale, shift)?;
        match &self.network {
            Network::Kl(network) => network.decode(&latents, cancel),
            Network::Tiny(network) => {
                cancel.check()?;
                Ok(network.decode(&latents)?)
            }
        }
    }

    /// Pixels (B, 3, H, W) in −1 … 1 to a sampler's latents (B, C, h, w), the mean of their distribution.
    pub fn encode(&self, pixels: &Tensor, cancel: &Cancel) -> Result<Tensor> {
        let (scale, shift) = self.config.scale_and_shift();
        let latents = match &self.network {
            Network::Kl(network) => network.encode(pixels, cancel)?,
            Network::Tiny(network) => network.encode(pixels)?,
        };
        Ok(latents.affine(scale, -shift * scale)?)
    }

    /// About how many bytes of packed weights the decoding of latents (B, h, w) of this type adds to those at hand. The
    /// tiny one's weights do not count: all of them are a few megabytes.
    pub(crate) fn bytes_to_pack(&self, latents: (usize, usize, usize), dtype: DType) -> candle_core::Result<usize> {
        match &self.network {
            Network::Kl(network) => network.bytes_to_pack(latents, dtype),
            Network::Tiny(_) => Ok(0),
        }
    }

    /// Pixels along each side of one latent value.
    pub fn factor(&self) -> usize {
        self.config.factor()
    }

    /// Channels of the latent.
    pub fn latent_channels(&self) -> usize {
        self.config.latent_channels()
    }

    /// Whether this is the tiny one.
    pub fn is_tiny(&self) -> bool {
        matches!(self.network, Network::Tiny(_))
    }
}
