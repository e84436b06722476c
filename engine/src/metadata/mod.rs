//! What a picture file says about how it was made, whatever program wrote it: [`read`] gives what it says as it says it,
//! [`restore`] what of that this program can draw, and what not. Files come from anywhere, so nothing in them is trusted.
//!
//! ```text
//! file ── container (PNG, JPEG, WebP), exif, stealth ── texts ── one file per family of programs ── Found ── restore
//! ```
//!
//! Add a program as a file of its own, and call it from [`from_texts`].

mod a1111;

mod comfyui;

mod container;

mod exif;

mod json_forms;

mod restore;

mod stealth;

mod tags;

use std::path::Path;

use serde::Serialize;
use serde_json::Value;

use crate::checkpoint::lenient_json;
use crate::protocol::{Blend, Settings};
use crate::{Error, Result};

pub use a1111::a1111_block;
pub use restore::{Restored, restore};

use container::Texts;

/// Most bytes of text that are read from a file, inflated. The longest prompt that was ever met has a thousandth of them.
const LIMIT: usize = 16 << 20;

/// What a file says, in one form whatever program wrote it. What it does not say is absent, and numbers are as it says
/// them, whatever this program can draw.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Found {
    /// Which program wrote it, if that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub program: Option<String>,
    /// The prompt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompt: Option<String>,
    /// The negative prompt; empty if the file says that there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub negative_prompt: Option<String>,
    /// 0 … 2⁶⁴ − 1; other seeds are as good as absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// Steps.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub steps: Option<u64>,
    /// Guidance scale.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub guidance: Option<f64>,
    /// The sampler in the file's own words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sampler: Option<String>,
    /// The noise schedule in the file's own words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schedule: Option<String>,
    /// Width and height in pixels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<(u64, u64)>,
    /// The model without folders and a weight file's ending.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Its hash as the file has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model_hash: Option<String>,
    /// A1111's counting: 1 is the last layer of the text encoder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clip_skip: Option<u64>,
    /// How much of the starting picture was drawn anew.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub denoise: Option<f64>,
    /// The LoRAs, in order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub loras: Vec<FoundLora>,
    /// Textual inversions.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub embeddings: Vec<FoundEmbedding>,
    /// What the picture lies between; only this program writes it.
    #[serde(skip_serializing_if = "Blend::is_none")]
    pub blend: Blend,
    /// What of it could not be read.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// Everything, if this program wrote it.
    #[serde(skip)]
    pub own: Option<Box<OwnRecord>>,
}

/// A LoRA that a file names.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FoundLora {
    /// Without folders and a weight file's ending.
    pub name: String,
    /// The U-Net's share.
    pub weight: f64,
    /// The text encoder's, if it differs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub te_weight: Option<f64>,
    /// As the file has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hash: Option<String>,
}

/// A textual inversion that a file names.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FoundEmbedding {
    /// Its name.
    pub name: String,
    /// As the file has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hash: Option<String>,
}

/// What this program writes into its own chunk.
#[derive(Clone, Debug, PartialEq)]
pub struct OwnRecord {
    /// Every setting.
    pub settings: Settings,
    /// How numbers of bf16 were multiplied.
    pub bf16_products: Option<crate::protocol::Bf16Products>,
}

/// Reads what a PNG, JPEG or WebP says.
pub fn read(path: &Path) -> Result<Found> {
    let failed = |source| Error::File { action: "cannot read the settings of", path: path.to_owned(), source };
    let texts = container::read(path).map_err(failed)?;
    if let Some(found) = from_texts(&texts) {
        return Ok(found);
    }
    if let Some(hidden) = stealth::read(path, &texts).and_then(|text| from_one(&text)) {
        return Ok(hidden);
    }
    let sentence = texts.fault.unwrap_or(
        "it has none: only pictures that were saved with their settings, by InstaFlow or a program like it, can be restored",
    );
    Err(failed(std::io::Error::new(std::io::ErrorKind::InvalidData, sentence)))
}

/// The first family of programs that these texts are of.
fn from_texts(texts: &Texts) -> Option<Found> {
    let chunk = |keyword: &str| texts.chunk(keyword);
    if let Some(own) = chunk(crate::png::RECORD_KEYWORD).and_then(json_forms::own) {
        return Some(own);
    }
    if let Some(text) = chunk("parameters") {
        return match json(text) {
            // JSON under this keyword is one program's, or nobody's.
            Some(value) => json_forms::any(&value),
            None => a1111::parse(text, false),
        };
    }
    let graph = || chunk("prompt").and_then(json).and_then(|value| comfyui::parse(&value));
    if let Some(value) = chunk("generation_data").and_then(|text| json(text.trim_end_matches('\0'))) {
        return Some(json_forms::tensorart(&value, graph()));
    }
    if let Some(found) = chunk("invokeai_metadata").and_then(json).and_then(|value| json_forms::invokeai(&value)) {
        return Some(found);
    }
    if let Some(found) = chunk("sd-metadata").and_then(json).and_then(|value| json_forms::invokeai_2(&value)) {
        return Some(found);
    }
    if let Some(text) = chunk("Dream").or(chunk("dream")) {
        return json_forms::dream(text);
    }
    if chunk("Software") == Some("NovelAI") {
        let comment = chunk("Comment").and_then(json)?;
        return Some(json_forms::novelai(&comment, chunk("Description")));
    }
    if let Some(value) = chunk("mold:parameters").and_then(json) {
        return Some(json_forms::mold(&value));
    }
    if let Some(found) = graph() {
        return Some(found);
    }
    if let Some(found) = json_forms::easy_diffusion(&|keys| keys.iter().find_map(|key| chunk(key)).map(str::to_owned)) {
        return Some(found);
    }
    if let Some(found) = texts.xmp.as_deref().and_then(json_forms::draw_things) {
        return Some(found);
    }
    texts.exif.iter().find_map(|text| from_exif(text))
}

/// A text of EXIF, which cameras and editors write, too: it counts only if it is of a known form.
fn from_exif(text: &str) -> Option<Found> {
    let text = text.trim_matches(['\0', ' ', '\n', '\r']);
    let graph = ["prompt:", "Prompt:"].iter().find_map(|prefix| text.strip_prefix(prefix));
    if let Some(found) = graph.and_then(json).and_then(|value| comfyui::parse(&value)) {
        return Some(found);
    }
    from_one(text)
}

/// A text that stands alone.
fn from_one(text: &str) -> Option<Found> {
    match json(text) {
        Some(value) => json_forms::any(&value),
        None => a1111::parse(text, true),
    }
}

/// The JSON object in a text, with Python's NaN forgiven.
fn json(text: &str) -> Option<Value> {
    if !text.trim_start().starts_with('{') {
        return None;
    }
    lenient_json(text.as_bytes()).ok().filter(Value::is_object)
}

/// A name without folders and a weight file's ending.
fn bare_name(name: &str) -> String {
    let name = name.rsplit(['/', '\\']).next().unwrap_or(name);
    let endings = [".safetensors", ".ckpt", ".pt", ".pth", ".bin", ".gguf"];
    endings.iter().find_map(|ending| name.strip_suffix(ending)).unwrap_or(name).to_owned()
}

/// A text with plain line ends, without blanks at them and empty lines around it.
fn tidy(text: &str) -> String {
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    lines.join("\n").trim_matches('\n').to_owned()
}

/// A seed that torch takes.
fn seed(value: &str) -> Option<u64> {
    value.trim().parse().ok()
}
