//! Stable Diffusion 1.5's networks with random weights, to time the real shapes where the weights are not at hand.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::model::{Denoiser, Model, Text, Vae};
use super::{Models, memory};
use crate::Result;
use crate::checkpoint;
use crate::protocol::{DeviceChoice, Precision};
use crate::text::tokenizer::TokenizerFiles;
use crate::text::{TextConfig, TextEncoder, Tokenizer};
use crate::unet::{UNet, UNetConfig};
use crate::vae::{Autoencoder, AutoencoderConfig, KlConfig};

/// Seed of the weights: timings do not depend on it.
const SEED: u64 = 0;
const UNET_PARAMETERS: u64 = 859_520_964;
const TEXT_PARAMETERS: u64 = 123_060_480;
const VAE_PARAMETERS: u64 = 83_653_863;
const NAME: &str = "sd15 (random weights)";

/// See [`Models::random_sd15`].
pub(super) fn sd15(choice: DeviceChoice, precision: Option<Precision>) -> Result<Models> {
    let mut models = Models::empty(choice, precision)?;
    let bytes = (UNET_PARAMETERS + TEXT_PARAMETERS + VAE_PARAMETERS) * models.dtype.size_in_bytes() as u64;
    memory::check_parameters(&models, bytes, NAME)?;
    let builder = |part: &str| checkpoint::random(SEED, models.dtype, &models.device).pp(part);
    // The defaults of all three configs are Stable Diffusion 1.5's.
    let config = TextConfig::default();
    let network = TextEncoder::new(builder("text_encoder"), &config)?;
    let text = Text { digest: "random text encoder".to_owned(), network, config, parameters: TEXT_PARAMETERS };
    let config = UNetConfig::default();
    let network = UNet::new(builder("unet"), &config)?;
    let unet = Denoiser { digest: "random U-Net".to_owned(), network, config, parameters: UNET_PARAMETERS };
    let config = AutoencoderConfig::Kl(KlConfig::default());
    let network = Autoencoder::new(builder("vae"), &json!({}))?;
    let vae = Vae { digest: "random VAE".to_owned(), network, config, parameters: VAE_PARAMETERS };
    let (name, hash) = (NAME.to_owned(), "random".to_owned());
    models.student = Some(Model::new(name, hash, tokenizer()?, text.into(), unet.into(), vae.into(), None));
    Ok(models)
}

/// A tokenizer of CLIP's form that knows printable ASCII characters and no merges.
fn tokenizer() -> Result<Tokenizer> {
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
        folder: PathBuf::from(NAME),
        vocab: Some(Value::Object(vocabulary).to_string().into_bytes()),
        merges: Some(b"#version: 0.2\n".to_vec()),
        special_tokens: Some(special.to_string().into_bytes()),
        ..TokenizerFiles::default()
    };
    Tokenizer::new(&files, Some(77))
}
