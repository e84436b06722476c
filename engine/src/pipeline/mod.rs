//! A prompt in, a picture out, on the calling thread. The worker and the command line are built on this.
//!
//! [`Models`] holds the open models: a student, a teacher or both, and perhaps a baseline. Parts with equal contents are
//! in memory only once.

use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use candle_core::{DType, Device};

use crate::adapters::Adapters;
use crate::protocol::{
    DeviceChoice, Failure, LoadProgress, ModelSummary, OpenRequest, Picture, Precision, Role, Settings, Step,
    TokenCount,
};
use crate::{Cancel, Error, Result, device};

use embedding_cache::EmbeddingCache;
use loaded_model::LoadedModel;

pub use latents::Latents;

mod blend;
mod conditioning;
mod draw;
mod embedding_cache;
mod latents;
mod loaded_model;
mod memory_estimate;
mod open;
mod path;
mod pixels;
mod random_models;
mod sampling;
mod textual_inversion;
mod validate;

/// A student, a teacher or both, and perhaps a baseline, loaded and ready to draw.
pub struct Models {
    student: Option<LoadedModel>,
    teacher: Option<LoadedModel>,
    baseline: Option<LoadedModel>,
    choice: DeviceChoice,
    device: Device,
    /// For example "CPU, 2 threads".
    device_name: String,
    dtype: DType,
    embeddings: Mutex<EmbeddingCache>,
    adapters: Adapters,
    /// Where LoRAs that a prompt names are looked for.
    lora_folders: Vec<PathBuf>,
    remarks: Vec<Failure>,
}

/// Published network shapes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shapes {
    /// Stable Diffusion 1.5, and also InstaFlow-0.9B and the 2-rectified flow.
    Sd15,
    /// InstaFlow-1.7B: the stacked U-Net.
    InstaFlow17b,
}

/// A picture and the latents that it was decoded from.
#[derive(Clone, Debug)]
pub struct Drawn {
    /// The picture.
    pub picture: Picture,
    /// (1, C, h, w), as the sampler left them: not divided by `scaling_factor`.
    pub latents: Latents,
}

impl Models {
    /// Opens models. `progress` is called before each part is loaded.
    pub fn open(request: &OpenRequest, progress: &mut dyn FnMut(LoadProgress)) -> Result<Self> {
        Self::open_reusing(None, request, progress, &Cancel::default())
    }

    /// Like [`Models::open`], but reuses parts of `previous` that have equal contents, and stops between two tensors once
    /// cancelled.
    pub fn open_reusing(
        previous: Option<&Self>,
        request: &OpenRequest,
        progress: &mut dyn FnMut(LoadProgress),
        cancel: &Cancel,
    ) -> Result<Self> {
        open::open(previous, request, progress, cancel).map_err(|error| {
            name_out_of_memory(error, "close other programs that use the GPU, or open a smaller model")
        })
    }

    /// A student of a published shape with random weights and a tiny decoder of TAESD's shape, for timing.
    pub fn random(shapes: Shapes, device: DeviceChoice, precision: Option<Precision>) -> Result<Self> {
        random_models::open(shapes, device, precision)
            .map_err(|error| name_out_of_memory(error, "close other programs that use the GPU"))
    }

    /// Describes what is open.
    pub fn summary(&self) -> ModelSummary {
        ModelSummary {
            student: self.student.as_ref().map(|model| model.card.clone()),
            teacher: self.teacher.as_ref().map(|model| model.card.clone()),
            baseline: self.baseline.as_ref().map(|model| model.card.clone()),
            device: self.device_name.clone(),
            precision: device::precision(self.dtype),
            remarks: self.remarks.clone(),
        }
    }

    /// Counts the tokens of the settings' prompt for the model that they name, or another one if it is not open.
    pub fn count_tokens(&self, settings: &Settings) -> TokenCount {
        let named = self.model(settings.role).ok();
        if let Some(model) = named.or(self.student.as_ref()).or(self.teacher.as_ref()) {
            return model.count_tokens(settings);
        }
        let prompt = settings.prompt.clone();
        TokenCount { cut_at: prompt.len(), prompt, ..TokenCount::default() }
    }

    /// Draws one picture. If `noise` (1, C, h, w) is given, it replaces the seed's noise and determines the size. `observer`
    /// is called after every step. Once cancelled, this ends with [`Error::Cancelled`] at the next network block.
    pub fn draw(
        &self,
        settings: &Settings,
        noise: Option<&Latents>,
        observer: &mut dyn FnMut(Step),
        cancel: &Cancel,
    ) -> Result<Drawn> {
        draw::draw(self, settings, noise, observer, cancel).map_err(|error| {
            name_out_of_memory(error, "choose a smaller size, or close other programs that use the GPU")
        })
    }

    /// Decodes the latents (1, C, h, w) of one picture, as a sampler left them, with the decoder that the settings name. The
    /// other settings say what was drawn, and by which model.
    pub fn decode(&self, settings: &Settings, latents: &Latents, cancel: &Cancel) -> Result<Picture> {
        draw::decode_again(self, settings, latents, cancel)
            .map_err(|error| name_out_of_memory(error, "close other programs that use the GPU"))
    }

    /// Forgets the text embeddings, so that the next picture's prompt is encoded again.
    pub fn clear_cache(&self) {
        self.embeddings().clear();
    }

    /// On a device, without a model. `parameters` is how many the largest U-Net will have.
    fn empty(choice: DeviceChoice, precision: Option<Precision>, parameters: u64) -> Result<Self> {
        Self::on(choice, device::open(choice)?, precision, parameters)
    }

    /// On the same device, without a model.
    fn emptied(&self, precision: Option<Precision>, parameters: u64) -> Result<Self> {
        Self::on(self.choice, (self.device.clone(), self.device_name.clone()), precision, parameters)
    }

    fn on(
        choice: DeviceChoice,
        (device, device_name): (Device, String),
        precision: Option<Precision>,
        parameters: u64,
    ) -> Result<Self> {
        Ok(Self {
            student: None,
            teacher: None,
            baseline: None,
            choice,
            dtype: device::dtype(&device, precision, parameters)?,
            device,
            device_name,
            embeddings: Mutex::default(),
            adapters: Adapters::default(),
            lora_folders: Vec::new(),
            remarks: Vec::new(),
        })
    }

    fn model(&self, role: Role) -> Result<&LoadedModel> {
        let (model, sentence) = match role {
            Role::Student => {
                (&self.student, "only a teacher is open: open a student as well, or draw with the teacher")
            }
            Role::Teacher => (&self.teacher, "no teacher is open: open a pair, or a second folder as the teacher"),
            Role::Baseline => (&self.baseline, "no baseline is open: open a third folder as the baseline"),
        };
        model.as_ref().ok_or_else(|| Error::Setting(sentence.to_owned()))
    }

    fn embeddings(&self) -> MutexGuard<'_, EmbeddingCache> {
        self.embeddings.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Puts a GPU's refusal of memory, which arrives as an error of the tensor library, into a sentence.
fn name_out_of_memory(error: Error, advice: &str) -> Error {
    match error {
        Error::Tensor(_) if error.is_out_of_memory() => {
            Error::OutOfMemory(format!("the GPU is out of memory: {advice}"))
        }
        error => error,
    }
}
