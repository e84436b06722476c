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
use super::tensors::{Stored, Tensors};
use super::text_file;
use super::weight_loader::WeightLoader;
use crate::{Cancel, Error, Result};

const CONFIG: &str = "config.json";

/// A part such as `unet/`: config.json and weights, or what stands for them in a checkpoint in one file. It holds views of
/// the files; only [`Self::builder`] spends memory.
#[derive(Debug)]
pub struct Component {
    /// The folder or the file.
    path: PathBuf,
    /// What the config was read from.
    config_path: PathBuf,
    config: Value,
    tensors: Arc<Tensors>,
    carried: Option<Carried>,
    digest: OnceLock<String>,
}

/// What is added to every tensor: `weight` times the difference of two others of the same name.
#[derive(Clone, Debug)]
pub(super) struct Carried {
    pub finetune: Arc<Tensors>,
    pub base: Arc<Tensors>,
    pub weight: f32,
    /// Of both.
    digest: String,
}

impl Carried {
    /// Whether both have a tensor of the model's. The error is a file and what is wrong with it.
    pub fn check(&self, name: &str, own: &Stored) -> Result<(), (PathBuf, String)> {
        // Some programs store a matrix as a convolution.
        let plain = |shape: &[usize]| shape.iter().copied().filter(|side| *side != 1).collect::<Vec<_>>();
        for tensors in [&self.finetune, &self.base] {
            let Some(theirs) = tensors.get(name) else {
                let message = "to carry a fine-tune over, it, its base and the model must be of one shape";
                return Err((tensors.path(), format!("lacks {name}, which the model has: {message}")));
            };
            let fault = |message| Err((tensors.path_of(theirs), message));
            if plain(&theirs.shape) != plain(&own.shape) {
                return fault(format!(
                    "has {name} in the shape {:?}, but the model has {:?}: \
                     a fine-tune can be carried over only to a model of its own shape",
                    theirs.shape, own.shape
                ));
            }
            if theirs.candle_dtype().is_none() {
                return fault(format!("stores {name} as {}, which weights are not stored as", theirs.dtype));
            }
        }
        Ok(())
    }
}

impl Component {
    /// Reads the config and the headers of the weight files.
    pub fn open(files: &Files) -> Result<Self> {
        if let Files::Single { file, part } = files {
            return file.component(part);
        }
        if !files.exists() {
            return Err(files.missing("", "does not exist, but the model needs it: fetch the whole folder"));
        }
        let missing = || files.missing(CONFIG, "is missing: without it the network's shape is unknown");
        let config = read_json(files, CONFIG)?.ok_or_else(missing)?;
        Self::of(files.path(), files.path_of(CONFIG), config, Tensors::open(files)?)
    }

    /// A component whose config and tensors were found in another way. The paths are for messages.
    pub(super) fn of(path: PathBuf, config_path: PathBuf, config: Value, tensors: Tensors) -> Result<Self> {
        let (tensors, carried, digest) = (Arc::new(tensors), None, OnceLock::new());
        let component = Self { path, config_path, config, tensors, carried, digest };
        class_name(&component.config).map_err(|message| component.config_fault(message))?;
        Ok(component)
    }

    /// The same component with `weight` times the difference of two others added to its tensors. [`Self::check`] says whether
    /// they have what the network asks for.
    pub(super) fn carrying(&self, finetune: &Self, base: &Self, weight: f32) -> Self {
        let digest = digest::combine([finetune.digest(), base.digest()]);
        let (finetune, base) = (Arc::clone(&finetune.tensors), Arc::clone(&base.tensors));
        let Self { path, config_path, config, tensors, .. } = self;
        Self {
            path: path.clone(),
            config_path: config_path.clone(),
            config: config.clone(),
            tensors: Arc::clone(tensors),
            carried: Some(Carried { finetune, base, weight, digest }),
            digest: OnceLock::new(),
        }
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
        T::deserialize(&self.config).map_err(|error| {
            // serde does not say which entry it is; the one without which the rest is right.
            let entries = self.config.as_object().into_iter().flatten();
            let wrong = entries.map(|(key, _)| key).find(|key| {
                let mut rest = self.config.clone();
                let _ = rest.as_object_mut().and_then(|entries| entries.remove(*key));
                T::deserialize(&rest).is_ok()
            });
            self.config_fault(match wrong {
                Some(key) => format!("has {key} = {}, which is wrong: {error}", self.config[key]),
                None => format!("has a wrong entry: {error}"),
            })
        })
    }

    /// An error about config.json.
    pub fn config_fault(&self, message: impl Into<String>) -> Error {
        Error::Checkpoint { path: self.config_path.clone(), message: message.into() }
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
        let dry_run = DryRun::new(Arc::clone(&self.tensors), self.carried.clone());
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
        let (tensors, carried) = (Arc::clone(&self.tensors), self.carried.clone());
        let weights = WeightLoader { tensors, carried, cancel: cancel.clone() };
        VarBuilder::from_backend(Box::new(weights), dtype, device.clone())
    }

    /// The type of a tensor as it is in the file, if that is all there is to it: 16 or 32 bits, with nothing added.
    pub(crate) fn stored_dtype(&self, name: &str) -> Option<DType> {
        let stored = self.tensors.get(name).filter(|stored| stored.scale.is_none() && self.carried.is_none())?;
        stored.candle_dtype().filter(|dtype| *dtype != DType::F8E4M3)
    }

    /// 32 hex digits that are equal for equal contents, so that parts that two models share are loaded once. They are
    /// made of the config, of the tensors' names, types and shapes, and of a few kilobytes of each tensor's values.
    pub fn digest(&self) -> &str {
        self.digest.get_or_init(|| {
            let own = digest::component(&self.config, &self.tensors);
            match &self.carried {
                None => own,
                Some(carried) => digest::combine([&*own, &carried.digest, &carried.weight.to_string()]),
            }
        })
    }

    /// The folder or the file, for messages.
    pub fn path(&self) -> PathBuf {
        self.path.clone()
    }

    /// What the config was read from, for messages.
    pub(super) fn config_path(&self) -> PathBuf {
        self.config_path.clone()
    }

    /// Whether the name of a tensor begins with this.
    pub fn holds(&self, prefix: &str) -> bool {
        self.tensors.iter().any(|(name, _)| name.starts_with(prefix))
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

/// The class that a config is for, `_class_name`; `None` if it does not say. The error is a sentence whose subject, the
/// file, is left out.
pub(super) fn class_name(config: &Value) -> Result<Option<&str>, String> {
    match &config["_class_name"] {
        Value::Null => Ok(None),
        Value::String(class) => Ok(Some(class)),
        // A module and a class in it, which Diffusers would fetch and run.
        Value::Array(_) => Err(format!(
            "names the class {} of the folder's own program, which is not run: use a model of one of Diffusers' classes",
            config["_class_name"]
        )),
        other => Err(format!("has _class_name = {other}, but the name of a class is expected")),
    }
}

/// A JSON object, or `None` if there is no such file.
pub(super) fn read_json(files: &Files, name: &str) -> Result<Option<Value>> {
    let Some(bytes) = files.read(name, CONFIG_LIMIT)? else { return Ok(None) };
    match text_file::json(&bytes) {
        Ok(value @ Value::Object(_)) => Ok(Some(value)),
        Ok(_) => Err(files.fault(name, "is JSON, but not an object: fetch it again")),
        Err(message) => Err(files.fault(name, message)),
    }
}
