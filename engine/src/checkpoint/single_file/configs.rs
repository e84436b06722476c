//! Configs for checkpoints in one file, by their keys and shapes. No key says how many heads an attention has or how many
//! groups a norm; what Stable Diffusion 1.5's and 2.1's folders say of these holds for everything of their widths.
//! Everything that is not written here has the networks' own defaults, which are Stable Diffusion 1.5's.

use serde_json::{Value, json};

use crate::checkpoint::kind::Base;
use crate::checkpoint::tensors::Tensors;
use crate::protocol::Prediction;

/// The noise schedule that all of Stable Diffusion 1 and 2 share.
pub(super) fn scheduler(prediction: Option<Prediction>) -> Value {
    let v = prediction == Some(Prediction::V);
    json!({
        "_class_name": "PNDMScheduler",
        "beta_start": 0.00085,
        "beta_end": 0.012,
        "beta_schedule": "scaled_linear",
        "num_train_timesteps": 1000,
        "prediction_type": if v { "v_prediction" } else { "epsilon" },
        "set_alpha_to_one": false,
        "skip_prk_steps": true,
        "steps_offset": 1,
        "trained_betas": null,
    })
}

/// What a U-Net of Stable Diffusion 2 predicts: in those that predict v, the biases of one norm are spread wider than this
/// (ComfyUI). `None` if it cannot be told.
pub(super) fn prediction(unet: &Tensors) -> Option<Prediction> {
    const WIDEST_OF_EPSILON: f32 = 0.09;
    let bias = unet.get("up_blocks.3.attentions.2.transformer_blocks.0.norm1.bias")?;
    let values = unet.values(bias)?;
    let count = values.len().max(2) as f32;
    let mean = values.iter().sum::<f32>() / count;
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f32>() / (count - 1.0);
    Some(if variance.sqrt() > WIDEST_OF_EPSILON { Prediction::V } else { Prediction::Epsilon })
}

/// Most levels, and most blocks to a level.
const MOST: usize = 16;

/// `unet/config.json`.
pub(super) fn unet(unet: &Tensors, base: Base, prediction: Option<Prediction>) -> Result<Value, String> {
    let dim = |name: &str, index: usize| unet.get(name).and_then(|stored| stored.shape.get(index).copied());
    let has = |name: &str| unet.get(name).is_some();
    let width = |level: usize| dim(&format!("down_blocks.{level}.resnets.0.conv1.weight"), 0);
    let widths: Vec<usize> = (0..MOST).map_while(width).collect();
    let levels = widths.len();
    let layers = (0..MOST).take_while(|layer| has(&format!("down_blocks.0.resnets.{layer}.conv1.weight"))).count();
    let attends = |block: &str| has(&format!("{block}.attentions.0.norm.weight"));
    let types = |side: &str, plain: &str, attending: &str| -> Vec<String> {
        let name = |level| if attends(&format!("{side}_blocks.{level}")) { attending } else { plain };
        (0..levels).map(|level| name(level).to_owned()).collect()
    };
    let Some(text) = base.text_width() else { return Err(unknown_shape("cross-attention")) };
    let linear = unet.iter().any(|(name, stored)| name.ends_with(".proj_in.weight") && stored.shape.len() == 2);
    // Heads of 64 channels in Stable Diffusion 2; 8 heads in Stable Diffusion 1.
    let heads = match base {
        Base::Sd2 => json!(widths.iter().map(|width| width / 64).collect::<Vec<_>>()),
        _ => json!(8),
    };
    let mid = match (has("mid_block.resnets.0.conv1.weight"), attends("mid_block")) {
        (_, true) => json!("UNetMidBlock2DCrossAttn"),
        (true, false) => json!("UNetMidBlock2D"),
        (false, false) => Value::Null,
    };
    Ok(json!({
        "_class_name": "UNet2DConditionModel",
        "sample_size": if base == Base::Sd2 && prediction == Some(Prediction::V) { 96 } else { 64 },
        "in_channels": dim("conv_in.weight", 1),
        "out_channels": dim("conv_out.weight", 0),
        "block_out_channels": widths,
        "layers_per_block": layers,
        "down_block_types": types("down", "DownBlock2D", "CrossAttnDownBlock2D"),
        "mid_block_type": mid,
        "up_block_types": types("up", "UpBlock2D", "CrossAttnUpBlock2D"),
        "attention_head_dim": heads,
        "cross_attention_dim": text,
        "use_linear_projection": linear,
    }))
}

/// `text_encoder/config.json`: CLIP ViT-L/14, or OpenCLIP ViT-H/14 without its last layer.
pub(super) fn text_encoder(text: &Tensors) -> Result<Value, String> {
    let embedding = text.iter().find(|(name, _)| name.ends_with("embeddings.token_embedding.weight"));
    let shape = embedding.map(|(_, stored)| stored.shape.as_slice());
    let number = |name: &str| name.split_once("encoder.layers.")?.1.split('.').next()?.parse::<usize>().ok();
    let layers = text.iter().filter_map(|(name, _)| number(name)).max().map_or(0, |last| last + 1);
    match shape {
        Some(&[words, 768]) => Ok(json!({
            "architectures": ["CLIPTextModel"],
            "vocab_size": words,
            "hidden_size": 768,
            "intermediate_size": 3072,
            "num_attention_heads": 12,
            "num_hidden_layers": layers,
            "hidden_act": "quick_gelu",
        })),
        Some(&[words, 1024]) => Ok(json!({
            "architectures": ["CLIPTextModel"],
            "vocab_size": words,
            "hidden_size": 1024,
            "intermediate_size": 4096,
            "num_attention_heads": 16,
            "num_hidden_layers": layers,
            "hidden_act": "gelu",
        })),
        _ => Err(unknown_shape("text encoder")),
    }
}

/// `vae/config.json`.
pub(super) fn vae(vae: &Tensors) -> Result<Value, String> {
    let dim = |name: &str, index: usize| vae.get(name).and_then(|stored| stored.shape.get(index).copied());
    // The first convolution has the coarsest width, the last the finest.
    let ends = (dim("decoder.conv_in.weight", 0), dim("decoder.conv_out.weight", 1));
    match (dim("decoder.conv_in.weight", 1), ends) {
        (Some(4), (Some(512), Some(128))) => Ok(json!({ "_class_name": "AutoencoderKL", "scaling_factor": 0.18215 })),
        (Some(latents), _) if latents != 4 => {
            Err(format!("decodes {latents} latent channels, but Stable Diffusion 1 and 2 have 4: use a VAE of theirs"))
        }
        _ => Err(unknown_shape("VAE")),
    }
}

/// `config.json` of a tiny autoencoder.
pub(super) fn vae_tiny(vae: &Tensors) -> Result<Value, String> {
    let Some(first) = vae.get("decoder.layers.0.weight") else {
        return Err("holds the encoder alone: give the decoder, which draws the pictures".into());
    };
    let [width, latents, ..] = first.shape[..] else { return Err(unknown_shape("tiny decoder")) };
    Ok(json!({
        "_class_name": "AutoencoderTiny",
        "latent_channels": latents,
        "encoder_block_out_channels": [width, width, width, width],
        "decoder_block_out_channels": [width, width, width, width],
    }))
}

fn unknown_shape(part: &str) -> String {
    format!("has a {part} whose width is not Stable Diffusion 1's or 2's: give the folder of its configs with it")
}
