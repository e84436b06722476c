//! A description of a model folder for people: its parts, their sizes, and what is wrong with them.

use std::path::Path;

use candle_core::DType;

use super::component::Component;
use super::dry_run::Size;
use super::files::Files;
use super::model_folder::{ModelFolder, read_tokenizer, recipe_of};
use super::pair::halves;
use super::vocabulary;
use crate::Result;
use crate::text::{TextConfig, TextEncoder};
use crate::unet::{UNet, UNetConfig};
use crate::vae::Autoencoder;

/// The parts that hold weights, in the order in which data passes through them.
const PARTS: [&str; 4] = ["text_encoder", "unet", "vae", "vae_tiny"];

/// Describes a model folder, a pair or a single part in lines of text: class, parameters, stored type and bytes of every
/// part, or what is wrong with it. A folder without a model is an error.
pub fn describe(path: &Path) -> Result<Vec<String>> {
    let files = Files::open_folder(path)?;
    let mut lines = Vec::new();
    if let Some((student, teacher)) = halves(&files)? {
        lines.push("pair of a student and a teacher".into());
        lines.extend(vocabulary_in_words(&files));
        lines.push("teacher".into());
        describe_model(&teacher, None, &mut lines);
        lines.push("student (takes what it lacks from the teacher)".into());
        describe_model(&student, Some(&teacher), &mut lines);
    } else if files.folder("unet").exists() {
        lines.push("model folder".into());
        describe_model(&files, None, &mut lines);
    } else if files.names().iter().all(|name| name != "config.json") {
        return Err(files.fault("", "holds neither a model (unet/, vae/ …) nor a pair nor a part of a model"));
    } else {
        let component = Component::open(&files)?;
        let part = match component.class() {
            Some("CLIPTextModel") => "text_encoder",
            Some("UNet2DConditionModel" | "StackedUNet2DConditionModel") => "unet",
            _ => "vae",
        };
        lines.push(line("part", &part_in_words(part, &files)));
    }
    Ok(lines)
}

fn describe_model(files: &Files, fallback: Option<&Files>, lines: &mut Vec<String>) {
    lines.extend(vocabulary_in_words(files));
    let before = lines.len();
    if let Err(error) = recipe_of(files, &files.folder("scheduler"), None) {
        lines.push(line("problem", &error.to_string()));
    }
    let own_or_theirs = |name: &str| {
        let own = files.folder(name);
        if own.exists() { Some(own) } else { fallback.is_none().then_some(own) }
    };
    if let Some(tokenizer) = own_or_theirs("tokenizer") {
        lines.push(line("tokenizer", &tokenizer_in_words(&tokenizer, files)));
    }
    for part in PARTS {
        // A tiny decoder is an extra, so its absence is not mentioned.
        let wanted = own_or_theirs(part).filter(|folder| part != "vae_tiny" || folder.exists());
        if let Some(folder) = wanted {
            lines.push(line(part, &part_in_words(part, &folder)));
        }
    }
    let has_problem = lines[before..].iter().any(|line| line.contains("problem: ") || line.contains("problem  "));
    let model = match fallback.map(|teacher| ModelFolder::open(teacher, None, None)).transpose() {
        Ok(teacher) => ModelFolder::open(files, teacher.as_ref(), None),
        Err(_) => return,
    };
    match model {
        Ok(model) => {
            let (width, height) = model.size();
            let (channels, factor) = (model.latent_channels(), model.latent_factor() as u32);
            let latents = format!("latents {channels} × {} × {}", height / factor, width / factor);
            lines.push(line("pictures", &format!("{width} × {height}, {latents}")));
            lines.push(line("sampler", model.recipe().sampler.name()));
            lines.push(line("hash", &model.hash()));
        }
        // The problem was reported with the part that has it.
        Err(_) if has_problem => {}
        Err(error) => lines.push(line("problem", &error.to_string())),
    }
}

/// The size of vocabulary.json, if there is one.
fn vocabulary_in_words(files: &Files) -> Option<String> {
    let words = match vocabulary::read(files) {
        Ok(words) => {
            let words = words?;
            format!("{} words, {} groups of phrases", thousands(words.known.len() as u64), words.groups.len())
        }
        Err(error) => format!("problem: {error}"),
    };
    Some(line(vocabulary::FILE, &words))
}

fn tokenizer_in_words(tokenizer: &Files, model: &Files) -> String {
    let text_config = super::component::read_json(&model.folder("text_encoder"), "config.json").unwrap_or_default();
    match read_tokenizer(tokenizer, text_config.as_ref()) {
        Ok(tokenizer) => {
            let (ids, limit) = (thousands(tokenizer.vocabulary_size() as u64), tokenizer.limit());
            format!("{ids} tokens, {limit} to a prompt")
        }
        Err(error) => format!("problem: {error}"),
    }
}

fn part_in_words(part: &str, files: &Files) -> String {
    let words = || -> Result<String> {
        let component = Component::open(files)?;
        let size = check(part, &component)?;
        let (types, bytes) = component.stored();
        let class = component.class().unwrap_or("unnamed class");
        let types = types.join(" and ").to_lowercase();
        Ok(format!("{class}, {} parameters, {types}, {}", thousands(size.parameters), in_bytes(bytes)))
    };
    words().unwrap_or_else(|error| format!("problem: {error}"))
}

/// Runs the constructor of the network that a part is for.
fn check(part: &str, component: &Component) -> Result<Size> {
    match part {
        "text_encoder" => {
            let config: TextConfig = component.parse()?;
            component.check(DType::F32, |vb| TextEncoder::new(vb, &config))
        }
        "unet" => {
            let config: UNetConfig = component.parse()?;
            component.check(DType::F32, |vb| UNet::new(vb, &config))
        }
        _ => component.check(DType::F32, |vb| Autoencoder::new(vb, component.config())),
    }
}

fn line(what: &str, words: &str) -> String {
    format!("  {what:<13} {words}")
}

/// `859520964` as `859,520,964`.
fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Bytes in the decimal unit that gives one to three digits before the point.
fn in_bytes(bytes: u64) -> String {
    let units = [(1_000_000_000, "GB"), (1_000_000, "MB"), (1_000, "kB")];
    match units.into_iter().find(|(unit, _)| bytes >= *unit) {
        Some((unit, name)) => format!("{:.2} {name}", bytes as f64 / unit as f64),
        None => format!("{bytes} bytes"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_for_people() {
        assert_eq!(thousands(7), "7");
        assert_eq!(thousands(123_456), "123,456");
        assert_eq!(thousands(859_520_964), "859,520,964");
        assert_eq!(in_bytes(999), "999 bytes");
        assert_eq!(in_bytes(3_438_167_540), "3.44 GB");
    }
}
