//! Models of published shapes with random weights, to time these shapes without the real weights.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::loaded_model::{Denoiser, LoadedModel, Text, Vae};
use super::{Models, Shapes, memory_estimate};
use crate::adapters::Own;
use crate::checkpoint::{self, Recipe};
use crate::layers::Registry;
use crate::protocol::{DeviceChoice, Precision, Prediction, Role};
use crate::text::tokenizer::TokenizerFiles;
use crate::text::{TextConfig, TextEncoder, Tokenizer};
use crate::unet::{UNet, UNetConfig};
use crate::vae::{Autoencoder, AutoencoderConfig, KlConfig, TinyConfig};
use crate::{Result, layers};

/// Seeds of the networks' weights. Timings do not depend on them.
const TEXT_SEED: u64 = 0;
const UNET_SEED: u64 = 1;
const VAE_SEED: u64 = 2;
const TINY_SEED: u64 = 3;
const UNET_PARAMETERS: u64 = 859_520_964;
/// Two U-Nets without the layers between them (InstaFlow, appendix B).
const STACKED_PARAMETERS: u64 = 1_719_017_924;
const TEXT_PARAMETERS: u64 = 123_060_480;
const VAE_PARAMETERS: u64 = 83_653_863;
/// TAESD, both halves.
const TINY_PARAMETERS: u64 = 2_445_063;

/// See [`Models::random`].
pub(super) fn open(shapes: Shapes, choice: DeviceChoice, precision: Option<Precision>) -> Result<Models> {
    let (name, num_stacks, unet_parameters) = match shapes {
        Shapes::Sd15 => ("sd15", 1, UNET_PARAMETERS),
        Shapes::InstaFlow17b => ("instaflow-1.7b", 2, STACKED_PARAMETERS),
    };
    let mut models = Models::empty(choice, precision, unet_parameters)?;
    let name = format!("{name} (random weights)");
    let parameters = unet_parameters + TEXT_PARAMETERS + VAE_PARAMETERS + TINY_PARAMETERS;
    memory_estimate::check_parameters(&models, parameters * models.dtype.size_in_bytes() as u64, &name)?;
    let builder = |seed| checkpoint::random_weights(seed, models.dtype, &models.device);
    let own = |seed| Own::Random { seed };
    // The defaults of all configs are Stable Diffusion 1.5's, and TAESD's.
    let config = TextConfig::default();
    let network = collect(|| TextEncoder::new(builder(TEXT_SEED), &config))?;
    let text = Text::new("random text encoder".to_owned(), network, own(TEXT_SEED), config, TEXT_PARAMETERS);
    let config = UNetConfig { num_stacks, ..UNetConfig::default() };
    let network = collect(|| UNet::new(builder(UNET_SEED), &config))?;
    let unet = Denoiser::new(format!("random U-Net {num_stacks}"), network, own(UNET_SEED), config, unet_parameters);
    let config = AutoencoderConfig::Kl(KlConfig::default());
    let network = collect(|| Autoencoder::decoder(builder(VAE_SEED), &json!({})))?;
    let vae = Vae::new("random VAE".to_owned(), network, own(VAE_SEED), config, VAE_PARAMETERS);
    let config = AutoencoderConfig::Tiny(TinyConfig::default());
    let network = collect(|| Autoencoder::new(builder(TINY_SEED), &json!({ "_class_name": "AutoencoderTiny" })))?;
    let tiny = Vae::new("random tiny VAE".to_owned(), network, own(TINY_SEED), config, TINY_PARAMETERS);
    let hash = "random".to_owned();
    let tokenizer = tokenizer(&name)?;
    let recipe = Recipe::predicting(Prediction::Flow);
    let stepping = (Role::Student, recipe, Err("random weights have no schedule".to_owned()));
    let tiny = Some(tiny.into());
    models.student =
        Some(LoadedModel::new(name, hash, stepping, tokenizer, text.into(), unet.into(), vae.into(), tiny));
    Ok(models)
}

/// A network with the tensors that its layers have entered.
fn collect<N>(build: impl FnOnce() -> candle_core::Result<N>) -> Result<(N, Registry)> {
    let (network, registry) = layers::collect(build);
    Ok((network?, registry))
}

/// A tokenizer of CLIP's form that knows printable ASCII characters and no merges.
fn tokenizer(name: &str) -> Result<Tokenizer> {
    let mut vocabulary = serde_json::Map::new();
    let mut add = |token: String| {
        let id = vocabulary.len();
        vocabulary.insert(token, id.into());
    };
    for end in ["", "</w>"] {
        ('!'..='~').for_each(|character| add(format!("{character}{end}")));
    }
    add("<|startoftext|>".to_owned());
    add("<|endoftext|>".to_owned());
    let special = json!({
        "bos_token": "<|startoftext|>", "eos_token": "<|endoftext|>", "pad_token": "<|endoftext|>",
        "unk_token": "<|endoftext|>",
    });
    let files = TokenizerFiles {
        folder: PathBuf::from(name),
        vocab: Some(Value::Object(vocabulary).to_string().into_bytes()),
        merges: Some(b"#version: 0.2\n".to_vec()),
        special_tokens: Some(special.to_string().into_bytes()),
        ..TokenizerFiles::default()
    };
    Tokenizer::new(&files, Some(77))
}
