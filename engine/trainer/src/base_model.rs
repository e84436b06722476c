//! A model folder that a run fine-tunes: its flow takes the place of the base flow. Change here how its weights are
//! loaded; the engine's `checkpoint` knows the layout.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use candle_core::{DType, Device, Shape, Tensor};
use candle_nn::var_builder::SimpleBackend;
use candle_nn::{Init, VarBuilder};
use instaflow_engine::checkpoint::{Component, Files, ModelFolder};
use instaflow_engine::text::{TextEncoder, Tokenizer};
use instaflow_engine::unet::UNet;
use instaflow_engine::vae::Autoencoder;

use crate::architecture::{Architecture, TEXT, UNET};
use crate::parameters::Tensors;

/// An opened and checked folder. Weights are read on request.
pub struct BaseModel {
    path: PathBuf,
    folder: ModelFolder,
    architecture: Architecture,
}

impl BaseModel {
    /// Opens a rectified flow in Diffusers layout.
    pub fn open(path: &Path) -> Result<Self> {
        let folder = ModelFolder::open(&Files::open_folder(path)?, None, None)?;
        let config = |component: &Component| component.config().clone();
        let (text, unet, vae) = (folder.text_encoder(), folder.unet(), folder.vae());
        let architecture = Architecture::of_folder(config(text), config(unet), config(vae))
            .with_context(|| format!("{} cannot be trained", path.display()))?;
        let (text_config, unet_config) = (architecture.text_encoder()?, architecture.unet(1)?);
        text.check(DType::F32, |vb| TextEncoder::new(vb, &text_config))?;
        unet.check(DType::F32, |vb| UNet::new(vb, &unet_config))?;
        vae.check(DType::F32, |vb| Autoencoder::new(vb, vae.config()))?;
        Ok(Self { path: path.to_owned(), folder, architecture })
    }

    /// The networks' shapes.
    pub fn architecture(&self) -> &Architecture {
        &self.architecture
    }

    /// Where its tokenizer's files are.
    pub fn tokenizer_folder(&self) -> PathBuf {
        self.path.join("tokenizer")
    }

    /// Its tokenizer.
    pub fn tokenizer(&self) -> Result<Tokenizer> {
        Ok(self.folder.tokenizer()?)
    }

    /// Text encoder and U-Net, named as in a run's checkpoints.
    pub fn flow(&self) -> Result<Tensors> {
        let (text, unet) = (self.architecture.text_encoder()?, self.architecture.unet(1)?);
        let mut all = Tensors::new();
        let mut add = |prefix: &str, part: Tensors| {
            all.extend(part.into_iter().map(|(name, tensor)| (format!("{prefix}{name}"), tensor)));
        };
        add(TEXT, read_component(self.folder.text_encoder(), |vb| TextEncoder::new(vb, &text).map(drop))?);
        add(UNET, read_component(self.folder.unet(), |vb| UNet::new(vb, &unet).map(drop))?);
        Ok(all)
    }

    /// Its full autoencoder.
    pub fn autoencoder(&self) -> Result<Tensors> {
        read_component(self.folder.vae(), |vb| Autoencoder::new(vb, self.folder.vae().config()).map(drop))
    }
}

/// The tensors that a network takes from its component, in f32, under the names that it asks for. What the files call
/// them and how they are split does not matter.
fn read_component(component: &Component, build: impl FnOnce(VarBuilder) -> candle_core::Result<()>) -> Result<Tensors> {
    let requested = Arc::new(Mutex::new(Tensors::new()));
    let backend = RecordingBackend {
        source: component.builder(DType::F32, &Device::Cpu, &instaflow_engine::Cancel::default()),
        requested: Arc::clone(&requested),
    };
    build(VarBuilder::from_backend(Box::new(backend), DType::F32, Device::Cpu))?;
    let mut requested = requested.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(std::mem::take(&mut *requested))
}

/// Remembers each tensor that is asked for.
struct RecordingBackend {
    source: VarBuilder<'static>,
    requested: Arc<Mutex<Tensors>>,
}

impl SimpleBackend for RecordingBackend {
    fn get(&self, shape: Shape, name: &str, hint: Init, _: DType, _: &Device) -> candle_core::Result<Tensor> {
        let tensor = self.source.get_with_hints(shape, name, hint)?;
        self.requested.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), tensor.clone());
        Ok(tensor)
    }

    fn get_unchecked(&self, name: &str, _: DType, _: &Device) -> candle_core::Result<Tensor> {
        candle_core::bail!("tensor {name} was asked for without its shape")
    }

    fn contains_tensor(&self, name: &str) -> bool {
        self.source.contains_tensor(name)
    }
}
