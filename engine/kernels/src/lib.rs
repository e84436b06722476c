//! The few operations that candle lacks or does slowly on a CPU, as candle custom ops, forward and backward.
//!
//! Everything here takes and gives candle tensors in candle's own layout, knows nothing of models, and stands beside a
//! plain version of itself (in [`reference`]) that the tests hold it to. On a CPU in f32 the fast version runs; on any
//! other device or dtype the same function is that chain of candle's own operations. All shapes are row-major, images
//! are (B, C, H, W).
//!
//! Work is shared over the current rayon pool; in a pool of one thread every operation runs on the calling thread, so
//! that a trainer can run one replica per core.

// A body is compiled once for each kind of vector, inside a function that has the features: it must be inlined there.
#![allow(clippy::inline_always)]

mod conv2d;
pub use conv2d::conv2d;

mod norm;
pub use norm::{group_norm, layer_norm};

mod attention;
pub use attention::attention;

mod geglu;
pub use geglu::geglu;

mod upsample;
pub use upsample::upsample_nearest2x;

pub mod reference;

mod gemm;
mod host;
mod parallel;
mod simd;
