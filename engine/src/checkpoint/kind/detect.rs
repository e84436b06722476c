//! The kind of a file by the names and shapes of its tensors. The names are those of the programs that write such files:
//! CompVis' and Stability AI's, Diffusers, kohya's scripts, LyCORIS, and those of the networks' own repositories.

use std::collections::BTreeMap;

use safetensors::tensor::{Metadata, TensorInfo};

use super::{Kind, LoraFamily, Parts};

/// Before the names of a U-Net that is not alone, and what some files of a U-Net alone have.
pub(in crate::checkpoint) const UNET_PREFIXES: [&str; 3] = ["model.diffusion_model.", "diffusion_model.", ""];

/// Before the names of an autoencoder.
pub(in crate::checkpoint) const VAE_PREFIXES: [&str; 3] = ["first_stage_model.", "vae.", ""];

/// A file needs more averaged tensors than this to count as having them (as in Diffusers).
const FEWEST_EMA: usize = 100;

/// Most vectors of one learned word.
const MOST_VECTORS: usize = 1024;

/// All tensors of a file by name.
pub(super) struct Names<'a>(BTreeMap<String, &'a TensorInfo>);

impl<'a> Names<'a> {
    pub fn new(header: &'a Metadata) -> Self {
        Self(header.tensors().into_iter().collect())
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &'a TensorInfo)> {
        self.0.iter().map(|(name, tensor)| (name.as_str(), *tensor))
    }

    pub fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    pub fn shape(&self, name: &str) -> Option<&'a [usize]> {
        self.0.get(name).map(|tensor| tensor.shape.as_slice())
    }

    pub fn dim(&self, name: &str, index: usize) -> Option<usize> {
        self.shape(name)?.get(index).copied()
    }

    /// Whether a name begins with this.
    pub fn begins(&self, prefix: &str) -> bool {
        self.0.range(prefix.to_owned()..).next().is_some_and(|(name, _)| name.starts_with(prefix))
    }

    pub fn contains(&self, part: &str) -> bool {
        self.0.keys().any(|name| name.contains(part))
    }

    pub fn ends(&self, endings: &[&str]) -> bool {
        self.0.keys().any(|name| endings.iter().any(|ending| name.ends_with(ending)))
    }
}

/// What the file holds.
pub(super) fn kind(names: &Names) -> Kind {
    if names.begins("lora_controlnet") {
        return Kind::ControlLora;
    }
    if let Some(family) = lora(names) {
        return Kind::Lora(family);
    }
    if names.begins("control_model.")
        || names.contains("input_hint_block.")
        || names.begins("controlnet_cond_embedding.")
    {
        return Kind::ControlNet;
    }
    let parts = parts(names);
    if parts.unet {
        return if parts.text_encoder || parts.vae { Kind::Checkpoint } else { Kind::UNet };
    }
    if is_tiny_autoencoder(names) {
        return Kind::TinyAutoencoder;
    }
    if parts.vae {
        return Kind::Vae;
    }
    if is_upscaler(names) {
        return Kind::Upscaler;
    }
    if is_adapter(names) {
        return Kind::T2iAdapter;
    }
    if parts.text_encoder {
        return Kind::TextEncoder;
    }
    if is_embedding(names) { Kind::TextualInversion } else { Kind::Unknown }
}

/// Which parts of a model are in it.
pub(super) fn parts(names: &Names) -> Parts {
    let starts = [
        "cond_stage_model.",
        "conditioner.",
        "text_encoders.",
        "text_model.encoder.layers.",
        "transformer.resblocks.",
        "encoder.layers.0.self_attn.",
        "encoder.block.0.layer.",
    ];
    Parts {
        text_encoder: starts.iter().any(|start| names.begins(start)),
        unet: unet_prefix(names).is_some() || is_diffusers_unet(names) || is_transformer(names),
        vae: VAE_PREFIXES.iter().any(|prefix| is_vae(names, prefix)),
    }
}

/// Channels of the U-Net's input.
pub(super) fn in_channels(names: &Names) -> Option<usize> {
    match unet_prefix(names) {
        Some(prefix) => names.dim(&format!("{prefix}input_blocks.0.0.weight"), 1),
        None if is_diffusers_unet(names) => names.dim("conv_in.weight", 1),
        None => None,
    }
}

/// Whether there are averaged weights.
pub(super) fn has_ema(names: &Names) -> bool {
    names.iter().filter(|(name, _)| name.starts_with("model_ema.")).count() > FEWEST_EMA
}

/// What precedes the names of a U-Net in CompVis' form.
pub(super) fn unet_prefix(names: &Names) -> Option<&'static str> {
    UNET_PREFIXES.into_iter().find(|prefix| names.has(&format!("{prefix}input_blocks.0.0.weight")))
}

fn is_diffusers_unet(names: &Names) -> bool {
    names.has("conv_in.weight") && names.has("time_embedding.linear_1.weight") && names.begins("down_blocks.")
}

/// The networks that other models have for a U-Net.
fn is_transformer(names: &Names) -> bool {
    UNET_PREFIXES.iter().chain(&["transformer."]).any(|prefix| {
        ["joint_blocks.0.", "double_blocks.0.", "single_transformer_blocks.0.", "transformer_blocks.0.attn"]
            .iter()
            .any(|block| names.begins(&format!("{prefix}{block}")))
    })
}

fn is_vae(names: &Names, prefix: &str) -> bool {
    let rank_4 = |name: &str| names.shape(&format!("{prefix}{name}")).is_some_and(|shape| shape.len() == 4);
    let begins = |name: &str| names.begins(&format!("{prefix}{name}"));
    rank_4("decoder.conv_in.weight") && (begins("decoder.up.0.") || begins("decoder.up_blocks.0."))
}

/// Diffusers' names, or those of TAESD's own repository: numbers, because its networks are plain lists of layers.
fn is_tiny_autoencoder(names: &Names) -> bool {
    let rank_4 = |name: &str| names.shape(name).is_some_and(|shape| shape.len() == 4);
    let diffusers = rank_4("decoder.layers.0.weight") && names.begins("decoder.layers.2.conv.0.");
    let decoder = rank_4("1.weight") && rank_4("3.conv.0.weight");
    let encoder = rank_4("0.weight") && rank_4("1.conv.0.weight");
    diffusers || decoder || encoder
}

/// RRDBNet (ESRGAN) in its three forms of names, the compact network of Real-ESRGAN, and SwinIR.
fn is_upscaler(names: &Names) -> bool {
    let rrdb = ["model.1.sub.0.RDB1.", "body.0.rdb1.", "RRDB_trunk.0."].iter().any(|start| names.begins(start));
    let compact = names.has("body.0.weight") && names.shape("body.1.weight").is_some_and(|shape| shape.len() == 1);
    rrdb || compact || names.begins("layers.0.residual_group.")
}

fn is_adapter(names: &Names) -> bool {
    let prefixes = ["", "adapter."];
    prefixes.iter().any(|prefix| {
        names.begins(&format!("{prefix}body.0.resnets.0.block1.")) || names.begins(&format!("{prefix}body.0.block1."))
    })
}

/// A1111's `emb_params`, the pair of Stable Diffusion XL, or Diffusers' single tensor with the word for its name.
fn is_embedding(names: &Names) -> bool {
    let vectors = |shape: &[usize]| matches!(shape, [_] | [1..=MOST_VECTORS, _]);
    let is = |name: &str| names.shape(name).is_some_and(vectors);
    let only = |mut tensors: std::vec::IntoIter<&[usize]>| tensors.len() == 1 && tensors.all(vectors);
    let shapes: Vec<&[usize]> = names.iter().map(|(_, tensor)| tensor.shape.as_slice()).collect();
    is("emb_params") || names.begins("string_to_param") || (is("clip_l") && is("clip_g")) || only(shapes.into_iter())
}

/// How changes of weights are written down, if that is what the file holds.
fn lora(names: &Names) -> Option<LoraFamily> {
    let ends = |endings: &[&str]| names.ends(endings);
    let numbered = |network: &str| names.has(&format!("{network}:0:up")) && names.has(&format!("{network}:0:down"));
    let factors = ends(&[
        ".lora_down.weight",
        ".lora_A.weight",
        ".lora_A.default.weight",
        ".lora.down.weight",
        "_lora.down.weight",
        ".lora_linear_layer.down.weight",
    ]);
    if numbered("unet") || numbered("text_encoder") {
        Some(LoraFamily::CloneOfSimo)
    } else if ends(&[".dora_scale", ".lora_magnitude_vector"]) {
        Some(LoraFamily::Dora)
    } else if ends(&[".hada_w1_a"]) {
        Some(LoraFamily::LoHa)
    } else if ends(&[".lokr_w1", ".lokr_w1_a"]) {
        Some(LoraFamily::LoKr)
    } else if let Some((_, blocks)) = names.iter().find(|(name, _)| name.ends_with(".oft_blocks")) {
        Some(if blocks.shape.len() == 4 { LoraFamily::Boft } else { LoraFamily::Oft })
    } else if ends(&[".oft_diag"]) {
        Some(LoraFamily::Oft)
    } else if factors {
        Some(if has_convolutions(names) { LoraFamily::LoCon } else { LoraFamily::Lora })
    } else if ends(&[".on_input"]) {
        Some(LoraFamily::Ia3)
    } else if ends(&[".a1.weight"]) && ends(&[".b1.weight"]) {
        Some(LoraFamily::Glora)
    } else if ends(&[".diff", ".diff_b", ".w_norm", ".b_norm"]) {
        Some(LoraFamily::Full)
    } else {
        None
    }
}

/// Whether factors belong to convolutions of more than one pixel.
fn has_convolutions(names: &Names) -> bool {
    let down = [".lora_down.weight", ".lora_A.weight", ".lora.down.weight"];
    names.ends(&[".lora_mid.weight"])
        || names.iter().any(|(name, tensor)| {
            down.iter().any(|ending| name.ends_with(ending)) && matches!(tensor.shape[..], [_, _, side, _] if side > 1)
        })
}
