//! What a LoRA's file says of itself, for people who choose one: from its header alone.

use std::path::Path;

use super::file::{Adapter, Part};
use super::names::{self, Place};
use crate::Result;
use crate::checkpoint::FileKind;

/// A LoRA, or another adapter of its family.
#[derive(Clone, Debug)]
pub struct LoraInfo {
    /// The title in the file, else the file's name without its ending.
    pub name: String,
    /// Its family, the base that it was made for, trigger words, licence, thumbnail and so on.
    pub kind: FileKind,
    /// The least and the greatest rank of its layers; `None` if it has none, such as whole differences.
    pub rank: Option<(usize, usize)>,
    /// Whether it changes the U-Net.
    pub unet: bool,
    /// Whether it changes the text encoder.
    pub text_encoder: bool,
    /// Whether it makes diffusion models draw in a few steps, so that it is not for flows.
    pub accelerator: bool,
}

/// Describes the file of a LoRA. One that cannot be used is an error that says why.
pub fn describe(path: &Path) -> Result<LoraInfo> {
    let adapter = Adapter::open(path)?;
    if let Some(why) = &adapter.kind.unusable {
        return Err(adapter.fault(why.clone()));
    }
    // The first side of each factor that has the rank there.
    let ranked = [Part::Down, Part::Hada1B, Part::Lokr1B, Part::Lokr2B, Part::GloraB2];
    let ranks = adapter
        .modules
        .values()
        .flat_map(|module| ranked.iter().filter_map(|part| adapter.shape(module, *part)?.first().copied()));
    let rank = ranks.fold(None, |range: Option<(usize, usize)>, rank| {
        Some(range.map_or((rank, rank), |(least, most)| (least.min(rank), most.max(rank))))
    });
    let is_text = |key: &String| names::belongs(Place::TextEncoder, key);
    Ok(LoraInfo {
        name: adapter.kind.title.clone().unwrap_or_else(|| adapter.stem()),
        rank,
        unet: adapter.modules.keys().any(|key| !is_text(key)),
        text_encoder: adapter.modules.keys().any(is_text),
        accelerator: adapter.is_accelerator(),
        kind: adapter.kind,
    })
}
