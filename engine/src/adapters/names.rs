//! Under which keys an adapter may speak of a layer. They are made from the network's own names, because the underscores
//! of kohya's keys cannot be told apart from those in the names. Add another program's spelling here.

use std::collections::{HashMap, HashSet};

/// What a network is to an adapter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// With residual blocks per level, which number the blocks in Stable Diffusion's own names.
    UNet {
        layers_per_block: usize,
    },
    TextEncoder,
}

/// What a key may mean.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Meant<'a> {
    /// One layer, or one in both U-Nets of a stacked one.
    pub layers: Vec<&'a str>,
    /// Whether the key is in Stable Diffusion's own numbering. A file may have its layers in both; then Diffusers' counts.
    pub original: bool,
}

/// What every key means.
pub(super) fn keys<'a>(place: Place, layers: &[&'a str]) -> HashMap<String, Meant<'a>> {
    let mut keys: HashMap<String, Meant<'_>> = HashMap::new();
    let attends: HashSet<&str> = layers.iter().filter_map(|layer| block(without_stack(layer))).collect();
    let mut enter = |spelled: Vec<String>, layer, original| {
        for key in spelled {
            let meant = keys.entry(key).or_default();
            meant.layers.push(layer);
            meant.original = original;
        }
    };
    for &layer in layers {
        match place {
            Place::UNet { layers_per_block } => {
                let name = without_stack(layer);
                enter(unet(name), layer, false);
                let original = original(name, layers_per_block, &attends);
                enter(original.map(spelled).unwrap_or_default(), layer, true);
            }
            Place::TextEncoder => enter(text_encoder(layer), layer, false),
        }
    }
    for (key, layer) in by_number(place, layers) {
        enter(vec![key], layer, false);
    }
    keys
}

/// How many layers there are for keys that number them.
pub(super) fn numbered(place: Place, layers: &[&str]) -> usize {
    let keys: HashSet<String> = by_number(place, layers).into_iter().map(|(key, _)| key).collect();
    keys.len()
}

/// Whether keys that begin so number their layers.
pub(super) fn is_numbered(key: &str) -> bool {
    key.starts_with("unet:") || key.starts_with("text_encoder:")
}

/// Whether a key speaks of this kind of network.
pub(super) fn belongs(place: Place, key: &str) -> bool {
    let text = ["lora_te", "text_encoder", "text_model."].iter().any(|prefix| key.starts_with(prefix));
    text == (place == Place::TextEncoder)
}

fn without_stack(layer: &str) -> &str {
    let stacked = layer.strip_prefix("stack.").and_then(|rest| rest.split_once('.'));
    stacked.map_or(layer, |(_, rest)| rest)
}

/// The block of a layer in an attention (`up_blocks.1`).
fn block(layer: &str) -> Option<&str> {
    layer.find(".attentions.").map(|end| &layer[..end])
}

/// A layer's name as programs write it.
fn spelled(name: String) -> Vec<String> {
    vec![
        format!("lora_unet_{}", name.replace('.', "_")),
        format!("unet.{name}"),
        // ComfyUI's own.
        format!("diffusion_model.{name}"),
        name,
    ]
}

fn unet(layer: &str) -> Vec<String> {
    let mut keys = spelled(layer.to_owned());
    // Diffusers once hung the matrices on a processor of each attention.
    if let Some((attention, projection)) = layer.rsplit_once(".to_").filter(|(attention, _)| attention.contains("attn"))
    {
        let name = format!("{attention}.processor.to_{}", projection.trim_end_matches(".0"));
        keys.push(format!("unet.{name}"));
        keys.push(name);
    }
    keys
}

fn text_encoder(layer: &str) -> Vec<String> {
    let bare = layer.strip_prefix("text_model.").unwrap_or(layer);
    let name = format!("text_model.{bare}");
    vec![
        format!("lora_te_{}", name.replace('.', "_")),
        format!("text_encoder.{name}"),
        // As Transformers 5 names its layers.
        format!("text_encoder.{bare}"),
        name,
    ]
}

/// The name in Stable Diffusion's own numbering (`input_blocks.4.1…`). `attends` are the blocks with attention.
fn original(layer: &str, layers_per_block: usize, attends: &HashSet<&str>) -> Option<String> {
    let each = layers_per_block + 1;
    let whole = match layer {
        "conv_in" => Some("input_blocks.0.0"),
        "conv_norm_out" => Some("out.0"),
        "conv_out" => Some("out.2"),
        "time_embedding.linear_1" => Some("time_embed.0"),
        "time_embedding.linear_2" => Some("time_embed.2"),
        _ => None,
    };
    if let Some(whole) = whole {
        return Some(whole.to_owned());
    }
    let mut parts = layer.splitn(2, '.');
    let (side, rest) = (parts.next()?, parts.next()?);
    let (block, rest) = if side == "mid_block" { (0, rest) } else { number(rest)? };
    let (kind, rest) = rest.split_once('.')?;
    let (index, rest) = number(rest)?;
    let place = match (side, kind) {
        ("down_blocks", "resnets") => format!("input_blocks.{}.0", 1 + each * block + index),
        ("down_blocks", "attentions") => format!("input_blocks.{}.1", 1 + each * block + index),
        ("down_blocks", "downsamplers") => return Some(format!("input_blocks.{}.0.op", each * (block + 1))),
        ("mid_block", "resnets") => format!("middle_block.{}", 2 * index),
        ("mid_block", "attentions") => "middle_block.1".to_owned(),
        ("up_blocks", "resnets") => format!("output_blocks.{}.0", each * block + index),
        ("up_blocks", "attentions") => format!("output_blocks.{}.1", each * block + index),
        ("up_blocks", "upsamplers") => {
            // After the resnet, and the attention if there is one.
            let after = if attends.contains(format!("up_blocks.{block}").as_str()) { 2 } else { 1 };
            return Some(format!("output_blocks.{}.{after}.conv", each * block + layers_per_block));
        }
        _ => return None,
    };
    let inside = match rest {
        "norm1" => "in_layers.0",
        "conv1" => "in_layers.2",
        "time_emb_proj" => "emb_layers.1",
        "norm2" => "out_layers.0",
        "conv2" => "out_layers.3",
        "conv_shortcut" => "skip_connection",
        other => other,
    };
    Some(format!("{place}.{inside}"))
}

/// A number and what follows the dot after it.
fn number(text: &str) -> Option<(usize, &str)> {
    let (number, rest) = text.split_once('.')?;
    Some((number.parse().ok()?, rest))
}

/// The keys of cloneofsimo's first LoRAs (`unet:12`), which count a network's layers in the order in which its program
/// met them: the blocks down, the blocks up, then the middle.
fn by_number<'a>(place: Place, layers: &[&'a str]) -> Vec<(String, &'a str)> {
    let (prefix, wanted): (_, &[&str]) = match place {
        Place::UNet { .. } => (
            "unet",
            &[
                "attn1.to_q",
                "attn1.to_k",
                "attn1.to_v",
                "attn1.to_out.0",
                "ff.net.0.proj",
                "attn2.to_q",
                "attn2.to_k",
                "attn2.to_v",
                "attn2.to_out.0",
            ],
        ),
        Place::TextEncoder => {
            ("text_encoder", &["self_attn.k_proj", "self_attn.v_proj", "self_attn.q_proj", "self_attn.out_proj"])
        }
    };
    let rank = |layer: &str| {
        let at = wanted.iter().position(|end| layer.ends_with(&format!(".{end}")))?;
        let side = ["down_blocks", "up_blocks", "mid_block"].iter().position(|side| layer.contains(side)).unwrap_or(0);
        let block = &layer[..layer.len() - wanted[at].len()];
        let numbers: Vec<usize> = block.split('.').filter_map(|part| part.parse().ok()).collect();
        Some((side, numbers, at))
    };
    let mut found: Vec<_> = layers.iter().filter_map(|&layer| Some((rank(without_stack(layer))?, layer))).collect();
    found.sort();
    let mut last = None;
    let mut index = 0;
    found
        .into_iter()
        .map(|(rank, layer)| {
            // Both U-Nets of a stacked one have the same number.
            if last.as_ref().is_some_and(|last| *last != rank) {
                index += 1;
            }
            last = Some(rank);
            (format!("{prefix}:{index}"), layer)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_layer_has_the_names_that_programs_give_it() {
        for (layer, expected) in [
            ("conv_in", "input_blocks.0.0"),
            (
                "down_blocks.0.attentions.1.transformer_blocks.0.attn1.to_q",
                "input_blocks.2.1.transformer_blocks.0.attn1.to_q",
            ),
            ("down_blocks.1.resnets.0.conv1", "input_blocks.4.0.in_layers.2"),
            ("down_blocks.2.downsamplers.0.conv", "input_blocks.9.0.op"),
            ("mid_block.attentions.0.proj_in", "middle_block.1.proj_in"),
            ("mid_block.resnets.1.conv2", "middle_block.2.out_layers.3"),
            ("up_blocks.0.upsamplers.0.conv", "output_blocks.2.1.conv"),
            ("up_blocks.1.upsamplers.0.conv", "output_blocks.5.2.conv"),
            ("up_blocks.3.attentions.2.proj_out", "output_blocks.11.1.proj_out"),
            ("up_blocks.1.resnets.0.norm2", "output_blocks.3.0.out_layers.0"),
            ("conv_norm_out", "out.0"),
        ] {
            assert_eq!(original(layer, 2, &HashSet::from(["up_blocks.1"])).as_deref(), Some(expected), "{layer}");
        }
        let layer = "stack.1.down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_out.0";
        let keys = keys(Place::UNet { layers_per_block: 2 }, &[layer]);
        for key in [
            "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_out_0",
            "lora_unet_input_blocks_1_1_transformer_blocks_0_attn1_to_out_0",
            "down_blocks.0.attentions.0.transformer_blocks.0.attn1.processor.to_out",
            "unet:0",
        ] {
            let original = key.contains("input_blocks");
            assert_eq!(keys.get(key), Some(&Meant { layers: vec![layer], original }), "{key}");
        }
    }
}
