//! A description of a model folder or a file for people: its parts, their sizes, and what is wrong with them.

use std::path::{Path, PathBuf};

use candle_core::DType;

use super::component::Component;
use super::dry_run::Size;
use super::files::Files;
use super::kind::{self, Base, FileKind, Kind};
use super::model_folder::{ModelFolder, read_tokenizer, recipe_of};
use super::pair::halves;
use super::vocabulary;
use crate::protocol::{Prediction, Source};
use crate::text::{TextConfig, TextEncoder};
use crate::unet::{UNet, UNetConfig};
use crate::vae::Autoencoder;
use crate::{Error, Result};

/// The parts that hold weights, in the order in which data passes through them.
const PARTS: [&str; 4] = ["text_encoder", "unet", "vae", "vae_tiny"];

/// What is to be said about a folder or a file.
#[derive(Clone, Debug)]
pub struct Description {
    path: PathBuf,
    /// Lines of text.
    pub lines: Vec<String>,
    /// How many of them tell of something that is wrong.
    pub problems: usize,
}

/// Describes a model folder, a pair, a single part or a safetensors file: class, parameters, stored type and bytes of every
/// part, or what is wrong with it. A folder without a model, or a file that cannot be read, is an error.
pub fn describe(path: &Path) -> Result<Description> {
    let mut description = Description { path: path.to_owned(), lines: Vec::new(), problems: 0 };
    if path.is_file() || kind::refused_by_name(path).is_some() {
        description.file(&kind::classify(path)?);
        return Ok(description);
    }
    let files = Files::open_folder(path)?;
    let lines = &mut description.lines;
    if let Some((student, teacher)) = halves(&files)? {
        lines.push("pair of a student and a teacher".into());
        description.vocabulary(&files);
        description.lines.push("teacher".into());
        description.model(&teacher, None);
        description.lines.push("student (takes what it lacks from the teacher)".into());
        description.model(&student, Some(&teacher));
    } else if files.folder("unet").exists() || files.has("model_index.json") {
        lines.push("model folder".into());
        description.model(&files, None);
    } else if !files.has("config.json") {
        return Err(files.missing("", "holds neither a model (unet/, vae/ …) nor a pair nor a part of a model"));
    } else {
        let component = Component::open(&files)?;
        let part = match component.class() {
            Some("CLIPTextModel") => "text_encoder",
            Some("UNet2DConditionModel" | "StackedUNet2DConditionModel") => "unet",
            _ => "vae",
        };
        description.line_or_problem("part", part_in_words(part, &files));
    }
    Ok(description)
}

impl Description {
    /// An error if something is wrong, for a program that looks at nothing else.
    pub fn sound(&self) -> Result<()> {
        let message = match self.problems {
            0 => return Ok(()),
            1 => "has a problem, which is named above".to_owned(),
            several => format!("has {several} problems, which are named above"),
        };
        Err(Error::Checkpoint { path: self.path.clone(), message })
    }

    fn line(&mut self, what: &str, words: &str) {
        self.lines.push(format!("  {what:<13} {words}"));
    }

    fn line_or_problem(&mut self, what: &str, words: Result<String>) {
        match words {
            Ok(words) => self.line(what, &words),
            Err(error) => {
                self.problems += 1;
                self.line(what, &format!("problem: {error}"));
            }
        }
    }

    fn problem(&mut self, error: &Error) {
        self.problems += 1;
        self.line("problem", &error.to_string());
    }

    fn model(&mut self, files: &Files, fallback: Option<&Files>) {
        self.vocabulary(files);
        let before = self.problems;
        if let Err(error) = recipe_of(files, &files.folder("scheduler"), None) {
            self.problem(&error);
        }
        let own_or_theirs = |name: &str| {
            let own = files.folder(name);
            if own.exists() { Some(own) } else { fallback.is_none().then_some(own) }
        };
        if let Some(tokenizer) = own_or_theirs("tokenizer") {
            self.line_or_problem("tokenizer", tokenizer_in_words(&tokenizer, files));
        }
        for part in PARTS {
            // A tiny decoder is an extra, so its absence is not mentioned.
            let wanted = own_or_theirs(part).filter(|folder| part != "vae_tiny" || folder.exists());
            if let Some(folder) = wanted {
                self.line_or_problem(part, part_in_words(part, &folder));
            }
        }
        let model = match fallback.map(|teacher| ModelFolder::open(teacher, None, None)).transpose() {
            Ok(teacher) => ModelFolder::open(files, teacher.as_ref(), None),
            Err(_) => return,
        };
        match model {
            Ok(model) => {
                let (width, height) = model.size();
                let (channels, factor) = (model.latent_channels(), model.latent_factor() as u32);
                let latents = format!("latents {channels} × {} × {}", height / factor, width / factor);
                self.line("pictures", &format!("{width} × {height}, {latents}"));
                self.line("sampler", model.recipe().sampler.name());
                self.line("hash", &model.hash());
            }
            // The problem was reported with the part that has it.
            Err(_) if self.problems > before => {}
            Err(error) => self.problem(&error),
        }
    }

    /// The size of vocabulary.json, if there is one. A model draws without it, so a damaged one is no problem of the model.
    fn vocabulary(&mut self, files: &Files) {
        match vocabulary::read(files) {
            Ok(Some(words)) => {
                let words =
                    format!("{} words, {} groups of phrases", thousands(words.known.len() as u64), words.groups.len());
                self.line(vocabulary::FILE, &words);
            }
            Ok(None) => {}
            Err(error) => self.line(vocabulary::FILE, &format!("problem: {error}")),
        }
    }

    /// What a safetensors file is and what it says of itself.
    fn file(&mut self, file: &FileKind) {
        let article = if file.kind == Kind::Unknown { "an" } else { "a" };
        self.lines.push(match file.base {
            Base::Unknown => format!("{article} {}", file.kind.name()),
            base => format!("{article} {} for {}", file.kind.name(), base.name()),
        });
        if let Some(unusable) = &file.unusable {
            self.line("unusable", &format!("it {unusable}"));
        }
        self.line("stored", &format!("{}, {}", file.dtypes.join(" and ").to_lowercase(), in_bytes(file.bytes)));
        let texts = [("title", &file.title), ("licence", &file.licence)];
        for (what, text) in texts {
            if let Some(text) = text {
                self.line(what, text);
            }
        }
        for (what, words) in [("trigger words", &file.trigger_words), ("tags", &file.tags)] {
            if !words.is_empty() {
                self.line(what, &words.join(", "));
            }
        }
        if file.thumbnail.is_some() {
            self.line("thumbnail", "yes");
        }
        if let Some(prediction) = file.prediction {
            let name = match prediction {
                Prediction::Flow => "a flow's velocity",
                Prediction::Epsilon => "the noise",
                Prediction::V => "v",
                Prediction::Sample => "the image",
            };
            self.line("predicts", name);
        }
        if file.has_ema {
            self.line("averaged", "its U-Net's averaged weights are there, too");
        }
        if file.unusable.is_none()
            && file.base != Base::Unknown
            && matches!(file.kind, Kind::Checkpoint | Kind::UNet | Kind::Vae)
        {
            self.parts(file);
        }
    }

    /// The parts of a checkpoint, checked as those of a folder are.
    fn parts(&mut self, file: &FileKind) {
        let files = match Files::open(&Source::File(self.path.clone()), None, false) {
            Ok(files) => files,
            Err(error) => return self.problem(&error),
        };
        let parts = [("text_encoder", file.parts.text_encoder), ("unet", file.parts.unet), ("vae", file.parts.vae)];
        for (part, there) in parts {
            if there {
                self.line_or_problem(part, part_in_words(part, &files.folder(part)));
            } else if file.kind != Kind::Vae {
                self.line(part, "none: one of another model is needed");
            }
        }
    }
}

fn tokenizer_in_words(tokenizer: &Files, model: &Files) -> Result<String> {
    let text_config = super::component::read_json(&model.folder("text_encoder"), "config.json").unwrap_or_default();
    let tokenizer = read_tokenizer(tokenizer, text_config.as_ref())?;
    let (ids, limit) = (thousands(tokenizer.vocabulary_size() as u64), tokenizer.limit());
    Ok(format!("{ids} tokens, {limit} to a prompt"))
}

fn part_in_words(part: &str, files: &Files) -> Result<String> {
    let component = Component::open(files)?;
    let size = check(part, &component)?;
    let (types, bytes) = component.stored();
    let class = component.class().unwrap_or("unnamed class");
    let types = types.join(" and ").to_lowercase();
    Ok(format!("{class}, {} parameters, {types}, {}", thousands(size.parameters), in_bytes(bytes)))
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
        // Some files hold the decoder alone.
        _ if !component.holds("encoder.") => {
            component.check(DType::F32, |vb| Autoencoder::decoder(vb, component.config()))
        }
        _ => component.check(DType::F32, |vb| Autoencoder::new(vb, component.config())),
    }
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
