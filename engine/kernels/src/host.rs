//! Getting at the f32 values of CPU tensors.

use candle_core::{CpuStorage, DType, Device, Layout, Result, Tensor, bail};

/// Whether the fast CPU version serves these tensors.
pub(crate) fn is_fast(tensors: &[&Tensor]) -> bool {
    tensors.iter().all(|t| matches!(t.device(), Device::Cpu) && t.dtype() == DType::F32)
}

/// The values of a contiguous f32 CPU tensor, inside a custom op's forward pass.
pub(crate) fn values<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    match layout.contiguous_offsets() {
        Some((from, to)) => Ok(&storage.as_slice::<f32>()?[from..to]),
        None => bail!("this operation takes contiguous tensors"),
    }
}

/// Calls `f` with the values of an f32 CPU tensor of any layout, inside a backward pass.
pub(crate) fn with_values<R>(tensor: &Tensor, f: impl FnOnce(&[f32]) -> Result<R>) -> Result<R> {
    let tensor = tensor.contiguous()?;
    let (storage, layout) = tensor.storage_and_layout();
    match &*storage {
        candle_core::Storage::Cpu(storage) => f(values(storage, layout)?),
        _ => bail!("this gradient is computed on the CPU only"),
    }
}
