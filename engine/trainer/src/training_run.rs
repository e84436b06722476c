//! A run: the folder that all stages read from and write to, and the means to compute. Change here what every stage
//! gets.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use anyhow::{Context, Result, ensure};
use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use instaflow_engine::text::Tokenizer;
use instaflow_engine::text::tokenizer::TokenizerFiles;
use instaflow_engine::vae::Autoencoder;

use crate::architecture::Architecture;
use crate::base_model::BaseModel;
use crate::caption_probe;
use crate::discriminator;
use crate::file_io::TensorFile;
use crate::pair_prompts::Prompts;
use crate::parameters::{Parameters, Tensors};
use crate::run_config::{self, Config};
use crate::stage::Stage;
use crate::training::{self, Limits, Look, Loss, Schedule};
use crate::workers::Workers;

/// What every stage gets.
pub struct Run {
    /// The folder, for example `runs/pocket`.
    pub folder: PathBuf,
    /// Sizes and schedules.
    pub config: Config,
    /// One worker per core, for what the host does: rendering, and the networks where the device is the CPU.
    pub cores: Workers,
    /// Where the networks are.
    pub device: Device,
    /// When to stop.
    pub limits: Limits,
    /// LPIPS weights for perceptual losses, where the person gives them.
    pub lpips: Option<PathBuf>,
    replica: Option<Workers>,
    model: Option<BaseModel>,
    prompts: OnceLock<Prompts>,
}

impl Run {
    /// Opens a run, or begins one with `config` (Pocket's if it is `None`). `threads` is the number of cores.
    pub fn open(
        folder: PathBuf,
        config: Option<Config>,
        device: Device,
        threads: usize,
        limits: Limits,
    ) -> Result<Self> {
        let path = folder.join(run_config::FILE);
        let config = if path.exists() {
            let begun = Config::read(&path)?;
            ensure!(
                config.is_none_or(|config| config == begun),
                "{} was started with another configuration: change {} by hand, or choose another --run",
                folder.display(),
                path.display()
            );
            begun
        } else {
            let config = config.unwrap_or_else(Config::pocket);
            config.validate()?;
            config
        };
        let model = if config.model.is_empty() { None } else { Some(BaseModel::open(Path::new(&config.model))?) };
        // Not before all of it is known to be good: a run keeps what it was begun with.
        if !path.exists() {
            config.write(&path)?;
        }
        // A replica per core would be one too many on a GPU: all of them would wait for it.
        let replica = if device.is_cpu() { None } else { Some(Workers::of_threads(1, threads)?) };
        let cores = Workers::new(threads)?;
        let (lpips, prompts) = (None, OnceLock::new());
        Ok(Self { folder, config, cores, device, limits, lpips, replica, model, prompts })
    }

    /// A folder or file inside the run.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// What computes with networks: a replica per core, or one on a GPU.
    pub fn replicas(&self) -> &Workers {
        self.replica.as_ref().unwrap_or(&self.cores)
    }

    /// The model folder whose flow stands in for the base, if any.
    pub fn base_model(&self) -> Option<&BaseModel> {
        self.model.as_ref()
    }

    /// That there are scenes behind this run: what only they can teach is refused for a model folder.
    pub fn require_scenes(&self, what: &str) -> Result<()> {
        ensure!(
            self.model.is_none(),
            "{what} needs the scenes, and this run fine-tunes {}: choose another --run for it",
            self.config.model
        );
        Ok(())
    }

    /// The networks' shapes; the vocabulary is known once there is a tokenizer.
    pub fn architecture(&self) -> Architecture {
        match &self.model {
            Some(model) => model.architecture().clone(),
            None => Architecture::of(&self.config.sizes),
        }
    }

    /// The shapes with those of the text encoder complete.
    pub fn full_architecture(&self) -> Result<Architecture> {
        match &self.model {
            Some(model) => Ok(model.architecture().clone()),
            None => Ok(self.architecture().with_vocabulary(crate::bpe::size(&self.tokenizer_folder())?)),
        }
    }

    /// Where the tokenizer's files are.
    pub fn tokenizer_folder(&self) -> PathBuf {
        self.model.as_ref().map_or_else(|| self.path("tokenizer"), BaseModel::tokenizer_folder)
    }

    /// The tokenizer.
    pub fn tokenizer(&self) -> Result<Tokenizer> {
        match &self.model {
            Some(model) => model.tokenizer(),
            None => open_tokenizer(&self.tokenizer_folder(), self.config.sizes.tokens),
        }
    }

    /// What pairs are drawn for.
    pub fn prompts(&self) -> Result<&Prompts> {
        if let Some(prompts) = self.prompts.get() {
            return Ok(prompts);
        }
        let prompts = Prompts::open(&self.config.prompts)?;
        Ok(self.prompts.get_or_init(|| prompts))
    }

    /// The averaged weights that a stage has reached, on the CPU, without what only training asks: the heads of the base
    /// flow's text encoder and the decoder's discriminator.
    pub fn trained(&self, stage: Stage) -> Result<Tensors> {
        if let (Some(model), Stage::BASE) = (&self.model, stage) {
            return model.flow();
        }
        let found = training::trained(&self.checkpoint(stage))?;
        let mut weights = found.with_context(|| {
            format!(
                "{} has no {} yet: run `instaflow-trainer {}` first",
                self.folder.display(),
                stage.title(),
                stage.command()
            )
        })?;
        weights.retain(|name, _| {
            ![caption_probe::PREFIX, discriminator::PREFIX].iter().any(|part| name.starts_with(part))
        });
        Ok(weights)
    }

    /// Whether a stage has saved something.
    pub fn has_checkpoint(&self, stage: Stage) -> bool {
        (self.model.is_some() && stage == Stage::BASE) || self.checkpoint(stage).exists()
    }

    /// The decoder of the run's latents.
    pub fn decoder(&self) -> Result<Autoencoder> {
        let weights = match &self.model {
            Some(model) => model.autoencoder()?,
            None => self.trained(Stage::Decoder)?,
        };
        Ok(Autoencoder::new(self.frozen_builder(&weights, ""), &self.architecture().autoencoder)?)
    }

    /// The weights that a stage goes on with, or those that `first` gives where it has not begun.
    pub fn parameters(&self, stage: Stage, first: impl FnOnce() -> Result<Parameters>) -> Result<Parameters> {
        let Some(saved) = TensorFile::open(&self.checkpoint(stage))? else { return first() };
        let names = saved.names();
        let learns = |name: &str| names.binary_search(&format!("mean/{name}")).is_ok();
        Ok(Parameters::given(saved.below(training::AVERAGE)?, learns, &self.device)?)
    }

    /// Trains a stage; says how it ended.
    pub fn train(
        &self,
        stage: Stage,
        schedule: &Schedule,
        parameters: &Parameters,
        loss: Loss,
        look: Look,
    ) -> Result<()> {
        schedule.validate()?;
        let path = self.checkpoint(stage);
        let name = stage.name();
        let done = training::train(&path, &name, schedule, &self.limits, self.replicas(), parameters, loss, look)?;
        eprintln!("{name}: {}", if done { "done" } else { "stopped early; the same command goes on from here" });
        Ok(())
    }

    /// What networks that do not learn are built from: the tensors whose names begin with `prefix`, without it.
    pub fn frozen_builder(&self, tensors: &Tensors, prefix: &str) -> VarBuilder<'static> {
        let part = tensors
            .iter()
            .filter_map(|(name, tensor)| Some((name.strip_prefix(prefix)?.to_owned(), tensor.clone())))
            .collect();
        VarBuilder::from_tensors(part, DType::F32, &self.device)
    }

    /// Numbers of the host as a tensor where the networks are.
    pub fn tensor(&self, values: Vec<f32>, shape: impl Into<candle_core::Shape>) -> Result<Tensor> {
        Ok(Tensor::from_vec(values, shape.into(), &self.device)?)
    }

    /// The file that a stage goes on from.
    pub fn checkpoint(&self, stage: Stage) -> PathBuf {
        self.path(&stage.name()).join("state.safetensors")
    }
}

/// The tokenizer in a folder; prompts have at most `limit` tokens.
pub fn open_tokenizer(folder: &Path, limit: usize) -> Result<Tokenizer> {
    let read = |name: &str| {
        let path = folder.join(name);
        std::fs::read(&path)
            .with_context(|| format!("cannot read {}: run `instaflow-trainer tokenizer` first", path.display()))
    };
    let files = TokenizerFiles {
        folder: folder.to_owned(),
        vocab: Some(read("vocab.json")?),
        merges: Some(read("merges.txt")?),
        config: Some(read("tokenizer_config.json")?),
        special_tokens: Some(read("special_tokens_map.json")?),
        ..TokenizerFiles::default()
    };
    Ok(Tokenizer::new(&files, Some(limit))?)
}
