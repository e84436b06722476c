//! LoRA and its family: files of differences that are added to the weights of a network that is already loaded.
//!
//! ```text
//! *.safetensors ── file ──┐
//! layers' names ── names ─┴─ matched ── change (one layer's new weights) ── apply (all layers, and back again)
//! ```
//!
//! Weights are always computed anew from those in the model's own file, so the result depends on the list of adapters
//! alone, never on what was in the network before; and without adapters a layer has the bits that it was loaded with.
//! Add another kind of difference to [`file::Part`] and `change.rs`.

mod apply;

mod change;

mod file;

mod find;

mod names;

pub(crate) use apply::{Adapted, Adapters, Target, apply};
pub(crate) use file::Adapter;
pub use find::find;
pub(crate) use names::Place;
