//! A loaded model. Two models share the networks whose contents are equal.

use std::sync::Arc;

use candle_core::{DType, Tensor};

use crate::checkpoint::Recipe;
use crate::diffusion::Schedule;
use crate::protocol::{Defaults, ModelCard, Role, Settings, TokenCount, Words};
use crate::text::{Reading, TextConfig, TextEncoder, Tokenizer, unknown_words};
use crate::unet::{UNet, UNetConfig};
use crate::vae::{Autoencoder, AutoencoderConfig};
use crate::{Cancel, Result};

pub(super) struct LoadedModel {
    pub(super) card: ModelCard,
    /// Whether the card's words come from a vocabulary.json, which lists all of them. The tokenizer knows only some.
    listed: bool,
    pub(super) tokenizer: Tokenizer,
    pub(super) text: Arc<Text>,
    pub(super) unet: Arc<Denoiser>,
    pub(super) vae: Arc<Vae>,
    /// An AutoencoderTiny beside `vae`.
    pub(super) tiny: Option<Arc<Vae>>,
    /// What the U-Net predicts and how it is drawn.
    pub(super) recipe: Recipe,
    /// The noise schedule for the samplers of diffusion models, or why there is none.
    pub(super) schedule: Result<Schedule, String>,
}

/// A loaded network with the config that made it.
pub(super) struct Part<N, C> {
    /// Equal for equal contents; see [`crate::checkpoint::Component::digest`].
    pub(super) digest: String,
    pub(super) network: N,
    pub(super) config: C,
    pub(super) parameters: u64,
}

pub(super) type Text = Part<TextEncoder, TextConfig>;
pub(super) type Denoiser = Part<UNet, UNetConfig>;
pub(super) type Vae = Part<Autoencoder, AutoencoderConfig>;

impl LoadedModel {
    /// A model of loaded parts for one role, with its name and the ten hex digits of its weights' digest.
    pub(super) fn new(
        name: String,
        hash: String,
        (role, recipe, schedule): (Role, Recipe, Result<Schedule, String>),
        tokenizer: Tokenizer,
        text: Arc<Text>,
        unet: Arc<Denoiser>,
        vae: Arc<Vae>,
        tiny: Option<Arc<Vae>>,
    ) -> Self {
        let pixels = |latents: usize| u32::try_from(latents.saturating_mul(vae.factor())).unwrap_or(u32::MAX);
        let (rows, columns) = unet.config.latent_size();
        let own = recipe.defaults(role);
        let Settings { steps, guidance, .. } = Settings::of(role, own, "");
        let Defaults { sampler, .. } = own;
        let card = ModelCard {
            name,
            hash,
            sampler,
            steps,
            guidance,
            samplers: recipe.samplers(schedule.is_ok()),
            size: (pixels(columns), pixels(rows)),
            size_multiple: pixels(unet.config.latent_multiple()),
            unet_parameters: unet.parameters,
            num_stacks: unet.config.num_stacks as u32,
            has_tiny_decoder: tiny.is_some(),
            token_limit: tokenizer.limit(),
            words: tokenizer.words().map(|known| Words { known: known.clone(), ..Words::default() }.into()),
        };
        Self { card, listed: false, tokenizer, text, unet, vae, tiny, recipe, schedule }
    }

    /// Uses the words of its vocabulary.json in place of the tokenizer's, which are fewer.
    pub(super) fn with_words(mut self, words: Option<Words>) -> Self {
        if let Some(words) = words {
            self.listed = true;
            self.card.words = Some(words.into());
        }
        self
    }

    /// A prompt's token ids, as the text encoder gets them.
    pub(super) fn token_ids(&self, prompt: &str) -> Vec<u32> {
        match self.read(prompt) {
            Some(reading) => self.tokenizer.encode(&reading.text),
            None => self.tokenizer.encode(prompt),
        }
    }

    /// Counts a prompt's tokens and finds its unknown words.
    pub(super) fn count_tokens(&self, prompt: &str) -> TokenCount {
        let mut count = if let Some(reading) = self.read(prompt) {
            let count = self.tokenizer.count(&reading.text);
            let cut_at = reading.typed_offset(count.cut_at);
            TokenCount { prompt: prompt.to_owned(), cut_at, unknown: reading.unknown, ..count }
        } else {
            let mut count = self.tokenizer.count(prompt);
            if let Some(words) = self.card.words.as_ref().filter(|_| self.listed) {
                count.unknown = unknown_words(prompt, &words.known);
            }
            count
        };
        // Words that do not reach the text encoder are neither known nor unknown.
        count.unknown.retain(|word| word.start < count.cut_at);
        count
    }

    /// A prompt in words that the model knows, if its vocabulary.json has synonyms.
    fn read(&self, prompt: &str) -> Option<Reading> {
        let words = self.card.words.as_ref().filter(|words| !words.synonyms.is_empty())?;
        Some(Reading::new(prompt, words))
    }

    /// The decoder that is cheap enough for every step: the tiny one beside the VAE, or the VAE if it is tiny itself.
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

    /// See [`Autoencoder::bytes_to_pack`].
    pub(super) fn bytes_to_pack(&self, latents: (usize, usize, usize), dtype: DType) -> Result<usize> {
        Ok(self.network.bytes_to_pack((1, latents.1, latents.2), dtype)?)
    }

    fn is_tiny(&self) -> bool {
        self.network.is_tiny()
    }
}
