//! What the tests of whole pictures share.

pub mod altered;

use instaflow_engine::pipeline::{Latents, Models};
use instaflow_engine::protocol::OpenRequest;
use instaflow_test_support::expected;

/// Row 0 of the noise that every reference run starts from.
pub fn noise() -> Latents {
    let (shape, values) = expected("noise");
    Latents { shape: shape.try_into().unwrap(), values }.picture(0).unwrap()
}

/// Opens models that must open.
pub fn open(request: &OpenRequest) -> Models {
    Models::open(request, &mut |_| {}).unwrap_or_else(|error| panic!("{error} {:?}", error.causes()))
}
