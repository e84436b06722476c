//! A run: the folder that all stages read from and write to, and the means to compute.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use candle_core::{DType, Device};
use candle_nn::VarBuilder;
use instaflow_engine::text::Tokenizer;
use instaflow_engine::text::tokenizer::TokenizerFiles;

use crate::config::Architecture;
use crate::files;
use crate::parameters::{Parameters, Tensors};
use crate::random::key;
use crate::training::{self, Limits, Look, Loss, Schedule};
use crate::workers::Workers;

/// What every stage gets.
pub struct Run {
    /// The folder, for example `runs/pocket`.
    pub folder: PathBuf,
    /// The shapes of the networks, the same from the first stage to the last.
    pub architecture: Architecture,
    /// One replica per core.
    pub workers: Workers,
    /// When to stop.
    pub limits: Limits,
}

/// The stages that train something, in their order. Each leaves its weights in its own folder of the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Pictures to latents and back.
    Autoencoder,
    /// Latents, normalised and then frozen, to pictures.
    Decoder,
    /// The flow from noise to latents.
    Base,
    /// The flow again, on the couplings of the first: 2-rectified flow.
    Reflow,
    /// The stacked one-step student.
    Distill,
}

impl Stage {
    /// The name of its folder and of its subcommand.
    pub fn name(self) -> &'static str {
        match self {
            Self::Autoencoder => "autoencoder",
            Self::Decoder => "decoder",
            Self::Base => "base",
            Self::Reflow => "reflow",
            Self::Distill => "distill",
        }
    }

    /// Keeps the random numbers of the stages apart.
    pub fn seed(self) -> u64 {
        self as u64 + 1
    }
}

impl Run {
    /// Opens a run, or begins one with `architecture`.
    pub fn open(folder: PathBuf, architecture: Architecture, workers: Workers, limits: Limits) -> Result<Self> {
        let path = folder.join("architecture.json");
        if path.exists() {
            let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
            let begun = Architecture::from_json(&text)
                .with_context(|| format!("{} is not an architecture that this program knows", path.display()))?;
            ensure!(
                begun == architecture,
                "{} was begun with other networks than this program trains: choose another --run",
                folder.display()
            );
        } else {
            files::write_json(&path, &serde_json::to_value(&architecture)?)?;
        }
        Ok(Self { folder, architecture, workers, limits })
    }

    /// A folder or file inside the run.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The tokenizer, and how many tokens it knows.
    pub fn tokenizer(&self) -> Result<(Tokenizer, usize)> {
        let folder = self.path("tokenizer");
        let vocabulary = crate::vocabulary::size(&folder)?;
        Ok((open_tokenizer(&folder, self.architecture.tokens)?, vocabulary))
    }

    /// The averaged weights that a stage has reached.
    pub fn trained(&self, stage: Stage) -> Result<Tensors> {
        let found = training::trained(&self.checkpoint(stage))?;
        let (tensors, _) = found.with_context(|| {
            format!("{} has no {} yet: run `instaflow-trainer {1}` first", self.folder.display(), stage.name())
        })?;
        Ok(tensors)
    }

    /// Whether a stage has saved something.
    pub fn begun(&self, stage: Stage) -> bool {
        self.checkpoint(stage).exists()
    }

    /// The weights that a stage goes on with, or those that `first` gives where it has not begun.
    pub fn parameters(&self, stage: Stage, first: impl FnOnce() -> Result<Parameters>) -> Result<Parameters> {
        let path = self.checkpoint(stage);
        let Some((saved, _)) = files::read_tensors(&path)? else { return first() };
        let strip = |(name, tensor): (&String, &candle_core::Tensor)| {
            Some((name.strip_prefix("average/")?.to_owned(), tensor.clone()))
        };
        let averages: Tensors = saved.iter().filter_map(strip).collect();
        Ok(Parameters::given(&averages, |name| training::is_trained(&saved, name))?)
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
        let path = self.checkpoint(stage);
        let name = stage.name();
        let done = training::train(&path, name, schedule, &self.limits, &self.workers, parameters, loss, look)?;
        eprintln!("{name}: {}", if done { "done" } else { "stopped early; the same command goes on from here" });
        Ok(())
    }

    fn checkpoint(&self, stage: Stage) -> PathBuf {
        self.path(stage.name()).join("state.safetensors")
    }
}

/// The tokenizer in a folder; prompts have at most `limit` tokens.
pub fn open_tokenizer(folder: &Path, limit: usize) -> Result<Tokenizer> {
    let read = |name: &str| {
        let path = folder.join(name);
        std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))
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

/// What networks that do not learn are built from: the tensors whose names begin with `prefix`, without it.
pub fn frozen(tensors: &Tensors, prefix: &str) -> VarBuilder<'static> {
    let part =
        tensors.iter().filter_map(|(name, tensor)| Some((name.strip_prefix(prefix)?.to_owned(), tensor.clone())));
    VarBuilder::from_tensors(part.collect(), DType::F32, &Device::Cpu)
}

/// A short name for exactly these values of the tensors whose names begin with `prefix`.
pub fn fingerprint(tensors: &Tensors, prefix: &str) -> Result<String> {
    let mut state = 0;
    for (name, tensor) in tensors.iter().filter(|(name, _)| name.starts_with(prefix)) {
        state = name.bytes().fold(state, |state, byte| key(&[state, u64::from(byte)]));
        let values = tensor.flatten_all()?.to_vec1::<f32>()?;
        state = values.iter().fold(state, |state, value| key(&[state, u64::from(value.to_bits())]));
    }
    Ok(format!("{state:016x}"))
}
