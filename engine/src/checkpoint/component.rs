//! One part of a model: its config and its tensors.

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

/// A folder such as `unet/`: config.json and weights. Holds views of the files; memory is spent on what is asked of [`Self::builder`].
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
            return Err(files.fault("", "does not exist, and the model needs it: fetch the whole folder"));
        }
        let missing = || files.fault(CONFIG, "is missing: without it the network's shape is unknown");
        let config = read_json(files, CONFIG)?.ok_or_else(missing)?;
        let tensors = Arc::new(Tensors::open(files)?);
        Ok(Self { files: files.clone(), config, tensors, digest: OnceLock::new() })
    }

    /// What config.json holds.
    pub fn config(&self) -> &Value {
        &self.config
    }

    /// The Python class that wrote it: `_class_name` with Diffusers, the first of `architectures` with Transformers.
    pub fn class(&self) -> Option<&str> {
        self.config["_class_name"].as_str().or_else(|| self.config["architectures"][0].as_str())
    }

    /// The config as a network's own type. What does not fit gives an error that names config.json.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T> {
        T::deserialize(&self.config).map_err(|error| self.config_fault(format!("describes no such network: {error}")))
    }

    /// An error about config.json.
    pub fn config_fault(&self, message: impl Into<String>) -> Error {
        self.files.fault(CONFIG, message)
    }

    /// A whole number of the config from 1 to 65,536; `None` where it is absent or null.
    pub fn number(&self, key: &str) -> Result<Option<usize>> {
        match &self.config[key] {
            Value::Null => Ok(None),
            value => match value.as_u64() {
                Some(number @ 1..=65_536) => Ok(Some(number as usize)),
                _ => Err(self.config_fault(format!("has {key} = {value}, where a whole number above 0 is expected"))),
            },
        }
    }

    /// How many entries a list of the config has: the levels of a network, from 1 to 16. `None` where it is absent.
    pub fn levels(&self, key: &str) -> Result<Option<u32>> {
        match &self.config[key] {
            Value::Null => Ok(None),
            Value::Array(levels) if (1..=16).contains(&levels.len()) => Ok(Some(levels.len() as u32)),
            value => Err(self.config_fault(format!("has {key} = {value}, where a list of 1 to 16 is expected"))),
        }
    }

    /// Runs a network's constructor over the headers: the config is sound, and every tensor that it calls for is there
    /// in the right shape. Costs no memory, as long as the constructor only takes tensors and does not compute.
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

    /// Its tensors, read and converted one at a time as they are asked for, until that is cancelled. [`Self::check`]
    /// comes first.
    pub fn builder(&self, dtype: DType, device: &Device, cancel: &Cancel) -> VarBuilder<'static> {
        let weights = WeightLoader { tensors: Arc::clone(&self.tensors), cancel: cancel.clone() };
        VarBuilder::from_backend(Box::new(weights), dtype, device.clone())
    }

    /// 32 hex digits, equal for equal contents: parts that two models share are loaded once. Made of the config, the
    /// tensors' names, types and shapes, and samples of their values; reads a few kilobytes of each tensor, once.
    pub fn digest(&self) -> &str {
        self.digest.get_or_init(|| digest::component(&self.config, &self.tensors))
    }

    /// Where it lies, for messages.
    pub fn path(&self) -> PathBuf {
        self.files.path()
    }

    /// The types that its tensors are stored in, and their bytes in all.
    pub(super) fn stored(&self) -> (Vec<String>, u64) {
        let mut types: Vec<String> = self.tensors.iter().map(|(_, stored)| stored.dtype.to_string()).collect();
        types.sort();
        types.dedup();
        (types, self.tensors.iter().map(|(_, stored)| stored.byte_count()).sum())
    }
}

/// A JSON object, or `None` where there is no such file.
pub(super) fn read_json(files: &Files, name: &str) -> Result<Option<Value>> {
    let Some(bytes) = files.read(name, CONFIG_LIMIT)? else { return Ok(None) };
    let read = serde_json::from_slice(&bytes).or_else(|error| {
        // Python writes infinities in a way that JSON does not have: `"lambda_min_clipped": -Infinity` of a scheduler.
        let text = String::from_utf8_lossy(&bytes);
        if !text.contains(": -Infinity") && !text.contains(": Infinity") {
            return Err(error);
        }
        serde_json::from_str(&text.replace(": -Infinity", ": null").replace(": Infinity", ": null"))
    });
    match read {
        Ok(value @ Value::Object(_)) => Ok(Some(value)),
        Ok(_) => Err(files.fault(name, "holds JSON, but no object: fetch it again")),
        Err(error) => Err(files.fault(name, format!("is not valid JSON ({error}): fetch it again"))),
    }
}
