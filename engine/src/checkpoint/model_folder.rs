//! A model folder in Diffusers layout: which parts it has, and whether they belong together.

use std::sync::Arc;

use serde_json::Value;

use super::component::{Component, class_name, read_json};
use super::digest;
use super::files::{Files, TABLE_LIMIT};
use super::recipe::{self, Configs, Recipe};
use super::vocabulary;
use crate::diffusion::Schedule;
use crate::protocol::{Prediction, Words};
use crate::text::tokenizer::TokenizerFiles;
use crate::text::{TextConfig, Tokenizer};
use crate::unet::{UNetConfig, meant_side};
use crate::{Error, Result};

mod carry;

const INDEX: &str = "model_index.json";

const SCHEDULER: &str = "scheduler_config.json";

const KL: &str = "AutoencoderKL";
const TINY: &str = "AutoencoderTiny";

/// The parts of one model, opened and consistent with each other but not loaded.
#[derive(Debug)]
pub struct ModelFolder {
    name: String,
    recipe: Recipe,
    scheduler: Files,
    /// The folder that holds its vocabulary.json, if it has one.
    vocabulary: Files,
    tokenizer: Files,
    text_encoder: Arc<Component>,
    unet: Arc<Component>,
    vae: Arc<Component>,
    vae_tiny: Option<Arc<Component>>,
    latent_channels: usize,
    latent_factor: usize,
    sample_size: (usize, usize),
}

impl ModelFolder {
    /// Opens the parts of a folder, taking those that it lacks from `fallback`, and checks that they belong together.
    /// `wanted` is what the person says that the U-Net predicts.
    pub fn open(files: &Files, fallback: Option<&Self>, wanted: Option<Prediction>) -> Result<Self> {
        let own_or_theirs = |name: &str, theirs: Option<&Files>| {
            let own = files.folder(name);
            theirs.filter(|_| !own.exists()).cloned().unwrap_or(own)
        };
        let scheduler = own_or_theirs("scheduler", fallback.map(|it| &it.scheduler));
        let recipe = recipe_of(files, &scheduler, wanted)?;
        if let Files::Single { file, .. } = files {
            file.check_whole()?;
        }
        if !files.folder("unet").exists() && fallback.is_none() {
            return Err(files.missing("", "holds no unet/: give a model folder in Diffusers layout, or a pair of them"));
        }
        let part = |name: &str, theirs: Option<&Arc<Component>>, classes: &[&str]| {
            let folder = files.folder(name);
            match theirs {
                Some(theirs) if !folder.exists() => Ok(Arc::clone(theirs)),
                _ => open_part(&folder, classes).map(Arc::new),
            }
        };
        let text_encoder = part("text_encoder", fallback.map(|it| &it.text_encoder), &["CLIPTextModel"])?;
        let unet_classes = ["UNet2DConditionModel", "StackedUNet2DConditionModel"];
        let unet = part("unet", fallback.map(|it| &it.unet), &unet_classes)?;
        let vae = part("vae", fallback.map(|it| &it.vae), &[KL, TINY])?;

        let tokenizer = own_or_theirs("tokenizer", fallback.map(|it| &it.tokenizer));
        let mut model = Self {
            name: files.name(),
            vocabulary: match fallback {
                Some(theirs) if !vocabulary::is_in(files) => theirs.vocabulary.clone(),
                _ => files.clone(),
            },
            latent_channels: latent_channels(&vae)?,
            latent_factor: latent_factor(&vae)?,
            sample_size: sample_size(&unet)?,
            recipe,
            scheduler,
            tokenizer,
            text_encoder,
            unet,
            vae,
            vae_tiny: None,
        };
        model.check_channels()?;
        if model.recipe.prediction != Prediction::Flow {
            model.schedule()?;
        }

        let tiny = files.folder("vae_tiny");
        if tiny.exists() {
            model.set_vae_tiny(Arc::new(Self::open_tiny(&tiny)?))?;
        } else if let Some(theirs) = fallback.and_then(|it| it.vae_tiny.clone()) {
            // A student with a `vae/` of its own may have other latents than the teacher's tiny decoder.
            let _ = model.set_vae_tiny(theirs);
        }
        Ok(model)
    }

    /// Opens an AutoencoderTiny on its own, for [`Self::set_vae_tiny`].
    pub fn open_tiny(files: &Files) -> Result<Component> {
        match files {
            Files::Single { .. } => open_part(&files.folder("vae"), &[TINY]),
            folder => open_part(folder, &[TINY]),
        }
    }

    /// Uses the autoencoder in this folder or file in place of its own: a part such as `vae/`, or the part of a whole model.
    /// A file whose shape does not tell its config has this model's.
    pub fn replace_vae(&mut self, files: &Files) -> Result<()> {
        let vae = match files {
            Files::Single { file, .. } => file.vae_beside(&self.vae)?,
            folder if folder.names().iter().any(|name| name == "config.json") => open_part(folder, &[KL, TINY])?,
            folder => open_part(&folder.folder("vae"), &[KL, TINY])?,
        };
        (self.latent_channels, self.latent_factor) = (latent_channels(&vae)?, latent_factor(&vae)?);
        self.vae = Arc::new(vae);
        self.check_channels()?;
        // A tiny decoder of other latents than the new one's has no use.
        if let Some(tiny) = self.vae_tiny.take() {
            let _ = self.set_vae_tiny(tiny);
        }
        Ok(())
    }

    /// Uses this tiny decoder in place of the folder's own. Its latents must be the model's.
    pub fn set_vae_tiny(&mut self, tiny: Arc<Component>) -> Result<()> {
        let (channels, factor) = (latent_channels(&tiny)?, latent_factor(&tiny)?);
        if (channels, factor) != (self.latent_channels, self.latent_factor) {
            let message = format!(
                "decodes {channels} latent channels enlarged {factor} times, but this model has {} and {}: \
                 use the tiny decoder that was made for it",
                self.latent_channels, self.latent_factor
            );
            return Err(tiny.config_fault(message));
        }
        self.vae_tiny = Some(tiny);
        Ok(())
    }

    /// Reads the tokenizer and checks that the text encoder knows all its ids.
    pub fn tokenizer(&self) -> Result<Tokenizer> {
        read_tokenizer(&self.tokenizer, Some(self.text_encoder.config()))
    }

    /// What the U-Net predicts and how the model is drawn.
    pub fn recipe(&self) -> &Recipe {
        &self.recipe
    }

    /// Reads the noise schedule for the samplers of diffusion models. Folders of flows have one too, but it is not used.
    pub fn schedule(&self) -> Result<Schedule> {
        let config = read_json(&self.scheduler, SCHEDULER)?.ok_or_else(|| {
            let message = "does not exist, but Stable Diffusion's samplers need it: fetch the whole folder";
            self.scheduler.fault(SCHEDULER, message)
        })?;
        let checked = class_name(&config).and_then(|_| Schedule::from_json(&config));
        let schedule = checked.map_err(|message| self.scheduler.fault(SCHEDULER, message))?;
        Ok(self.recipe.schedule_of(schedule))
    }

    /// The contents of its vocabulary.json; `None` if it has none.
    pub fn words(&self) -> Result<Option<Words>> {
        vocabulary::read(&self.vocabulary)
    }

    /// A CLIPTextModel.
    pub fn text_encoder(&self) -> &Arc<Component> {
        &self.text_encoder
    }

    /// A UNet2DConditionModel, or several in series.
    pub fn unet(&self) -> &Arc<Component> {
        &self.unet
    }

    /// An AutoencoderKL or an AutoencoderTiny.
    pub fn vae(&self) -> &Arc<Component> {
        &self.vae
    }

    /// An AutoencoderTiny beside the full decoder, with the same latents.
    pub fn vae_tiny(&self) -> Option<&Arc<Component>> {
        self.vae_tiny.as_ref()
    }

    /// The folder's name, or "Pocket".
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Names the model after its pair.
    pub(super) fn rename(&mut self, name: String) {
        self.name = name;
    }

    /// Uses the vocabulary.json of its pair, if there is one.
    pub(super) fn set_vocabulary(&mut self, pair: &Files) {
        if vocabulary::is_in(pair) {
            self.vocabulary = pair.clone();
        }
    }

    /// The first ten hex digits of the digest of everything that affects a picture: text encoder, U-Net and full decoder.
    pub fn hash(&self) -> String {
        let parts = [&self.text_encoder, &self.unet, &self.vae];
        let mut hash = digest::combine(parts.map(|part| part.digest()));
        hash.truncate(10);
        hash
    }

    /// Channels of a latent: 4 in Stable Diffusion.
    pub fn latent_channels(&self) -> usize {
        self.latent_channels
    }

    /// Pixels along each side of one latent: 8 in Stable Diffusion.
    pub fn latent_factor(&self) -> usize {
        self.latent_factor
    }

    /// The model's own picture size, width and height in pixels: `sample_size` times the decoder's factor.
    pub fn size(&self) -> (u32, u32) {
        let (width, height) = self.sample_size;
        ((width * self.latent_factor) as u32, (height * self.latent_factor) as u32)
    }

    /// Checks that the U-Net takes and gives latents of this decoder and embeddings of this text encoder.
    fn check_channels(&self) -> Result<()> {
        // Anything that a config omits has the network's default.
        let (text, unet) = (TextConfig::default(), UNetConfig::default());
        let width = self.text_encoder.number("hidden_size")?.unwrap_or(text.hidden_size);
        let expected = [
            ("in_channels", unet.in_channels, self.latent_channels, "latent channels of vae/"),
            ("out_channels", unet.out_channels, self.latent_channels, "latent channels of vae/"),
            ("cross_attention_dim", unet.cross_attention_dim, width, "hidden_size of text_encoder/"),
        ];
        for (key, default, theirs, what) in expected {
            // The constructor checks lists with one number per level.
            if self.unet.config()[key].is_array() {
                continue;
            }
            let ours = self.unet.number(key)?.unwrap_or(default);
            if ours != theirs {
                let message =
                    format!("has {key} = {ours}, but the {what} are {theirs}: these parts do not belong together");
                return Err(self.unet.config_fault(message));
            }
        }
        Ok(())
    }
}

/// What a folder's model predicts and how it is drawn. The scheduler's config has a say here, but it is checked only if it
/// is needed.
pub(super) fn recipe_of(files: &Files, scheduler: &Files, wanted: Option<Prediction>) -> Result<Recipe> {
    let index = read_json(files, INDEX)?.unwrap_or_default();
    let pipeline = class_name(&index).map_err(|message| files.fault(INDEX, message))?;
    let scheduler = read_json(scheduler, SCHEDULER).unwrap_or_default();
    let (name, is_folder, prediction) = match files {
        Files::Folder(path) => (path.canonicalize().unwrap_or_else(|_| path.clone()).display().to_string(), true, None),
        Files::Embedded { .. } => (files.name(), true, None),
        // A folder of configs that goes with a file says what it would say of its own model.
        Files::Single { file, .. } => (file.path().display().to_string(), file.has_configs(), file.prediction()),
    };
    let configs = Configs { is_folder, pipeline, scheduler: scheduler.as_ref(), prediction };
    recipe::of(&name, "", configs, wanted).map_err(|error| match error {
        Error::Setting(message) => files.fault(INDEX, message),
        error => error,
    })
}

/// Opens a component of one of these classes. If its config names no class, the network's constructor checks the rest.
pub(super) fn open_part(files: &Files, classes: &[&str]) -> Result<Component> {
    let component = Component::open(files)?;
    match component.class() {
        Some(class) if !classes.contains(&class) => {
            Err(component.config_fault(format!("is for the class {class}, but {} is expected", classes.join(" or "))))
        }
        _ => Ok(component),
    }
}

/// Reads a `tokenizer/` folder. `text_config` is the text encoder's config, which says how many tokens it takes and knows.
pub(super) fn read_tokenizer(files: &Files, text_config: Option<&Value>) -> Result<Tokenizer> {
    if !files.exists() {
        return Err(match files {
            Files::Single { .. } => {
                files.fault("", "has a text encoder of an unknown kind: give a folder with its tokenizer")
            }
            _ => files.missing("", "does not exist, but the model needs it: fetch the whole folder"),
        });
    }
    // The tokenizer's own errors would name lines and letters where the file is something else altogether.
    let read = |name: &str| Ok::<_, Error>(files.read_text(name, TABLE_LIMIT)?.map(String::into_bytes));
    let contents = TokenizerFiles {
        folder: files.path(),
        tokenizer_json: read("tokenizer.json")?,
        vocab: read("vocab.json")?,
        merges: read("merges.txt")?,
        config: read("tokenizer_config.json")?,
        special_tokens: read("special_tokens_map.json")?,
        added_tokens: read("added_tokens.json")?,
    };
    let number = |key: &str, default: usize| {
        text_config.map(|config| config[key].as_u64().map_or(default, |number| number as usize))
    };
    let defaults = TextConfig::default();
    let tokenizer = Tokenizer::new(&contents, number("max_position_embeddings", defaults.max_position_embeddings))?;
    match number("vocab_size", defaults.vocab_size) {
        Some(known) if tokenizer.vocabulary_size() > known => {
            let message = format!(
                "has ids up to {}, but the text encoder beside it knows {known}: these parts do not belong together",
                tokenizer.vocabulary_size() - 1
            );
            Err(files.fault("", message))
        }
        _ => Ok(tokenizer),
    }
}

fn latent_channels(vae: &Component) -> Result<usize> {
    Ok(vae.number("latent_channels")?.unwrap_or(4))
}

/// By how much a decoder enlarges each side. It doubles them between every two levels, or enlarges them as its config says.
fn latent_factor(vae: &Component) -> Result<usize> {
    let tiny = vae.class() == Some(TINY);
    let key = if tiny { "num_decoder_blocks" } else { "block_out_channels" };
    let levels = vae.levels(key)?.unwrap_or(4);
    let step = if tiny { vae.number("upsampling_scaling_factor")?.unwrap_or(2) } else { 2 };
    let factor = step.checked_pow(levels - 1).filter(|&factor| factor <= 1024);
    factor.ok_or_else(|| vae.config_fault(format!("enlarges {step} times between {levels} levels, which is too much")))
}

/// Width and height of the latents that the U-Net was trained on. config.json gives one number, or height and width. If
/// it gives none, the size is Stable Diffusion's 64, as in Diffusers.
fn sample_size(unet: &Component) -> Result<(usize, usize)> {
    let side = |value: &Value| value.as_u64().filter(|side| (1..=1024).contains(side)).map(|side| side as usize);
    let value = &unet.config()["sample_size"];
    let size = match value {
        Value::Null => Some((64, 64)),
        Value::Array(sides) if sides.len() == 2 => side(&sides[1]).zip(side(&sides[0])),
        one => side(one).map(|side| [meant_side(side, unet.config()["_diffusers_version"].as_str()); 2].into()),
    };
    let fault = || -> Error { unet.config_fault(format!("has sample_size = {value}, but 1 to 1024 is expected")) };
    size.ok_or_else(fault)
}
