//! A model folder as the start of a run: its flow takes the base flow's place. Change here how its weights are taken
//! over; the engine's `checkpoint` knows the layout.

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

use crate::architecture::Architecture;
use crate::flow::{TEXT, UNET};
use crate::parameters::Tensors;

/// An opened folder, checked; weights are read when they are asked for.
pub struct Model {
    path: PathBuf,
    folder: ModelFolder,
    architecture: Architecture,
}

impl Model {
    /// Opens a rectified flow in Diffusers layout.
    pub fn open(path: &Path) -> Result<Self> {
        let folder = ModelFolder::open(&Files::open_folder(path)?, None)?;
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
        let mut take = |prefix: &str, part: Tensors| {
            all.extend(part.into_iter().map(|(name, tensor)| (format!("{prefix}{name}"), tensor)));
        };
        take(TEXT, read(self.folder.text_encoder(), |vb| TextEncoder::new(vb, &text).map(drop))?);
        take(UNET, read(self.folder.unet(), |vb| UNet::new(vb, &unet).map(drop))?);
        Ok(all)
    }

    /// Its full autoencoder.
    pub fn autoencoder(&self) -> Result<Tensors> {
        read(self.folder.vae(), |vb| Autoencoder::new(vb, self.folder.vae().config()).map(drop))
    }
}

/// The tensors that a network takes from its component, under the names that it asks for: whatever the files call them,
/// however they are split, in f32.
fn read(component: &Component, build: impl FnOnce(VarBuilder) -> candle_core::Result<()>) -> Result<Tensors> {
    let taken = Arc::new(Mutex::new(Tensors::new()));
    let note = Note {
        from: component.builder(DType::F32, &Device::Cpu, &instaflow_engine::Cancel::default()),
        taken: Arc::clone(&taken),
    };
    build(VarBuilder::from_backend(Box::new(note), DType::F32, Device::Cpu))?;
    let mut taken = taken.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(std::mem::take(&mut *taken))
}

/// Notes what is asked for.
struct Note {
    from: VarBuilder<'static>,
    taken: Arc<Mutex<Tensors>>,
}

impl SimpleBackend for Note {
    fn get(&self, shape: Shape, name: &str, hint: Init, _: DType, _: &Device) -> candle_core::Result<Tensor> {
        let tensor = self.from.get_with_hints(shape, name, hint)?;
        self.taken.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), tensor.clone());
        Ok(tensor)
    }

    fn get_unchecked(&self, name: &str, _: DType, _: &Device) -> candle_core::Result<Tensor> {
        candle_core::bail!("tensor {name} was asked for without its shape")
    }

    fn contains_tensor(&self, name: &str) -> bool {
        self.from.contains_tensor(name)
    }
}
