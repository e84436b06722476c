//! The small model in tests/fixtures/tiny-sd, and what the reference computed with it. Change here where it lies.

use std::fs;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};

/// The prompt of the reference's runs.
pub const PROMPT: &str = "A photograph of a snowy mountain near a beautiful lake under sunshine.";

/// A file or folder of the fixture; `""` is the fixture itself.
pub fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/tiny-sd").join(name)
}

/// A file or folder of the other models and files in `tests/fixtures/more`, which belong to the fixture.
pub fn more(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/more").join(name)
}

/// What the reference computed under this name: shape and values.
pub fn expected(name: &str) -> (Vec<usize>, Vec<f32>) {
    tensor_in(&fixture("expected.safetensors"), name)
}

/// The tensor of this name in a safetensors file, which must be f32: shape and values.
pub fn tensor_in(file: &Path, name: &str) -> (Vec<usize>, Vec<f32>) {
    let tensors = candle_core::safetensors::load(file, &Device::Cpu);
    let tensors = tensors.unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let tensor = tensors.get(name).unwrap_or_else(|| panic!("{} holds no {name}", file.display()));
    assert_eq!(tensor.dtype(), DType::F32, "{name}");
    let values = tensor.flatten_all().and_then(|flat: Tensor| flat.to_vec1());
    (tensor.dims().to_vec(), values.unwrap_or_else(|error| panic!("{name}: {error}")))
}

/// Copies a folder with everything in it. The target may exist.
pub fn copy_folder(from: &Path, to: &Path) {
    let failed = |error: std::io::Error| -> ! { panic!("copying {} to {}: {error}", from.display(), to.display()) };
    fs::create_dir_all(to).unwrap_or_else(|error| failed(error));
    for entry in fs::read_dir(from).unwrap_or_else(|error| failed(error)) {
        let entry = entry.unwrap_or_else(|error| failed(error));
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap_or_else(|error| failed(error));
        }
    }
}
