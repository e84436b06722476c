//! The operations of diffusion models on candle tensors, as fast as a CPU allows: convolution, linear layers, attention and
//! norms, forward and, for training in f32, backward.
//!
//! Nothing here knows a model. Images are (B, H, W, C) and tokens (B, N, C): the channels of a pixel lie side by side from
//! the first layer to the last, so nothing is transposed between layers. Beside every operation stands a plain version of
//! it (in [`mod@reference`]), which the tests compare it with.
//!
//! ```
//! use candle_core::{DType, Device, Tensor};
//! use instaflow_kernels::{Activation, Conv2d, FusedOps, group_norm};
//!
//! # fn main() -> candle_core::Result<()> {
//! // One picture of 16 × 16 pixels with 32 channels, normalised in 8 groups and passed through SiLU …
//! let image = Tensor::rand(-1f32, 1f32, (1, 16, 16, 32), &Device::Cpu)?;
//! let (scale, bias) = (Tensor::ones(32, DType::F32, &Device::Cpu)?, Tensor::zeros(32, DType::F32, &Device::Cpu)?);
//! let normal = group_norm(&image, &scale, &bias, 8, 1e-5, true)?;
//!
//! // … then convolved, with the picture added and an activation in the same pass.
//! let weight = (Tensor::randn(0f32, 1f32, (32, 32, 3, 3), &Device::Cpu)? * 0.05)?;
//! let layer = Conv2d::new(weight, None)?;
//! let fused = FusedOps { residual: Some(&image), activation: Activation::Relu, ..FusedOps::default() };
//! let result = layer.forward(&normal, fused)?;
//! assert_eq!(result.dims(), [1, 16, 16, 32]);
//! # Ok(())
//! # }
//! ```
//!
//! # What runs where
//!
//! | device | type | no gradient asked for | a gradient asked for |
//! |---|---|---|---|
//! | CPU | f32 | the fast version | the fast version of each operation, one after the other |
//! | CPU | bf16 | the fast version, sums in f32 | candle's own operations |
//! | CUDA (feature `cuda`) | f32, f16, bf16 | kernels of this crate and cuBLAS, sums in f32 | candle's own operations |
//! | anything else | | candle's own operations | candle's own operations |
//!
//! A layer packs its weights in the order in which the innermost loops read them, in one form for each method in use. The
//! same input always gives the same bits, whatever was computed before and with however many threads. [`bf16_products`]
//! says the one thing that is measured: how this processor multiplies numbers of bf16.
//!
//! Work is shared over the current rayon pool; in a pool of one thread every operation runs on the calling thread. A
//! program that draws pictures in a row should make [`CachingAllocator`] its global allocator.
//!
//! # Features
//!
//! - `cuda`: the operations on NVIDIA's GPUs. Needs the CUDA toolkit to build.
//! - `cudnn`: convolutions on GPUs by cuDNN instead of candle's own. Includes `cuda`.
//! - `flash-attn`: attention on GPUs by candle-flash-attn where it has a kernel. Includes `cuda`; takes an hour to build.

// A body is compiled once for each kind of vector, inside a function that has the features: it must be inlined there.
#![allow(clippy::inline_always)]

mod conv2d;
pub use conv2d::{Conv2d, Method};

mod linear;
pub use linear::Linear;

mod fused_ops;
pub use fused_ops::FusedOps;

mod low_rank;
pub use low_rank::{LowRank, add_low_rank};

mod replaceable;
pub use replaceable::Replaceable;

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
