//! Autoencoders in CompVis' form.

use super::Table;
use crate::checkpoint::kind::VAE_PREFIXES;
use crate::checkpoint::tensors::{Stored, Tensors};

/// The autoencoder's tensors under Diffusers' names; empty if there is none in the file.
pub(super) fn table(all: &Tensors) -> Table {
    let has = |prefix: &str| all.get(&format!("{prefix}decoder.conv_in.weight")).is_some();
    let Some(prefix) = VAE_PREFIXES.into_iter().find(|prefix| has(prefix)) else { return Table::new() };
    let own = || all.iter().filter_map(move |(name, stored)| Some((name.strip_prefix(prefix)?, stored)));
    let numbers = own().filter_map(|(name, _)| name.strip_prefix("decoder.up.")?.split('.').next()?.parse().ok());
    let coarsest: Option<usize> = numbers.max();
    own().filter_map(|(name, stored)| rename(name, stored, coarsest)).collect()
}

/// Diffusers' name and shape; `None` for what is no part of an autoencoder. `coarsest` is the number of the decoder's
/// first level, which Diffusers counts from there.
fn rename(name: &str, stored: &Stored, coarsest: Option<usize>) -> Option<(String, Stored)> {
    if name.starts_with("quant_conv.") || name.starts_with("post_quant_conv.") {
        return Some((name.to_owned(), stored.clone()));
    }
    let (side, rest) = name.split_once('.')?;
    let is_coder = ["encoder", "decoder"].contains(&side);
    let (first, after) = rest.split_once('.').filter(|_| is_coder)?;
    let new = match first {
        "conv_in" | "conv_out" | "conv_norm_out" | "down_blocks" | "up_blocks" | "mid_block" => rest.to_owned(),
        "norm_out" => format!("conv_norm_out.{after}"),
        "down" | "up" => {
            let (level, after) = after.split_once('.')?;
            let level: usize = level.parse().ok()?;
            let level = if first == "up" { coarsest?.checked_sub(level)? } else { level };
            format!("{first}_blocks.{level}.{}", in_level(after)?)
        }
        "mid" => {
            let (layer, after) = after.split_once('.')?;
            match layer {
                "block_1" => format!("mid_block.resnets.0.{}", residual(after)),
                "block_2" => format!("mid_block.resnets.1.{}", residual(after)),
                "attn_1" => return attention(side, after, stored),
                _ => return None,
            }
        }
        _ => return None,
    };
    Some((format!("{side}.{new}"), stored.clone()))
}

fn in_level(name: &str) -> Option<String> {
    let sizes = [("downsample.conv.", "downsamplers.0.conv."), ("upsample.conv.", "upsamplers.0.conv.")];
    if let Some(renamed) = sizes.iter().find_map(|(old, new)| Some(format!("{new}{}", name.strip_prefix(old)?))) {
        return Some(renamed);
    }
    let (layer, rest) = name.strip_prefix("block.")?.split_once('.')?;
    Some(format!("resnets.{layer}.{}", residual(rest)))
}

fn residual(name: &str) -> String {
    match name.strip_prefix("nin_shortcut.") {
        Some(rest) => format!("conv_shortcut.{rest}"),
        None => name.to_owned(),
    }
}

/// The projections are 1×1 convolutions, which Diffusers has as matrices.
fn attention(side: &str, name: &str, stored: &Stored) -> Option<(String, Stored)> {
    let (layer, end) = name.split_once('.')?;
    let layers = [("norm", "group_norm"), ("q", "to_q"), ("k", "to_k"), ("v", "to_v"), ("proj_out", "to_out.0")];
    let (_, new) = layers.iter().find(|(old, _)| *old == layer)?;
    let stored = match stored.shape[..] {
        [output, input, 1, 1] => stored.reshaped(vec![output, input])?,
        _ => stored.clone(),
    };
    Some((format!("{side}.mid_block.attentions.0.{new}.{end}"), stored))
}
