//! A loaded model. Two models share the networks whose contents are equal.

use std::sync::Arc;

use candle_core::{DType, Tensor};

use super::Models;
use crate::adapters::{self, Adapted, Held, Own, Plan, Target, Weighed};
use crate::checkpoint::Recipe;
use crate::diffusion::Schedule;
use crate::layers::Registry;
use crate::protocol::{Defaults, Lora, ModelCard, Prediction, PromptSyntax, Role, Settings, TokenCount, Words};
use crate::text::{AddedTokens, Embeddings, LoraTag, PromptReader, PromptTokens, TextConfig, TextEncoder, Tokenizer};
use crate::unet::{UNet, UNetConfig};
use crate::vae::{Autoencoder, AutoencoderConfig};
use crate::{Cancel, Result};

pub(super) struct LoadedModel {
    pub(super) card: ModelCard,
    /// Whether the card's words come from a vocabulary.json, which lists all of them. The tokenizer knows only some.
    listed: bool,
    pub(super) tokenizer: Tokenizer,
    /// The textual inversions that prompts may name.
    embeddings: Embeddings,
    /// Their vectors.
    pub(super) added_tokens: Option<AddedTokens>,
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
    /// Its tensors by name, and where they were read from.
    pub(super) registry: Registry,
    pub(super) own: Own,
    /// The adapters that are in it.
    pub(super) adapted: Adapted,
}

pub(super) type Text = Part<TextEncoder, TextConfig>;
pub(super) type Denoiser = Part<UNet, UNetConfig>;
pub(super) type Vae = Part<Autoencoder, AutoencoderConfig>;

impl<N, C> Part<N, C> {
    /// A network whose tensors have entered the registry while it was built.
    pub(super) fn new(
        digest: String,
        (network, registry): (N, Registry),
        own: Own,
        config: C,
        parameters: u64,
    ) -> Self {
        Self { digest, network, config, parameters, registry, own, adapted: Adapted::default() }
    }

    /// What adapters need to know of it.
    fn target<'a>(&'a self, models: &'a Models) -> Target<'a> {
        let Self { registry, own, adapted, .. } = self;
        Target { registry, own, adapted, dtype: models.dtype, device: &models.device }
    }
}

/// A model with adapters in it, which stays as it is while this is held. Its networks may be those of another model, too,
/// which then waits.
pub(super) struct AdaptedModel<'a> {
    plan: Arc<Plan>,
    adapters: Vec<Weighed>,
    _text: Held<'a>,
    _unet: Held<'a>,
}

impl AdaptedModel<'_> {
    /// What is to be said about the adapters.
    pub(super) fn remarks(&self) -> Vec<String> {
        self.plan.remarks.clone()
    }

    /// The adapters' names and short hashes, as other programs write them into pictures.
    pub(super) fn hashes(&self) -> Vec<(String, String)> {
        let mut hashes: Vec<(String, String)> = Vec::new();
        for Weighed { adapter, .. } in &self.adapters {
            let name = adapter.stem();
            if hashes.iter().all(|(known, _)| *known != name)
                && let Some(hash) = adapter.short_hash()
            {
                hashes.push((name, hash));
            }
        }
        hashes
    }
}

impl LoadedModel {
    /// Brings its networks to the state in which the LoRAs of the settings are in them, and `named`, those of the prompt,
    /// and no others.
    pub(super) fn adapt<'a>(
        &'a self,
        models: &'a Models,
        settings: &Settings,
        named: &[LoraTag],
        cancel: &Cancel,
    ) -> Result<AdaptedModel<'a>> {
        let mut loras = settings.loras.clone();
        for tag in named {
            let file = models.adapters.find(&tag.name, &models.lora_folders)?;
            loras.push(Lora { file, weight: tag.weight, text_weight: tag.text_weight.unwrap_or(tag.weight) });
        }
        let weighed = loras.iter().map(|lora| {
            let adapter = models.adapters.open(&lora.file)?;
            Ok(Weighed { adapter, weight: lora.weight, text_weight: lora.text_weight })
        });
        let adapters = weighed.collect::<Result<Vec<_>>>()?;
        let plan = if adapters.is_empty() {
            Arc::default()
        } else {
            let is_flow = self.recipe.prediction == Prediction::Flow;
            let model = adapters::Model {
                unet: (&self.unet.registry, self.unet.config.layers_per_block),
                text: &self.text.registry,
                text_width: self.text.config.hidden_size,
                is_flow,
            };
            let digest = format!("{} {} {is_flow}", self.text.digest, self.unet.digest);
            models.adapters.plan(digest, &model, &adapters)?
        };
        // Always in this order, so that two that draw at once do not wait for each other.
        let text = adapters::apply(&self.text.target(models), &plan.text, cancel)?;
        let unet = adapters::apply(&self.unet.target(models), &plan.unet, cancel)?;
        Ok(AdaptedModel { plan, adapters, _text: text, _unet: unet })
    }

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
        let (embeddings, added_tokens) = (Embeddings::default(), None);
        Self { card, listed: false, tokenizer, embeddings, added_tokens, text, unet, vae, tiny, recipe, schedule }
    }

    /// Uses the words of its vocabulary.json in place of the tokenizer's, which are fewer.
    pub(super) fn with_words(mut self, words: Option<Words>) -> Self {
        if let Some(words) = words {
            self.listed = true;
            self.card.words = Some(words.into());
        }
        self
    }

    /// Lets prompts name these textual inversions; `added` are their vectors.
    pub(super) fn with_embeddings(mut self, embeddings: Embeddings, added: Option<AddedTokens>) -> Self {
        (self.embeddings, self.added_tokens) = (embeddings, added);
        self
    }

    /// A prompt in tokens, as this model reads it.
    pub(super) fn read_prompt(&self, prompt: &str, syntax: PromptSyntax) -> PromptTokens {
        let words = self.card.words.as_deref().filter(|_| self.listed);
        PromptReader { tokenizer: &self.tokenizer, words, embeddings: &self.embeddings }.read(prompt, syntax)
    }

    /// Counts the tokens of the settings' prompt, and says what has no effect.
    pub(super) fn count_tokens(&self, settings: &Settings) -> TokenCount {
        let mut count = self.read_prompt(&settings.prompt, settings.prompt_syntax).count;
        let unguided = settings.guidance <= 1.0 || self.unet.config.time_cond_proj_dim.is_some();
        if unguided && !settings.negative_prompt.trim().is_empty() {
            count.remarks.push("The negative prompt has no effect on this model's picture.".to_owned());
        }
        count
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

#[cfg(test)]
#[path = "adapted_tests.rs"]
mod tests;
