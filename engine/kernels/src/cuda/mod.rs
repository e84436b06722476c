//! The operations on NVIDIA's GPUs, in f32, f16 and bf16 with sums in f32: what [`crate::Conv2d`], [`crate::group_norm`]
//! and the others call for tensors on such a device if no gradient is asked for. **Nothing here has been measured, or has
//! even run, on a GPU yet.** The kernels and their launches are compiled for the processor and compared with the plain
//! versions (`tests`); the calls of the libraries are only compiled.
//!
//! `operations/*.cu` are the kernels, compiled for the device at hand when first needed, and the files beside them say how
//! many threads run them on what; `device.rs` compiles, launches and allocates; `layers.rs` are the operations on tensors;
//! `epilogue.rs` is what follows a product; `convolution.rs` calls cuDNN. Without the feature `cuda` all of it is `absent.rs`, so that no caller has to ask. A new
//! kernel needs its launch beside its source and a case in `tests`.

#[cfg(feature = "cuda")]
mod layers;
#[cfg(feature = "cuda")]
pub(crate) use layers::{attention, conv2d, fit, geglu, group_norm, layer_norm, linear, rows_of_channels};

#[cfg(not(feature = "cuda"))]
mod absent;
#[cfg(not(feature = "cuda"))]
pub(crate) use absent::{attention, conv2d, fit, geglu, group_norm, layer_norm, linear, rows_of_channels};

#[cfg(feature = "cudnn")]
mod convolution;

#[cfg(feature = "cuda")]
mod epilogue;

#[cfg(feature = "cuda")]
mod device;

#[cfg(any(feature = "cuda", all(test, target_os = "linux")))]
mod operations {
    pub(super) mod attention;
    pub(super) mod launch;
    pub(super) mod norms;
    pub(super) mod pointwise;
    #[cfg(any(feature = "cudnn", all(test, target_os = "linux")))]
    pub(super) mod spread;
}

#[cfg(all(test, target_os = "linux"))]
mod tests;
