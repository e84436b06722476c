//! From prompt to pixels, on its own thread.
//!
//! The rooms below stand in the order in which data passes through them. The window and the command line talk to
//! [`worker`] or to [`pipeline`] and see nothing but the plain data of [`protocol`]: no tensor leaves this crate
//! through either.

pub mod protocol;

pub mod worker;

pub mod pipeline;

pub mod checkpoint;

pub mod text;

pub mod unet;

pub mod flow;

pub mod diffusion;

pub mod vae;

pub mod png;

pub mod device;

pub mod threads;

pub mod atomic;

mod cancel;
mod error;
mod free_memory;
mod layers;

pub use cancel::Cancel;
pub use error::{Error, Result};
pub use instaflow_kernels::Recycler;
