//! The fixture's model and what the reference computed with it.

use std::path::{Path, PathBuf};

use instaflow_engine::pipeline::{Latents, Models};
use instaflow_engine::protocol::OpenRequest;
use safetensors::SafeTensors;

/// The prompt of the reference's runs.
pub const PROMPT: &str = "A photograph of a snowy mountain near a beautiful lake under sunshine.";

/// A file or folder of the fixture.
pub fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/tiny-sd").join(name)
}

/// What the reference has under this name: shape and values.
pub fn expected(name: &str) -> (Vec<usize>, Vec<f32>) {
    expected_in("expected.safetensors", name)
}

/// The same of another file.
pub fn expected_in(file: &str, name: &str) -> (Vec<usize>, Vec<f32>) {
    let bytes = std::fs::read(fixture(file)).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let view = file.tensor(name).unwrap();
    let values = view.data().chunks_exact(4).map(|value| f32::from_le_bytes(value.try_into().unwrap())).collect();
    (view.shape().to_vec(), values)
}

/// Row 0 of the noise that every reference run starts from.
pub fn noise() -> Latents {
    let (shape, values) = expected("noise");
    Latents { shape: shape.try_into().unwrap(), values }.picture(0).unwrap()
}

/// Opens models that must open.
pub fn open(request: &OpenRequest) -> Models {
    Models::open(request, &mut |_, _, _| {}).unwrap_or_else(|error| panic!("{error} {:?}", error.causes()))
}
