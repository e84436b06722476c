//! Tiny autoencoders, in Diffusers' form or in that of TAESD's own repository, whose networks are plain lists of layers:
//! `taesd_decoder.safetensors` and `taesd_encoder.safetensors`.

use super::Table;
use crate::checkpoint::tensors::Tensors;

/// The autoencoder's tensors under Diffusers' names. One half may be missing.
pub(super) fn table(all: &Tensors) -> Table {
    if all.iter().any(|(name, _)| name.starts_with("decoder.layers.") || name.starts_with("encoder.layers.")) {
        return all.iter().map(|(name, stored)| (name.to_owned(), stored.clone())).collect();
    }
    // The decoder's first layer squashes the latents, which Diffusers does outside of its list.
    let is_decoder = all.get("0.weight").is_none();
    let (side, shift) = if is_decoder { ("decoder", 1) } else { ("encoder", 0) };
    let renamed = all.iter().filter_map(|(name, stored)| {
        let (number, rest) = name.split_once('.')?;
        let number = number.parse::<usize>().ok()?.checked_sub(shift)?;
        Some((format!("{side}.layers.{number}.{rest}"), stored.clone()))
    });
    renamed.collect()
}
