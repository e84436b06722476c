//! The shapes of the networks and how each stage learns: data, in one place.

use anyhow::{Context, Result, ensure};
use instaflow_engine::text::TextConfig;
use instaflow_engine::unet::UNetConfig;
use instaflow_engine::vae::TinyConfig;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::training::Schedule;

/// The networks of a pair, in the words of the `config.json` files that are shipped with them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Architecture {
    /// Pixels of a picture's side.
    pub picture: u32,
    /// Tokens that the text encoder sees, marks included.
    pub tokens: usize,
    /// `AutoencoderTiny` of Diffusers; every level halves the side but the first.
    pub autoencoder: Value,
    /// `CLIPTextModel` of Transformers; `vocab_size` and the marks' ids are filled in from the tokenizer.
    pub text_encoder: Value,
    /// `UNet2DConditionModel` of Diffusers.
    pub unet: Value,
}

impl Architecture {
    /// What ships: three U-Nets of 6.3 M parameters (two of them the student), an autoencoder of 0.4 M and a text encoder of
    /// 0.7 M, so that the pair stays under 40 MiB in f16 and a student's picture costs about 1.2 G multiplications. The
    /// autoencoder has little at full resolution, where a layer costs 64 times what it costs at the latents'.
    pub fn pocket() -> Self {
        Self::of_size(128, 48, 32, &[0, 0, 1, 2], &[3, 3, 2, 0], 128, 3, &[64, 128, 144])
    }

    /// The same kind of networks, as small as they go: for tests.
    #[cfg(test)]
    pub fn toy() -> Self {
        Self::of_size(64, 48, 8, &[0, 1, 0, 0], &[0, 0, 1, 0], 16, 1, &[16, 16, 32])
    }

    fn of_size(
        picture: u32,
        tokens: usize,
        autoencoder_width: usize,
        encoder_blocks: &[usize],
        decoder_blocks: &[usize],
        text_width: usize,
        text_layers: usize,
        unet_widths: &[usize],
    ) -> Self {
        let widths = vec![autoencoder_width; encoder_blocks.len()];
        // The smallest level has only the middle's cross-attention: 4×4 positions have little more to ask the text.
        let blocks = |edge: &str, cross: &str| vec![edge.to_owned(), cross.to_owned(), edge.to_owned()];
        Self {
            picture,
            tokens,
            autoencoder: json!({
                "_class_name": "AutoencoderTiny",
                "_diffusers_version": "0.35.2",
                "act_fn": "relu",
                "block_out_channels": widths,
                "decoder_block_out_channels": widths,
                "encoder_block_out_channels": widths,
                "force_upcast": false,
                "in_channels": 3,
                "latent_channels": 8,
                "latent_magnitude": 3,
                "latent_shift": 0.5,
                "num_decoder_blocks": decoder_blocks,
                "num_encoder_blocks": encoder_blocks,
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
                "hidden_size": text_width,
                "initializer_factor": 1.0,
                "initializer_range": 0.02,
                "intermediate_size": 4 * text_width,
                "layer_norm_eps": 1e-5,
                "max_position_embeddings": tokens,
                "model_type": "clip_text_model",
                "num_attention_heads": 4,
                "num_hidden_layers": text_layers,
                "projection_dim": text_width,
            }),
            unet: json!({
                "_class_name": "UNet2DConditionModel",
                "_diffusers_version": "0.35.2",
                "act_fn": "silu",
                // Diffusers means the number of heads by this name.
                "attention_head_dim": 4,
                "block_out_channels": unet_widths,
                "center_input_sample": false,
                "cross_attention_dim": text_width,
                "down_block_types": blocks("DownBlock2D", "CrossAttnDownBlock2D"),
                "downsample_padding": 1,
                "flip_sin_to_cos": true,
                "freq_shift": 0,
                "in_channels": 8,
                "layers_per_block": 1,
                "mid_block_scale_factor": 1,
                "mid_block_type": "UNetMidBlock2DCrossAttn",
                "norm_eps": 1e-5,
                "norm_num_groups": 16,
                "out_channels": 8,
                "sample_size": picture as usize >> (widths.len() - 1),
                "up_block_types": blocks("UpBlock2D", "CrossAttnUpBlock2D"),
                "use_linear_projection": false,
            }),
        }
    }

    /// The autoencoder's config.
    pub fn autoencoder(&self) -> Result<TinyConfig> {
        parse(&self.autoencoder, "autoencoder")
    }

    /// The text encoder's config; `vocabulary` tokens, the last two of which are the marks of start and end.
    pub fn text_encoder(&self, vocabulary: usize) -> Result<TextConfig> {
        parse(&self.text_encoder_json(vocabulary), "text encoder")
    }

    /// The text encoder's `config.json`.
    pub fn text_encoder_json(&self, vocabulary: usize) -> Value {
        let mut config = self.text_encoder.clone();
        config["vocab_size"] = json!(vocabulary);
        config["bos_token_id"] = json!(vocabulary - 2);
        config["eos_token_id"] = json!(vocabulary - 1);
        config["pad_token_id"] = json!(vocabulary - 1);
        config
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

    /// (channels, side) of the latents of a picture.
    pub fn latent(&self) -> (usize, usize) {
        let number = |name: &str| self.unet[name].as_u64().unwrap_or_default() as usize;
        (number("in_channels"), number("sample_size"))
    }

    /// The architecture that a run was begun with, by its file.
    pub fn from_json(text: &str) -> Result<Self> {
        let architecture: Self = serde_json::from_str(text)?;
        ensure!(architecture.picture > 0 && architecture.tokens > 2, "a picture or a prompt of no size");
        Ok(architecture)
    }
}

/// Autoencoder: windows of pictures by the hundred thousand.
pub const AUTOENCODER: Schedule = Schedule {
    steps: 8_000,
    batch: 16,
    micro_batch: 8,
    rate: 1.5e-3,
    final_rate: 1e-5,
    warm_up: 200,
    decay: 0.0,
    average: 0.998,
};

/// Decoder alone, on latents that stay.
pub const DECODER: Schedule = Schedule { steps: 3_000, rate: 5e-4, warm_up: 100, ..AUTOENCODER };

/// Text encoder and U-Net together.
pub const BASE: Schedule = Schedule {
    steps: 8_000,
    batch: 32,
    micro_batch: 16,
    rate: 1e-3,
    final_rate: 1e-5,
    warm_up: 200,
    decay: 0.01,
    average: 0.999,
};

/// The U-Net again, on pairs of the base flow.
pub const REFLOW: Schedule = Schedule { steps: 1_500, rate: 4e-4, warm_up: 100, ..BASE };

/// The stacked student, on pairs of the 2-rectified flow.
pub const DISTILL: Schedule = Schedule { steps: 2_000, rate: 5e-4, warm_up: 100, ..BASE };

fn parse<T: DeserializeOwned>(config: &Value, what: &str) -> Result<T> {
    serde_json::from_value(config.clone())
        .with_context(|| format!("the {what}'s config is not one that the engine takes"))
}
