//! LoRA and its family: files of differences that are added to the weights of networks that are already loaded.
//!
//! ```text
//! *.safetensors ── file ──┐
//!                         ├─ plan (what changes, and that it fits) ── apply (both networks, and back again)
//! layers' names ── names ─┘    └─ fit (shapes)                         └─ change (one tensor's new values)
//! ```
//!
//! Weights are always computed anew from those in the model's own file, so the result depends on the list of adapters
//! alone, never on what was in the network before; and without adapters a layer has the bits that it was loaded with.
//! Add another kind of difference to [`file::Part`], `fit.rs` and `change.rs`.

mod accelerator;

mod apply;

mod change;

mod describe;

mod file;

mod find;

mod fit;

mod names;

mod plan;

pub(crate) use apply::{Adapted, Adapters, Held, Own, Target, apply};
pub use describe::{LoraInfo, describe};
pub use find::find;
pub(crate) use plan::{Model, Plan, Weighed};

#[cfg(test)]
mod tests;
