//! The arithmetic of the networks, as fast as a CPU allows: convolution, linear layers, norms and attention, forward
//! and, for training, backward.
//!
//! Everything here takes and gives candle tensors, knows nothing of models, and stands beside a plain version of itself
//! (in [`reference`]) that the tests hold it to. Images are (B, H, W, C), tokens (B, N, C): the channels of a pixel lie
//! side by side from the first layer to the last, so that nothing is ever transposed between layers.
//!
//! On a CPU in f32 and bf16 the fast version runs, on CUDA its counterpart in `cuda`; on any other device or type, and
//! where a gradient is asked for in bf16 or on CUDA, the same function is a chain of candle's own operations.
//! Layers keep their weights packed in the order in which the innermost loops read them, in a form for every method in
//! use (`weights.rs` says what that costs).
//!
//! Work is shared over the current rayon pool; in a pool of one thread every operation runs on the calling thread, so
//! that a trainer can run one replica per core.

// A body is compiled once for each kind of vector, inside a function that has the features: it must be inlined there.
#![allow(clippy::inline_always)]

mod conv2d;
pub use conv2d::{Conv2d, Method};

mod linear;
pub use linear::Linear;

mod fused_ops;
pub use fused_ops::FusedOps;

mod group_norm;
pub use group_norm::group_norm;

mod layer_norm;
pub use layer_norm::layer_norm;

mod attention;
pub use attention::attention;

mod geglu;
pub use geglu::geglu;

mod caching_allocator;
pub use caching_allocator::CachingAllocator;

mod packed_gemm;
pub use packed_gemm::{Activation, Bf16Products, bf16_products};

mod peak;
pub use peak::peak;

pub mod reference;

mod channel_bias;
mod cpu_tensor;
mod cuda;
mod element;
mod gemm;
mod parallel;
mod scratch;
mod simd;
mod upsample;
mod weights;

#[cfg(all(test, any(target_arch = "x86_64", target_os = "linux")))]
#[path = "../tests/support/test_values.rs"]
mod test_values;

#[cfg(all(test, target_arch = "x86_64"))]
mod tests;
