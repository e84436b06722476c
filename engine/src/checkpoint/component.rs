//! One part of a model, such as the U-Net: its config and its tensors.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use candle_core::{DType, Device};
use candle_nn::VarBuilder;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::digest;
use super::dry_run::{DryRun, Size};
use super::files::{CONFIG_LIMIT, Files};
use super::tensors::Tensors;
use super::weight_loader::WeightLoader;
use crate::{Cancel, Error, Result};

const CONFIG: &str = "config.json";

/// A folder such as `unet/`: config.json and weights. It holds views of the files; only [`Self::builder`] spends memory.
#[derive(Debug)]
pub struct Component {
    files: Files,
    config: Value,
    tensors: Arc<Tensors>,
    digest: OnceLock<String>,
}

impl Component {
    /// Reads the config and the headers of the weight files.
    pub fn open(files: &Files) -> Result<Self> {
        if !files.exists() {
            return Err(files.fault("", "does not exist, but the model needs it: fetch the whole folder"));
        }
        let missing = || files.fault(CONFIG, "is missing: without it the network's shape is unknown");
        let config = read_json(files, CONFIG)?.ok_or_else(missing)?;
        let tensors = Arc::new(Tensors::open(files)?);
        Ok(Self { files: files.clone(), config, tensors, digest: OnceLock::new() })
    }

    /// The contents of config.json.
    pub fn config(&self) -> &Value {
        &self.config
    }

    /// The Python class that wrote it: `_class_name` in Diffusers, the first of `architectures` in Transformers.
    pub fn class(&self) -> Option<&str> {
        self.config["_class_name"].as_str().or_else(|| self.config["architectures"][0].as_str())
    }

    /// The config as a network's own type. If it does not fit, the error names config.json.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T> {
        T::deserialize(&self.config).map_err(|error| self.config_fault(format!("has a wrong entry: {error}")))
    }

    /// An error about config.json.
    pub fn config_fault(&self, message: impl Into<String>) -> Error {
        self.files.fault(CONFIG, message)
    }

    /// A whole number from the config, 1 to 65,536; `None` if it is absent or null.
    pub fn number(&self, key: &str) -> Result<Option<usize>> {
        match &self.config[key] {
            Value::Null => Ok(None),
            value => {
                match value.as_u64() {
                    Some(number @ 1..=65_536) => Ok(Some(number as usize)),
                    _ => Err(self
                        .config_fault(format!("has {key} = {value}, but a whole number from 1 to 65536 is expected"))),
                }
            }
        }
    }

    /// How many entries a list in the config has: a network's number of levels, 1 to 16. `None` if it is absent.
    pub fn levels(&self, key: &str) -> Result<Option<u32>> {
        match &self.config[key] {
            Value::Null => Ok(None),
            Value::Array(levels) if (1..=16).contains(&levels.len()) => Ok(Some(levels.len() as u32)),
            value => Err(self.config_fault(format!("has {key} = {value}, but a list of 1 to 16 entries is expected"))),
        }
    }

    /// Runs a network's constructor over the headers. It succeeds if the config is sound and every tensor that it calls
    /// for exists in the right shape. It costs no memory as long as the constructor only takes tensors.
    pub fn check<T, E: Into<Error>>(
        &self,
        dtype: DType,
        build: impl FnOnce(VarBuilder<'static>) -> Result<T, E>,
    ) -> Result<Size> {
        let dry_run = DryRun::new(Arc::clone(&self.tensors));
        let built = build(VarBuilder::from_backend(Box::new(dry_run.clone()), dtype, Device::Cpu));
        match (built, dry_run.fault()) {
            (_, Some((path, message))) => Err(Error::Checkpoint { path, message }),
            (Ok(_), None) => Ok(dry_run.size()),
            (Err(error), None) => Err(match error.into() {
                Error::Setting(message) => self.config_fault(message),
                Error::Tensor(error) => {
                    self.config_fault(format!("cannot be built: {}", crate::error::without_backtrace(&error)))
                }
                other => other,
            }),
        }
    }

    /// Its tensors, each read and converted when a constructor asks for it, until `cancel` stops that. Call
    /// [`Self::check`] first.
    pub fn builder(&self, dtype: DType, device: &Device, cancel: &Cancel) -> VarBuilder<'static> {
        let weights = WeightLoader { tensors: Arc::clone(&self.tensors), cancel: cancel.clone() };
        VarBuilder::from_backend(Box::new(weights), dtype, device.clone())
    }

    /// 32 hex digits that are equal for equal contents, so that parts that two models share are loaded once. They are
    /// made of the config, of the tensors' names, types and shapes, and of a few kilobytes of each tensor's values.
    pub fn digest(&self) -> &str {
        self.digest.get_or_init(|| digest::component(&self.config, &self.tensors))
    }

    /// The folder, for messages.
    pub fn path(&self) -> PathBuf {
        self.files.path()
    }

    /// How many numbers its tensors hold.
    pub fn values(&self) -> u64 {
        let count = |shape: &[usize]| shape.iter().map(|side| *side as u64).product::<u64>();
        self.tensors.iter().map(|(_, stored)| count(&stored.shape)).sum()
    }

    /// The types that its tensors are stored in, and their total size in bytes.
    pub(super) fn stored(&self) -> (Vec<String>, u64) {
        let mut types: Vec<String> = self.tensors.iter().map(|(_, stored)| stored.dtype.to_string()).collect();
        types.sort();
        types.dedup();
        (types, self.tensors.iter().map(|(_, stored)| stored.byte_count()).sum())
    }
}

/// A JSON object, or `None` if there is no such file.
pub(super) fn read_json(files: &Files, name: &str) -> Result<Option<Value>> {
    let Some(bytes) = files.read(name, CONFIG_LIMIT)? else { return Ok(None) };
    let read = serde_json::from_slice(&bytes).or_else(|error| {
        // Python writes infinities, which JSON does not have: a scheduler's `"lambda_min_clipped": -Infinity`.
        let text = String::from_utf8_lossy(&bytes);
        if !text.contains(": -Infinity") && !text.contains(": Infinity") {
            return Err(error);
        }
        serde_json::from_str(&text.replace(": -Infinity", ": null").replace(": Infinity", ": null"))
    });
    match read {
        Ok(value @ Value::Object(_)) => Ok(Some(value)),
        Ok(_) => Err(files.fault(name, "is JSON, but not an object: fetch it again")),
        Err(error) => Err(files.fault(name, format!("is not valid JSON ({error}): fetch it again"))),
    }
}
