//! From folders to loaded models: all configs and headers are checked first, then the free memory, then weights are read.

use std::collections::HashMap;
use std::sync::Arc;

use candle_nn::VarBuilder;

use super::loaded_model::{Denoiser, LoadedModel, Part, Text, Vae};
use super::textual_inversion::{self, EmbeddingFile};
use super::{Models, memory_estimate};
use crate::adapters::Own;
use crate::checkpoint::{self, Component, ModelFolder, Size};
use crate::protocol::{Failure, LoadProgress, ModelPart, Network, OpenRequest, Role};
use crate::text::{TextConfig, TextEncoder};
use crate::unet::{UNet, UNetConfig};
use crate::vae::{Autoencoder, AutoencoderConfig};
use crate::{Cancel, Result, layers};

/// See [`Models::open_reusing`].
pub(super) fn open(
    previous: Option<&Models>,
    request: &OpenRequest,
    progress: &mut dyn FnMut(LoadProgress),
    cancel: &Cancel,
) -> Result<Models> {
    let opened = checkpoint::open(request)?;
    let folders = opened.student.iter().chain(&opened.teacher).chain(&opened.baseline);
    let parameters = folders.map(|folder| folder.unet().values()).max().unwrap_or(0);
    let (embeddings, unreadable) = textual_inversion::read(&request.embeddings)?;
    let mut models = match previous.filter(|previous| previous.choice == request.device) {
        Some(previous) => previous.emptied(request.precision, parameters)?,
        None => Models::empty(request.device, request.precision, parameters)?,
    };
    models.lora_folders.clone_from(&request.lora_folders);
    let mut cache = previous.map(|previous| PartCache::of(previous, &models)).unwrap_or_default();

    let mut sizes = HashMap::new();
    for folder in opened.student.iter().chain(&opened.teacher).chain(&opened.baseline) {
        check(folder, &models, &mut sizes)?;
        if let Err(error) = folder.words() {
            let remark = Failure::from(&error);
            if !models.remarks.contains(&remark) {
                models.remarks.push(remark);
            }
        }
    }
    let folders = opened.student.iter().chain(&opened.teacher).chain(&opened.baseline);
    let widths = folders.map(|folder| Ok((folder.name(), text_config(folder.text_encoder())?.hidden_size)));
    models.remarks.extend(unreadable);
    models.remarks.extend(textual_inversion::check(&embeddings, &widths.collect::<Result<Vec<_>>>()?)?);
    let missing = sizes.iter().filter(|(digest, _)| !cache.holds(digest));
    let bytes = missing.map(|(_, size)| size.bytes).sum();
    memory_estimate::check_parameters(&models, bytes, "this model")?;

    let mebibytes = |bytes: u64| bytes.div_ceil(1 << 20) as u32;
    let total = mebibytes(bytes);
    let mut begin = |part: ModelPart| {
        cancel.check()?;
        progress(LoadProgress { part, done: mebibytes(cancel.bytes_read()).min(total), total });
        Ok(cancel.clone())
    };
    models.student = opened
        .student
        .map(|folder| load(&folder, Role::Student, &models, &sizes, &embeddings, &mut cache, &mut begin))
        .transpose()?;
    models.teacher = opened
        .teacher
        .map(|folder| load(&folder, Role::Teacher, &models, &sizes, &embeddings, &mut cache, &mut begin))
        .transpose()?;
    models.baseline = opened
        .baseline
        .map(|folder| load(&folder, Role::Baseline, &models, &sizes, &embeddings, &mut cache, &mut begin))
        .transpose()?;
    Ok(models)
}

/// The parts that are already in memory, by kind.
#[derive(Default)]
struct PartCache {
    texts: Vec<Arc<Text>>,
    unets: Vec<Arc<Denoiser>>,
    vaes: Vec<Arc<Vae>>,
}

impl PartCache {
    /// The parts of `previous` that `models` can use: those on the same device and of the same type.
    fn of(previous: &Models, models: &Models) -> Self {
        let mut cache = Self::default();
        if previous.dtype != models.dtype || !previous.device.same_device(&models.device) {
            return cache;
        }
        for model in previous.student.iter().chain(&previous.teacher).chain(&previous.baseline) {
            cache.texts.push(model.text.clone());
            cache.unets.push(model.unet.clone());
            cache.vaes.push(model.vae.clone());
            cache.vaes.extend(model.tiny.clone());
        }
        cache
    }

    fn holds(&self, digest: &str) -> bool {
        self.texts.iter().any(|part| part.digest == digest)
            || self.unets.iter().any(|part| part.digest == digest)
            || self.vaes.iter().any(|part| part.digest == digest)
    }
}

/// Checks every part of a folder against its config and records its size under its digest.
fn check(folder: &ModelFolder, models: &Models, sizes: &mut HashMap<String, Size>) -> Result<()> {
    let component = folder.text_encoder();
    let config = text_config(component)?;
    record_size(sizes, component, || component.check(models.dtype, |vb| TextEncoder::new(vb, &config)))?;
    let component = folder.unet();
    let config = unet_config(component)?;
    record_size(sizes, component, || component.check(models.dtype, |vb| UNet::new(vb, &config)))?;
    for component in [folder.vae()].into_iter().chain(folder.vae_tiny()) {
        vae_config(component)?;
        record_size(sizes, component, || {
            // All of it must be sound, but only the decoder is loaded, which some files hold alone.
            if component.holds("encoder.") {
                component.check(models.dtype, |vb| Autoencoder::new(vb, component.config()))?;
            }
            component.check(models.dtype, |vb| Autoencoder::decoder(vb, component.config()))
        })?;
    }
    Ok(())
}

fn record_size(
    sizes: &mut HashMap<String, Size>,
    component: &Component,
    check: impl FnOnce() -> Result<Size>,
) -> Result<()> {
    if !sizes.contains_key(component.digest()) {
        sizes.insert(component.digest().to_owned(), check()?);
    }
    Ok(())
}

fn load(
    folder: &ModelFolder,
    role: Role,
    models: &Models,
    sizes: &HashMap<String, Size>,
    embeddings: &[EmbeddingFile],
    cache: &mut PartCache,
    begin: &mut dyn FnMut(ModelPart) -> Result<Cancel>,
) -> Result<LoadedModel> {
    let tokenizer = folder.tokenizer()?;
    let mut begin = |network| begin(ModelPart { role, network });

    let component = folder.text_encoder();
    let config = text_config(component)?;
    let text = load_part(&mut cache.texts, component, models, sizes, config, TextEncoder::new, || {
        begin(Network::TextEncoder)
    })?;
    let component = folder.unet();
    let config = unet_config(component)?;
    let unet = load_part(&mut cache.unets, component, models, sizes, config, UNet::new, || begin(Network::UNet))?;
    let mut decoder = |component: &Arc<Component>, network| {
        let config = vae_config(component)?;
        let build = |vb, _: &_| Autoencoder::decoder(vb, component.config());
        load_part(&mut cache.vaes, component, models, sizes, config, build, || begin(network))
    };
    let vae = decoder(folder.vae(), Network::Decoder)?;
    let tiny = folder.vae_tiny().map(|component| decoder(component, Network::TinyDecoder)).transpose()?;
    let stepping = (role, folder.recipe().clone(), folder.schedule().map_err(|error| error.to_string()));
    let (named, added) = textual_inversion::for_model(embeddings, &tokenizer, &text.config, models)?;
    let model = LoadedModel::new(folder.name().to_owned(), folder.hash(), stepping, tokenizer, text, unet, vae, tiny);
    // If they cannot be read, `open` has added a remark.
    Ok(model.with_words(folder.words().unwrap_or_default()).with_embeddings(named, added))
}

/// A part from the cache, or a newly loaded one, which is added to the cache. `begin` is called before anything is loaded
/// and gives the flag that stops it.
fn load_part<N, C>(
    cache: &mut Vec<Arc<Part<N, C>>>,
    component: &Arc<Component>,
    models: &Models,
    sizes: &HashMap<String, Size>,
    config: C,
    build: impl FnOnce(VarBuilder<'static>, &C) -> candle_core::Result<N>,
    begin: impl FnOnce() -> Result<Cancel>,
) -> Result<Arc<Part<N, C>>> {
    let digest = component.digest();
    if let Some(part) = cache.iter().find(|part| part.digest == digest) {
        return Ok(part.clone());
    }
    let cancel = begin()?;
    let _span = tracing::info_span!("load", part = %component.path().display()).entered();
    let (network, registry) =
        layers::collect(|| build(component.builder(models.dtype, &models.device, &cancel), &config));
    // A cancellation arrives as an error of the tensor library.
    cancel.check()?;
    let parameters = sizes.get(digest).map_or(0, |size| size.parameters);
    let own = Own::Files(Arc::clone(component));
    let part = Arc::new(Part::new(digest.to_owned(), (network?, registry), own, config, parameters));
    cache.push(part.clone());
    Ok(part)
}

fn text_config(component: &Component) -> Result<TextConfig> {
    let config: TextConfig = component.parse()?;
    config.validate().map_err(|message| component.config_fault(message))?;
    Ok(config)
}

fn unet_config(component: &Component) -> Result<UNetConfig> {
    let config: UNetConfig = component.parse()?;
    config.validate().map_err(|message| component.config_fault(message))?;
    Ok(config)
}

fn vae_config(component: &Component) -> Result<AutoencoderConfig> {
    AutoencoderConfig::from_json(component.config()).map_err(|message| component.config_fault(message))
}
