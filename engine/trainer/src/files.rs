//! Files of a run: written beside their target and renamed, so that what is there is always whole.

use std::collections::HashMap;
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};
use candle_core::{Device, Tensor};
use safetensors::SafeTensors;

use crate::parameters::Tensors;

/// What a safetensors file says about its tensors.
pub type Metadata = HashMap<String, String>;

/// Writes a file in one go, its folder included.
pub fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let write = || {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let beside = path.with_extension("part");
        std::fs::write(&beside, bytes)?;
        std::fs::rename(&beside, path)
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}

/// Prints results on stdout; a reader that has gone away is an error, no panic.
pub fn print(text: &str) -> Result<()> {
    std::io::stdout().write_all(text.as_bytes()).context("cannot write to stdout")
}

/// Writes JSON as people read it.
pub fn write_json(path: &Path, value: &serde_json::Value) -> Result<()> {
    write(path, format!("{value:#}\n").as_bytes())
}

/// Writes a picture as PNG.
pub fn write_png(path: &Path, picture: &image::RgbImage) -> Result<()> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    picture.write_to(&mut bytes, image::ImageFormat::Png).context("cannot encode a PNG")?;
    write(path, bytes.get_ref())
}

/// Writes tensors in the dtype they have.
pub fn write_tensors(path: &Path, tensors: &Tensors, metadata: Metadata) -> Result<()> {
    write(path, &safetensors::serialize(tensors, Some(metadata)).context("cannot lay out a safetensors file")?)
}

/// Reads all tensors and the metadata of a file; `None` where there is no such file.
pub fn read_tensors(path: &Path) -> Result<Option<(Tensors, Metadata)>> {
    if !path.exists() {
        return Ok(None);
    }
    let read = || -> Result<_> {
        let bytes = std::fs::read(path)?;
        let metadata = SafeTensors::read_metadata(&bytes)?.1.metadata().clone().unwrap_or_default();
        let tensors: HashMap<String, Tensor> = candle_core::safetensors::load_buffer(&bytes, &Device::Cpu)?;
        Ok(Some((tensors.into_iter().collect(), metadata)))
    };
    read().with_context(|| format!("cannot read {}", path.display()))
}
