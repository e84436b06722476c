//! Text encoders: Transformers' CLIP under the prefix of Stable Diffusion 1, and OpenCLIP's form in Stable Diffusion 2.

use super::Table;
use crate::checkpoint::tensors::{Stored, Tensors};

/// Before Transformers' names.
const CLIP_PREFIXES: [&str; 2] = ["cond_stage_model.transformer.", "conditioner.embedders.0.transformer."];
/// Before OpenCLIP's names.
const OPEN_CLIP_PREFIXES: [&str; 2] = ["cond_stage_model.model.", "conditioner.embedders.0.model."];

/// The text encoder's tensors under Transformers' names; empty if there is none in the file.
pub(super) fn table(all: &Tensors) -> Table {
    let starts = |prefix: &&str| all.iter().any(|(name, _)| name.starts_with(*prefix));
    let own =
        |prefix: &'static str| all.iter().filter_map(move |(name, stored)| Some((name.strip_prefix(prefix)?, stored)));
    if let Some(prefix) = OPEN_CLIP_PREFIXES.into_iter().find(starts) {
        let number = |name: &str| name.strip_prefix("transformer.resblocks.")?.split('.').next()?.parse::<usize>().ok();
        // Stable Diffusion 2 takes what enters the last layer, so that is as if it did not exist.
        let last = own(prefix).filter_map(|(name, _)| number(name)).max();
        own(prefix).filter(|(name, _)| number(name).is_none_or(|n| Some(n) != last)).flat_map(open_clip).collect()
    } else if let Some(prefix) = CLIP_PREFIXES.into_iter().find(starts) {
        // Some files have a table of positions and other remains of training.
        let parts =
            ["embeddings.token_embedding.", "embeddings.position_embedding.", "encoder.layers.", "final_layer_norm."];
        let is_part = |name: &str| {
            let name = name.strip_prefix("text_model.").unwrap_or(name);
            parts.iter().any(|part| name.starts_with(part))
        };
        own(prefix).filter(|(name, _)| is_part(name)).map(|(name, stored)| (name.to_owned(), stored.clone())).collect()
    } else {
        Table::new()
    }
}

/// The tensors that one of OpenCLIP's becomes: three for the projections that it has in one.
fn open_clip((name, stored): (&str, &Stored)) -> Vec<(String, Stored)> {
    let whole = |new: String| vec![(format!("text_model.{new}"), stored.clone())];
    match name {
        "token_embedding.weight" => return whole("embeddings.token_embedding.weight".into()),
        "positional_embedding" => return whole("embeddings.position_embedding.weight".into()),
        _ => {}
    }
    if let Some(end) = name.strip_prefix("ln_final.") {
        return whole(format!("final_layer_norm.{end}"));
    }
    let Some((number, rest)) = name.strip_prefix("transformer.resblocks.").and_then(|name| name.split_once('.')) else {
        return Vec::new();
    };
    let layer = format!("encoder.layers.{number}");
    if let Some(end) = rest.strip_prefix("attn.in_proj_") {
        let parts = ["q_proj", "k_proj", "v_proj"].into_iter().enumerate();
        return parts
            .filter_map(|(index, part)| {
                Some((format!("text_model.{layer}.self_attn.{part}.{end}"), stored.part(index, 3)?))
            })
            .collect();
    }
    let layers = [
        ("ln_1.", "layer_norm1."),
        ("ln_2.", "layer_norm2."),
        ("mlp.c_fc.", "mlp.fc1."),
        ("mlp.c_proj.", "mlp.fc2."),
        ("attn.out_proj.", "self_attn.out_proj."),
    ];
    let renamed = layers.iter().find_map(|(old, new)| Some(format!("{layer}.{new}{}", rest.strip_prefix(old)?)));
    renamed.map(whole).unwrap_or_default()
}
