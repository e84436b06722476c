//! InstaFlow in Rust: a prompt in, a picture out, in one step. This crate also draws with the many-step models that
//! InstaFlow is made from and compared with: rectified flows, and diffusion models shaped like Stable Diffusion 1.x and 2.x,
//! with their usual samplers, those distilled to a few steps included.
//!
#![cfg_attr(feature = "embed-pocket", doc = "```")]
#![cfg_attr(not(feature = "embed-pocket"), doc = "```no_run")]
//! use instaflow_engine::pipeline::Models;
//! use instaflow_engine::protocol::{OpenRequest, Settings};
//! use instaflow_engine::{Cancel, png};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // Pocket, the small model pair inside the binary. `Source::Folder` opens a folder in Diffusers layout instead.
//! let models = Models::open(&OpenRequest::default(), &mut |_| {})?;
//! let settings = Settings { seed: 7, ..Settings::student("a red house by a lake") };
//! let drawn = models.draw(&settings, None, &mut |_| {}, &Cancel::default())?;
//! # let folder = tempfile::tempdir()?;
//! # let folder = folder.path();
//! let path = folder.join("lake.png");
//! png::save(&path, &drawn.picture, true, false)?;
//! // The file carries the settings that made it.
//! assert_eq!(png::read_settings(&path)?.settings, drawn.picture.settings);
//! # Ok(())
//! # }
//! ```
//!
//! There are two ways in. [`pipeline`] draws on the calling thread; the command line uses it. [`worker`] draws on a
//! thread of its own, where the latest request wins; the window uses it. Both speak the plain data of [`protocol`]: no
//! tensor leaves this crate through either. The modules below are in the order in which data passes through them, and
//! each uses only [`protocol`] and modules below it. The folder `examples/` has a program for each way.
//!
//! A program that draws many pictures should make [`CachingAllocator`] its global allocator (it reuses large blocks of memory)
//! and call [`threads::compute_here`] on the thread that draws.
//!
//! # Features
//!
//! | feature | what it adds |
//! |---|---|
//! | `embed-pocket` (default) | the Pocket pair, 40 MB, compiled into the binary |
//! | `cuda` | NVIDIA GPUs; needs the CUDA toolkit to build and a driver to run |
//! | `cudnn` | cuDNN's convolutions; implies `cuda` |
//! | `flash-attn` | flash attention on CUDA; implies `cuda`, and takes an hour to build on two cores |

pub mod protocol;

pub mod worker;

pub mod pipeline;

pub mod adapters;

pub mod metadata;

pub mod checkpoint;

pub mod model_library;

pub mod text;

pub mod unet;

pub mod flow;

pub mod diffusion;

pub mod vae;

pub mod png;

pub mod picture_file;

pub mod device;

pub mod threads;

pub mod atomic;

pub mod splitmix;

mod cancel;
mod error;
mod free_memory;
mod layers;

pub use cancel::Cancel;
pub use error::{Error, Result};
pub use instaflow_kernels::CachingAllocator;
