//! Which model a file is or belongs to: by the width of the text that its cross-attention takes, by names that only one
//! model has, else by what the file says of itself.

use super::detect::{Names, unet_prefix};
use super::metadata::Remarks;
use super::{Base, Kind};

/// The base of a file of this kind.
pub(super) fn of(names: &Names, kind: Kind, remarks: &Remarks) -> Base {
    let by_keys = match kind {
        Kind::Checkpoint | Kind::UNet | Kind::ControlNet | Kind::ControlLora => {
            by_transformer(names).or_else(|| by_text_width(cross_attention(names)?))
        }
        Kind::Lora(_) => by_lora(names),
        Kind::TextualInversion => by_embedding(names),
        Kind::TextEncoder => by_text_encoder(names),
        Kind::Vae => by_latents(names),
        Kind::TinyAutoencoder | Kind::T2iAdapter | Kind::Upscaler | Kind::Unknown => None,
    };
    by_keys.or_else(|| by_remarks(remarks)).unwrap_or(Base::Unknown)
}

/// The base whose U-Net attends to a text of this width.
fn by_text_width(width: usize) -> Option<Base> {
    match width {
        768 => Some(Base::Sd1),
        1024 => Some(Base::Sd2),
        1280 => Some(Base::SdxlRefiner),
        2048 => Some(Base::Sdxl),
        _ => None,
    }
}

/// Models without a U-Net, by the names of their blocks.
fn by_transformer(names: &Names) -> Option<Base> {
    // FLUX.2 and others have the same names of blocks with other ones beside them.
    if names.contains("double_blocks.0.img_attn.") && !names.contains("double_stream_modulation") {
        Some(Base::Flux)
    } else if names.contains("joint_blocks.0.context_block.") {
        Some(Base::Sd3)
    } else {
        None
    }
}

/// The width of the text in a whole network.
fn cross_attention(names: &Names) -> Option<usize> {
    let prefix = unet_prefix(names).unwrap_or_default();
    let mut keys = names.iter().filter(|(name, _)| {
        name.strip_prefix(prefix).or_else(|| name.strip_prefix("control_model.")).is_some()
            && name.ends_with(".attn2.to_k.weight")
            && !name.starts_with("model_ema.")
    });
    keys.next().and_then(|(_, tensor)| tensor.shape.get(1).copied())
}

fn by_lora(names: &Names) -> Option<Base> {
    let any = |parts: &[&str]| parts.iter().any(|part| names.contains(part));
    if any(&["double_blocks", "single_blocks", "single_transformer_blocks"]) {
        return Some(Base::Flux);
    }
    if any(&["joint_blocks", "transformer.transformer_blocks."]) {
        return Some(Base::Sd3);
    }
    if any(&["lora_te2_", "lora_te1_", "text_encoder_2."]) {
        return Some(Base::Sdxl);
    }
    let input = |layers: &[&str]| {
        let mut found = names.iter().filter(|(name, _)| layers.iter().any(|layer| name.contains(layer)));
        found.find_map(|(name, _)| lora_input(names, name))
    };
    input(&["attn2_to_k.", "attn2.to_k.", "attn2.processor.to_k_lora."]).and_then(by_text_width).or_else(
        || match input(&["self_attn_q_proj.", "self_attn.q_proj."])? {
            768 => Some(Base::Sd1),
            1024 => Some(Base::Sd2),
            _ => None,
        },
    )
}

/// How many values the layer takes that this tensor changes, if the tensor tells.
fn lora_input(names: &Names, name: &str) -> Option<usize> {
    let second = |name: &str| names.dim(name, 1);
    let down = [
        ".lora_down.weight",
        ".lora_A.weight",
        ".lora_A.default.weight",
        ".lora.down.weight",
        "_lora.down.weight",
        ".hada_w1_b",
        ".diff",
    ];
    if down.iter().any(|ending| name.ends_with(ending)) {
        return second(name);
    }
    let stem = name.strip_suffix(".lokr_w1").or_else(|| name.strip_suffix(".lokr_w1_b"))?;
    let factor = |which: &str| second(&format!("{stem}.{which}")).or_else(|| second(&format!("{stem}.{which}_b")));
    factor("lokr_w1")?.checked_mul(factor("lokr_w2")?)
}

fn by_embedding(names: &Names) -> Option<Base> {
    if names.has("clip_g") {
        return Some(Base::Sdxl);
    }
    let (_, tensor) = names.iter().next()?;
    match tensor.shape.last()? {
        768 => Some(Base::Sd1),
        1024 => Some(Base::Sd2),
        _ => None,
    }
}

fn by_text_encoder(names: &Names) -> Option<Base> {
    let embedding = names.iter().find(|(name, _)| name.ends_with("token_embedding.weight"))?;
    match embedding.1.shape.get(1)? {
        768 => Some(Base::Sd1),
        1024 => Some(Base::Sd2),
        1280 => Some(Base::Sdxl),
        _ => None,
    }
}

/// Stable Diffusion 1, 2 and XL have autoencoders of one shape, so only what has other latents is known.
fn by_latents(names: &Names) -> Option<Base> {
    let first = names.iter().find(|(name, _)| name.ends_with("decoder.conv_in.weight"))?;
    (first.1.shape.get(1) == Some(&16)).then_some(Base::Flux)
}

fn by_remarks(remarks: &Remarks) -> Option<Base> {
    let text = |key: &str| remarks.get(key).map(|value| value.to_ascii_lowercase()).unwrap_or_default();
    let architecture = text("modelspec.architecture");
    let begins = [
        ("stable-diffusion-v1", Base::Sd1),
        ("stable-diffusion-v2", Base::Sd2),
        ("stable-diffusion-xl-v1-refiner", Base::SdxlRefiner),
        ("stable-diffusion-xl", Base::Sdxl),
        ("stable-diffusion-3", Base::Sd3),
        ("stable-diffusion-v3", Base::Sd3),
        ("flux", Base::Flux),
    ];
    if let Some((_, base)) = begins.iter().find(|(start, _)| architecture.starts_with(start)) {
        return Some(*base);
    }
    match text("ss_base_model_version").as_str() {
        version if version.starts_with("sd_v1") || version.starts_with("sd_1") => Some(Base::Sd1),
        version if version.starts_with("sd_v2") || version.starts_with("sd_2") => Some(Base::Sd2),
        version if version.starts_with("sdxl") => Some(Base::Sdxl),
        version if version.starts_with("sd3") => Some(Base::Sd3),
        version if version.starts_with("flux") => Some(Base::Flux),
        _ => (text("ss_v2") == "true").then_some(Base::Sd2),
    }
}
