//! The networks of a run, as the `config.json` files that belong to them. Change here what kind of networks Pocket is
//! made of; their sizes are in `run_config.rs`.

use anyhow::{Context, Result, ensure};
use instaflow_engine::text::TextConfig;
use instaflow_engine::unet::UNetConfig;
use instaflow_engine::vae::{AutoencoderConfig, TinyConfig};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::run_config::Sizes;

/// Prefix of the text encoder's weights among those of a flow.
pub const TEXT: &str = "text_encoder.";
/// Prefix of the U-Net's weights.
pub const UNET: &str = "unet.";

/// The networks of a pair.
#[derive(Clone, Debug, PartialEq)]
pub struct Architecture {
    /// Side of a picture that is drawn, in pixels.
    pub picture: u32,
    /// Tokens that the text encoder sees, marks included.
    pub tokens: usize,
    /// `AutoencoderTiny` or `AutoencoderKL` of Diffusers.
    pub autoencoder: Value,
    /// `CLIPTextModel` of Transformers.
    pub text_encoder: Value,
    /// `UNet2DConditionModel` of Diffusers.
    pub unet: Value,
}

impl Architecture {
    /// The kind that Pocket is of. The vocabulary is not known yet: see [`Self::with_vocabulary`].
    pub fn of(sizes: &Sizes) -> Self {
        let widths = |blocks: &[usize]| vec![sizes.autoencoder_width; blocks.len()];
        // The smallest level has only the middle's cross-attention: 4×4 positions have little more to ask the text.
        let blocks = |edge: &str, cross: &str| vec![edge.to_owned(), cross.to_owned(), edge.to_owned()];
        Self {
            picture: sizes.drawn(),
            tokens: sizes.tokens,
            autoencoder: json!({
                "_class_name": "AutoencoderTiny",
                "_diffusers_version": "0.35.2",
                "act_fn": "relu",
                "block_out_channels": widths(&sizes.decoder_blocks),
                "decoder_block_out_channels": widths(&sizes.decoder_blocks),
                "encoder_block_out_channels": widths(&sizes.encoder_blocks),
                "force_upcast": false,
                "in_channels": 3,
                "latent_channels": sizes.latent_channels,
                "latent_magnitude": 3,
                "latent_shift": 0.5,
                "num_decoder_blocks": sizes.decoder_blocks,
                "num_encoder_blocks": sizes.encoder_blocks,
                "out_channels": 3,
                "scaling_factor": 1.0,
                "shift_factor": 0.0,
                "upsample_fn": "nearest",
                "upsampling_scaling_factor": 2,
            }),
            text_encoder: json!({
                "architectures": ["CLIPTextModel"],
                "attention_dropout": 0.0,
                "hidden_act": "quick_gelu",
                "hidden_size": sizes.text_width,
                "initializer_factor": 1.0,
                "initializer_range": 0.02,
                "intermediate_size": 4 * sizes.text_width,
                "layer_norm_eps": 1e-5,
                "max_position_embeddings": sizes.tokens,
                "model_type": "clip_text_model",
                "num_attention_heads": 4,
                "num_hidden_layers": sizes.text_layers,
                "projection_dim": sizes.text_width,
            }),
            unet: json!({
                "_class_name": "UNet2DConditionModel",
                "_diffusers_version": "0.35.2",
                "act_fn": "silu",
                // Diffusers means the number of heads by this name.
                "attention_head_dim": 4,
                "block_out_channels": sizes.unet_widths,
                "center_input_sample": false,
                "cross_attention_dim": sizes.text_width,
                "down_block_types": blocks("DownBlock2D", "CrossAttnDownBlock2D"),
                "downsample_padding": 1,
                "flip_sin_to_cos": true,
                "freq_shift": 0,
                "in_channels": sizes.latent_channels,
                "layers_per_block": 1,
                "mid_block_scale_factor": 1,
                "mid_block_type": "UNetMidBlock2DCrossAttn",
                "norm_eps": 1e-5,
                "norm_num_groups": 16,
                "out_channels": sizes.latent_channels,
                "sample_size": sizes.picture as usize / sizes.factor(),
                "up_block_types": blocks("UpBlock2D", "CrossAttnUpBlock2D"),
                "use_linear_projection": false,
            }),
        }
    }

    /// The networks of a model folder, by its own configs.
    pub fn of_folder(text_encoder: Value, unet: Value, autoencoder: Value) -> Result<Self> {
        let factor = AutoencoderConfig::from_json(&autoencoder).map_err(anyhow::Error::msg)?.factor();
        let text: TextConfig = parse(&text_encoder, "text encoder")?;
        ensure!(
            unet["num_stacks"].as_u64().unwrap_or(1) == 1,
            "the model's U-Net is a stack already: reflow and distillation start from a single one"
        );
        let mut networks = Self { picture: 0, tokens: text.max_position_embeddings, autoencoder, text_encoder, unet };
        let (_, side) = networks.latent();
        ensure!((1..=1024).contains(&side), "the model's U-Net names no side of its latents from 1 to 1024");
        networks.picture = (side * factor) as u32;
        Ok(networks)
    }

    /// The same with a vocabulary of so many tokens, the last two of which are the marks of start and end.
    #[must_use]
    pub fn with_vocabulary(mut self, vocabulary: usize) -> Self {
        let marks = [("vocab_size", 0), ("bos_token_id", 2), ("eos_token_id", 1), ("pad_token_id", 1)];
        for (key, before_end) in marks {
            self.text_encoder[key] = json!(vocabulary - before_end);
        }
        self
    }

    /// The config of an autoencoder that is trained here.
    pub fn autoencoder(&self) -> Result<TinyConfig> {
        parse(&self.autoencoder, "autoencoder")
    }

    /// The text encoder's config.
    pub fn text_encoder(&self) -> Result<TextConfig> {
        parse(&self.text_encoder, "text encoder")
    }

    /// The U-Net's config: a single one, or `stacks` of them in series.
    pub fn unet(&self, stacks: usize) -> Result<UNetConfig> {
        parse(&self.unet_json(stacks), "U-Net")
    }

    /// The U-Net's `config.json`.
    pub fn unet_json(&self, stacks: usize) -> Value {
        let mut config = self.unet.clone();
        if stacks > 1 {
            config["_class_name"] = json!("StackedUNet2DConditionModel");
            config["num_stacks"] = json!(stacks);
        }
        config
    }

    /// (channels, side) of the latents of a picture; what the config leaves out is Stable Diffusion's.
    pub fn latent(&self) -> (usize, usize) {
        let number = |name: &str, default: u64| self.unet[name].as_u64().unwrap_or(default) as usize;
        let side = if self.unet["sample_size"].is_array() { 0 } else { number("sample_size", 64) };
        (number("in_channels", 4), side)
    }
}

fn parse<T: DeserializeOwned>(config: &Value, what: &str) -> Result<T> {
    T::deserialize(config).with_context(|| format!("the {what}'s config is not one that the engine takes"))
}
