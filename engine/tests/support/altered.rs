//! Copies of the fixture's model with other weights, and files with tensors of a test's own.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use instaflow_test_support::{copy_folder, fixture};

/// Tensors by name, in f32.
pub type Tensors = BTreeMap<String, Tensor>;

/// All tensors of a file.
pub fn tensors(file: &Path) -> Tensors {
    let all = candle_core::safetensors::load(file, &Device::Cpu).unwrap();
    all.into_iter().map(|(name, tensor)| (name, tensor.to_dtype(DType::F32).unwrap())).collect()
}

/// Writes a file with these tensors.
pub fn save(file: &Path, tensors: &Tensors) -> PathBuf {
    let tensors: HashMap<String, Tensor> = tensors.clone().into_iter().collect();
    candle_core::safetensors::save(&tensors, file).unwrap();
    file.to_owned()
}

/// A copy of the fixture's model in this folder, with weights in f32 that the callback may change: of the part (`unet`,
/// `text_encoder`) by name.
pub fn altered_model(folder: &Path, change: impl Fn(&str, &mut Tensors)) -> PathBuf {
    copy_folder(&fixture("model"), folder);
    for (part, file) in [("unet", "diffusion_pytorch_model.safetensors"), ("text_encoder", "model.safetensors")] {
        let path = folder.join(part).join(file);
        let mut weights = tensors(&path);
        change(part, &mut weights);
        save(&path, &weights);
    }
    folder.to_owned()
}

/// Numbers of about this size that are as good as random, the same at every call.
pub fn numbers(shape: &[usize], size: f32, seed: u64) -> Tensor {
    let count = shape.iter().product();
    let mut random = instaflow_engine::splitmix::SplitMix64::new(seed);
    let values = (0..count).map(|_| size * ((random.bits() >> 40) as f32 / (1u64 << 23) as f32 - 1.0));
    Tensor::from_vec(values.collect::<Vec<f32>>(), shape, &Device::Cpu).unwrap()
}
