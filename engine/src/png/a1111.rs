//! The text of the `parameters` chunk, in the format of AUTOMATIC1111's program that most others read: the prompt, a line
//! `Negative prompt: …`, and a last line of `Key: value` pairs that starts with `Steps`.
//!
//! The format has no escapes, so a prompt may contain a line that looks like one of these. The `instaflow` chunk has no such
//! limit; this one is for other programs and their pictures.

use crate::protocol::{Decoder, Lora, Picture, Settings};

const NEGATIVE: &str = "Negative prompt: ";
const STEPS: &str = "Steps: ";

/// The text of a picture's `parameters` chunk.
pub(super) fn format(picture: &Picture) -> String {
    let Settings { prompt, negative_prompt, seed, steps, guidance, .. } = &picture.settings;
    let (width, height) = picture.settings.size.unwrap_or((picture.width, picture.height));
    let loras: String = picture.settings.loras.iter().map(lora_tag).collect();
    let negative = if negative_prompt.is_empty() { String::new() } else { format!("{NEGATIVE}{negative_prompt}\n") };
    let hash = quoted(&picture.model_hash);
    let model = quoted(&picture.model);
    let sampler = picture.settings.sampler.unwrap_or_default().name();
    // A1111's name for an AutoencoderTiny.
    let decoder = if picture.settings.decoder == Decoder::Tiny { "VAE Decoder: TAESD, " } else { "" };
    let hashes: Vec<String> = picture.lora_hashes.iter().map(lora_hash).collect();
    // Its value is a list, so it is always in quotes.
    let hashes = if hashes.is_empty() { String::new() } else { format!("Lora hashes: {}, ", json(&hashes.join(", "))) };
    let version = env!("CARGO_PKG_VERSION");
    format!(
        "{prompt}{loras}\n{negative}{STEPS}{steps}, Sampler: {sampler}, CFG scale: {guidance}, Seed: {seed}, \
         Size: {width}x{height}, Model hash: {hash}, Model: {model}, {decoder}{hashes}Version: instaflow {version}"
    )
}

/// A LoRA that was chosen beside the prompt, as a tag that other programs read.
fn lora_tag(lora: &Lora) -> String {
    let name = lora.file.file_stem().unwrap_or(lora.file.as_os_str()).to_string_lossy();
    let Lora { weight, text_weight, .. } = lora;
    if weight.to_bits() == text_weight.to_bits() {
        format!(" <lora:{name}:{weight}>")
    } else {
        format!(" <lora:{name}:te={text_weight}:unet={weight}>")
    }
}

/// A LoRA's name and hash in A1111's list of them, whose separators no name may hold.
fn lora_hash((name, hash): &(String, String)) -> String {
    format!("{}: {hash}", name.replace([':', ','], ""))
}

/// Quotes a value as JSON if it contains a separator.
fn quoted(value: &str) -> String {
    if value.contains([',', ':', '\n', '\r', '"']) { json(value) } else { value.into() }
}

fn json(value: &str) -> String {
    serde_json::Value::from(value).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loras_stand_in_the_prompt() {
        let lora = |weight, text_weight| Lora { file: "styles/ink v2.safetensors".into(), weight, text_weight };
        let settings = Settings { loras: vec![lora(0.5, 0.5), lora(1.0, 0.0)], ..Settings::student("a lake") };
        let text = format(&Picture::new(8, 8, [].into(), settings));
        assert!(text.starts_with("a lake <lora:ink v2:0.5> <lora:ink v2:te=0:unet=1>\n"), "{text}");
        let lora_hashes = vec![("ink, v2".to_owned(), "0123456789ab".to_owned()), ("b".to_owned(), "ff".to_owned())];
        let drawn = Picture { lora_hashes, ..Picture::new(8, 8, [].into(), Settings::student("a lake")) };
        let text = format(&drawn);
        assert!(text.contains(", Lora hashes: \"ink v2: 0123456789ab, b: ff\", Version: "), "{text}");
    }
}
