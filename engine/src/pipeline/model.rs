//! One model: its networks, shared with the other model of a pair where their contents are equal.

use std::sync::Arc;

use candle_core::Tensor;

use crate::diffusion::Schedule;
use crate::protocol::{ModelCard, Sampler};
use crate::text::{TextConfig, TextEncoder, Tokenizer};
use crate::unet::{UNet, UNetConfig};
use crate::vae::{Autoencoder, AutoencoderConfig};
use crate::{Cancel, Result};

pub(super) struct Model {
    pub(super) card: ModelCard,
    pub(super) tokenizer: Tokenizer,
    pub(super) text: Arc<Text>,
    pub(super) unet: Arc<Denoiser>,
    pub(super) vae: Arc<Vae>,
    /// An AutoencoderTiny beside `vae`.
    pub(super) tiny: Option<Arc<Vae>>,
    /// What the samplers of Stable Diffusion step on, or why they cannot.
    pub(super) schedule: Result<Schedule, String>,
}

/// A loaded network with the config that made it.
pub(super) struct Part<N, C> {
    /// Equal for equal contents.
    pub(super) digest: String,
    pub(super) network: N,
    pub(super) config: C,
    pub(super) parameters: u64,
}

pub(super) type Text = Part<TextEncoder, TextConfig>;
pub(super) type Denoiser = Part<UNet, UNetConfig>;
pub(super) type Vae = Part<Autoencoder, AutoencoderConfig>;

impl Model {
    /// Puts loaded parts together under a name and the ten hex digits that stand for their weights.
    pub(super) fn new(
        name: String,
        hash: String,
        (sampler, schedule): (Sampler, Result<Schedule, String>),
        tokenizer: Tokenizer,
        text: Arc<Text>,
        unet: Arc<Denoiser>,
        vae: Arc<Vae>,
        tiny: Option<Arc<Vae>>,
    ) -> Self {
        let pixels = |latents: usize| u32::try_from(latents.saturating_mul(vae.factor())).unwrap_or(u32::MAX);
        let (rows, columns) = unet.config.latent_size();
        let card = ModelCard {
            name,
            hash,
            sampler,
            size: (pixels(columns), pixels(rows)),
            size_multiple: pixels(unet.config.latent_multiple()),
            unet_parameters: unet.parameters,
            num_stacks: unet.config.num_stacks as u32,
            has_tiny_decoder: tiny.is_some(),
            token_limit: tokenizer.limit(),
        };
        Self { card, tokenizer, text, unet, vae, tiny, schedule }
    }

    /// The decoder that is cheap enough for every step: the one beside the VAE, or the VAE where it is tiny itself.
    pub(super) fn tiny_decoder(&self) -> Option<&Vae> {
        self.tiny.as_deref().or_else(|| self.vae.is_tiny().then_some(&*self.vae))
    }
}

impl Vae {
    /// Pixels per latent along each side.
    pub(super) fn factor(&self) -> usize {
        self.config.factor()
    }

    pub(super) fn latent_channels(&self) -> usize {
        self.config.latent_channels()
    }

    /// A sampler's latents (B, C, h, w) to pixels (B, 3, H, W), around [−1, 1].
    pub(super) fn decode(&self, latents: &Tensor, cancel: &Cancel) -> Result<Tensor> {
        self.network.decode(latents, cancel)
    }

    fn is_tiny(&self) -> bool {
        self.network.is_tiny()
    }
}
