//! A checkpoint in one file, as if it were a model folder: its tensors under Diffusers' names, configs by its keys and
//! shapes or from a folder, and CLIP's tokenizer. The rest of the program does not know the difference.
//!
//! ```text
//! FILE.safetensors ─ names ─┬─ unet_names   ─┐
//!                           ├─ vae_names    ─┼─ configs ── Component
//!                           └─ text_names   ─┘
//! ```

mod clip;
mod configs;
mod text_names;
mod tiny_names;
mod unet_names;
mod vae_names;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::component::{Component, read_json};
use super::files::Files;
use super::kind::{self, Base, FileKind, Kind};
use super::tensors::{Stored, Tensors};
use crate::protocol::Prediction;
use crate::{Error, Result};

/// Tensors by name.
type Table = BTreeMap<String, Stored>;

/// A checkpoint in one file. It holds views of the file.
#[derive(Debug)]
pub struct SingleFile {
    path: PathBuf,
    kind: FileKind,
    prediction: Option<Prediction>,
    /// The folder whose configs, tokenizer and missing parts are used.
    config: Option<Files>,
    unet: Tensors,
    vae: Tensors,
    text_encoder: Tensors,
}

impl SingleFile {
    /// Reads the header. `config` is a model folder that gives configs, tokenizer and the parts that the file lacks; with
    /// `ema`, the averaged weights of the U-Net take the place of the plain ones.
    pub fn open(path: &Path, config: Option<&Path>, ema: bool) -> Result<Self> {
        let fault = |message: String| Error::Checkpoint { path: path.to_owned(), message };
        let kind = kind::classify(path)?;
        if let Some(unusable) = &kind.unusable {
            return Err(fault(unusable.clone()));
        }
        let openable = [Kind::Checkpoint, Kind::UNet, Kind::Vae, Kind::TinyAutoencoder];
        if !openable.contains(&kind.kind) {
            let message = format!("is no model but a {}: add it to a model that is open", kind.kind.name());
            return Err(fault(message));
        }
        let all = Tensors::open_file(path)?;
        let has_unet = kind.parts.unet;
        let unet = if has_unet { unet_names::table(&all, ema).map_err(fault)? } else { Table::new() };
        let vae = if kind.kind == Kind::TinyAutoencoder { tiny_names::table(&all) } else { vae_names::table(&all) };
        let mut file = Self {
            path: path.to_owned(),
            prediction: kind.prediction,
            config: config.map(Files::open_folder).transpose()?,
            unet: all.view(unet),
            vae: all.view(vae),
            text_encoder: all.view(text_names::table(&all)),
            kind,
        };
        if file.prediction.is_none() && file.kind.base == Base::Sd2 {
            file.prediction = configs::prediction(&file.unet);
        }
        Ok(file)
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What the file is.
    pub fn kind(&self) -> &FileKind {
        &self.kind
    }

    /// What its U-Net predicts, as far as its remarks or its tensors tell.
    pub fn prediction(&self) -> Option<Prediction> {
        self.prediction
    }

    /// Whether a folder gives its configs.
    pub fn has_configs(&self) -> bool {
        self.config.is_some()
    }

    /// The file's name without its ending.
    pub fn name(&self) -> String {
        self.path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// Whether there is something for this part of a model folder; "" is the folder itself.
    pub(super) fn holds(&self, part: &str) -> bool {
        match part {
            "" => true,
            "tokenizer" | "scheduler" => self.kind.base.text_width().is_some(),
            _ => self.tensors(part).is_some_and(|tensors| tensors.iter().next().is_some()),
        }
    }

    /// The folder that gives this part in place of the file: what is not in the file and, if there is a folder of configs,
    /// its tokenizer and its schedule.
    pub(super) fn borrowed(&self, part: &str) -> Option<PathBuf> {
        let always = ["tokenizer", "scheduler"].contains(&part);
        let theirs = self.config.as_ref()?.folder(part);
        (theirs.exists() && (always || !self.holds(part))).then(|| theirs.path())
    }

    /// That a whole model can be made of it.
    pub(super) fn check_whole(&self) -> Result<()> {
        if self.holds("unet") { Ok(()) } else { Err(self.lacks("unet")) }
    }

    /// A text file of a part, as a model folder would have it.
    pub(super) fn text_file(&self, part: &str, name: &str) -> Result<Option<Vec<u8>>> {
        let json = |value: Value| Some(value.to_string().into_bytes());
        Ok(match (part, name) {
            ("", "model_index.json") => match &self.config {
                Some(config) => read_json(config, name)?.and_then(json),
                None => None,
            },
            ("scheduler", "scheduler_config.json") => json(configs::scheduler(self.prediction)),
            ("tokenizer", name) => clip::file(name, self.kind.base),
            _ => None,
        })
    }

    /// A part: its config and its tensors.
    pub(super) fn component(&self, part: &str) -> Result<Component> {
        let Some(tensors) = self.tensors(part).filter(|_| self.holds(part)) else { return Err(self.lacks(part)) };
        let given = match &self.config {
            Some(config) => read_json(&config.folder(part), "config.json")?.map(|read| (config, read)),
            None => None,
        };
        let (path, config) = match given {
            Some((folder, read)) => (folder.folder(part).path_of("config.json"), read),
            None => (self.path.clone(), self.config_by_shape(part, tensors)?),
        };
        Component::of(self.path.clone(), path, config, tensors.whole())
    }

    /// The autoencoder, for a model that has this one. If nothing else gives the config, it is that one's.
    pub(super) fn vae_beside(&self, own: &Component) -> Result<Component> {
        match self.component("vae") {
            Err(_) if self.holds("vae") && self.kind.kind != Kind::TinyAutoencoder && own.holds("decoder.conv_in.") => {
                Component::of(self.path.clone(), own.config_path(), own.config().clone(), self.vae.whole())
            }
            opened => opened,
        }
    }

    fn tensors(&self, part: &str) -> Option<&Tensors> {
        match part {
            "unet" => Some(&self.unet),
            "vae" => Some(&self.vae),
            "text_encoder" => Some(&self.text_encoder),
            _ => None,
        }
    }

    fn config_by_shape(&self, part: &str, tensors: &Tensors) -> Result<Value> {
        let config = match part {
            "unet" => configs::unet(tensors, self.kind.base, self.prediction),
            "text_encoder" => configs::text_encoder(tensors),
            _ if self.kind.kind == Kind::TinyAutoencoder => configs::vae_tiny(tensors),
            _ => configs::vae(tensors),
        };
        config.map_err(|message| Error::Checkpoint { path: self.path.clone(), message })
    }

    fn lacks(&self, part: &str) -> Error {
        let what = match part {
            "unet" => "U-Net",
            "vae" => "VAE",
            _ => "text encoder",
        };
        let message = if part == "unet" {
            format!("is a {} without a U-Net: open it beside a model, in place of its own", self.kind.kind.name())
        } else {
            format!("has no {what}: give a model folder of the same kind for its configs, whose {what} is then used")
        };
        Error::Checkpoint { path: self.path.clone(), message }
    }
}

#[cfg(test)]
mod tests;
