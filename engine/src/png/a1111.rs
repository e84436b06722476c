//! The text of the `parameters` chunk, in the format of AUTOMATIC1111's program that most others read: the prompt, a line
//! `Negative prompt: …`, and a last line of `Key: value` pairs that starts with `Steps`.
//!
//! The format has no escapes, so a prompt may contain a line that looks like one of these. The `instaflow` chunk has no such
//! limit; this one is for other programs and their pictures.

use super::Restored;
use crate::protocol::{Blend, Decoder, Lora, Picture, PromptSyntax, Role, Sampler, Settings};

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
    let version = env!("CARGO_PKG_VERSION");
    format!(
        "{prompt}{loras}\n{negative}{STEPS}{steps}, Sampler: {sampler}, CFG scale: {guidance}, Seed: {seed}, \
         Size: {width}x{height}, Model hash: {hash}, Model: {model}, {decoder}Version: instaflow {version}"
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

/// The settings in the text of a `parameters` chunk; `None` if it is empty.
pub(super) fn parse(text: &str) -> Option<Restored> {
    let text = text.trim();
    if text.is_empty() {
        return None;
    }
    let (prompts, last) = match text.rsplit_once('\n') {
        Some((prompts, last)) if last.trim_start().starts_with(STEPS) => (prompts, last),
        None if text.starts_with(STEPS) => ("", text),
        _ => (text, ""),
    };
    let (prompt, negative_prompt) = match prompts.split_once(&format!("\n{NEGATIVE}")) {
        Some(both) => both,
        None => prompts.strip_prefix(NEGATIVE).map_or((prompts, ""), |negative| ("", negative)),
    };

    let fields = fields(last);
    let field = |key: &str| fields.iter().find(|(name, _)| *name == key).map(|(_, value)| value.as_str());
    // An impossible size or scale has the default, like an absent one.
    let steps = field("Steps").and_then(|value| value.parse().ok()).unwrap_or(1_u32).clamp(1, 50);
    let guidance = field("CFG scale").and_then(|value| value.parse().ok()).filter(|g: &f32| g.is_finite() && *g >= 0.0);
    let guidance = guidance.unwrap_or(1.0);
    let seed = field("Seed").and_then(|value| value.parse::<u64>().ok()).unwrap_or(0);
    let size = field("Size").and_then(parse_size);
    let settings = Settings {
        role: if steps > 1 || guidance > 1.0 { Role::Teacher } else { Role::Student },
        prompt: prompt.trim_end().to_owned(),
        negative_prompt: negative_prompt.trim_end().to_owned(),
        seed,
        size,
        steps,
        guidance,
        // An unknown sampler is left to the model.
        sampler: Sampler::ALL.into_iter().find(|sampler| field("Sampler") == Some(sampler.name())),
        decoder: Decoder::Full,
        schedule: None,
        prompt_syntax: PromptSyntax::A1111,
        clip_skip: 1,
        loras: Vec::new(),
        blend: Blend::default(),
    };
    let named = |key: &str| field(key).filter(|name| !name.is_empty()).map(str::to_owned);
    Some(Restored { settings, model: named("Model"), model_hash: named("Model hash"), bf16_products: None })
}

/// Quotes a value as JSON if it contains a separator.
fn quoted(value: &str) -> String {
    if value.contains([',', ':', '\n', '\r', '"']) { serde_json::Value::from(value).to_string() } else { value.into() }
}

/// `Key: value, Key: "value, in quotes", …`
fn fields(mut line: &str) -> Vec<(&str, String)> {
    let mut fields = Vec::new();
    while let Some((key, rest)) = line.split_once(':') {
        let rest = rest.trim_start();
        let (value, rest) = quoted_value(rest).unwrap_or_else(|| {
            let end = rest.find(',').unwrap_or(rest.len());
            (rest[..end].trim_end().to_owned(), &rest[end..])
        });
        fields.push((key.trim(), value));
        line = rest.trim_start().strip_prefix(',').unwrap_or(rest);
    }
    fields
}

fn quoted_value(text: &str) -> Option<(String, &str)> {
    if !text.starts_with('"') {
        return None;
    }
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<String>();
    let value = values.next()?.ok()?;
    Some((value, &text[values.byte_offset()..]))
}

fn parse_size(text: &str) -> Option<(u32, u32)> {
    let (width, height) = text.split_once('x')?;
    let size = (width.trim().parse().ok()?, height.trim().parse().ok()?);
    (size.0 > 0 && size.1 > 0).then_some(size)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, prompt: &str, negative: &str, numbers: (u32, f32, u64), model: Option<&str>) {
        let restored = parse(text).expect(text);
        let settings = restored.settings;
        assert_eq!((settings.prompt.as_str(), settings.negative_prompt.as_str()), (prompt, negative), "{text:?}");
        assert_eq!((settings.steps, settings.guidance, settings.seed), numbers, "{text:?}");
        assert_eq!(restored.model.as_deref(), model, "{text:?}");
    }

    #[test]
    fn other_programs_text_is_read() {
        check(
            "a cat\non a mat\nNegative prompt: dog,\nbird\nSteps: 20, Sampler: DPM++ 2M, CFG scale: 7, Seed: 5, \
             Size: 512x768, Model hash: 6ce0161689, Model: v1-5-pruned, Lora hashes: \"a: 1, b: 2\", Version: v1.9",
            "a cat\non a mat",
            "dog,\nbird",
            (20, 7.0, 5),
            Some("v1-5-pruned"),
        );
        check("Negative prompt: dog\nSteps: 4, Seed: 1", "", "dog", (4, 1.0, 1), None);
        check("Steps: 4, Model: \"a, b: \\\"c\\\"\", Seed: 9", "", "", (4, 1.0, 9), Some("a, b: \"c\""));
        check("only words, Steps: 7, Seed: 3", "only words, Steps: 7, Seed: 3", "", (1, 1.0, 0), None);
    }

    #[test]
    fn loras_stand_in_the_prompt() {
        let lora = |weight, text_weight| Lora { file: "styles/ink v2.safetensors".into(), weight, text_weight };
        let settings = Settings { loras: vec![lora(0.5, 0.5), lora(1.0, 0.0)], ..Settings::student("a lake") };
        let text = format(&Picture::new(8, 8, [].into(), settings));
        assert!(text.starts_with("a lake <lora:ink v2:0.5> <lora:ink v2:te=0:unet=1>\n"), "{text}");
    }

    #[test]
    fn samplers_go_by_the_names_of_other_programs() {
        for (name, sampler) in [
            ("DPM++ 2M", Some(Sampler::DpmPlusPlus2M)),
            ("DDIM", Some(Sampler::Ddim)),
            ("Euler flow", Some(Sampler::Flow)),
            ("Euler a", None),
        ] {
            let found = parse(&format!("x\nSteps: 25, Sampler: {name}, CFG scale: 5, Seed: 1")).expect(name);
            assert_eq!(found.settings.sampler, sampler, "{name}");
        }
    }

    #[test]
    fn numbers_that_cannot_be_meant_are_left_out() {
        check("x\nSteps: 5000, CFG scale: NaN, Seed: -1, Size: 0x0", "x", "", (50, 1.0, 0), None);
        check(
            "x\nSteps: 4294967296, Seed: 4294967301, Model: \"open",
            "x",
            "",
            (1, 1.0, 4_294_967_301),
            Some("\"open"),
        );
        check("x\nSteps: , : , ::, Seed:", "x", "", (1, 1.0, 0), None);
        assert!(parse(" \n ").is_none());
    }
}
