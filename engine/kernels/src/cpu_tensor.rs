//! Access to the values of CPU tensors.

use candle_core::{DType, Device, Layout, Result, Storage, Tensor, bail};

use crate::element::Element;

/// The type that the fast CPU versions take these tensors in, where they do.
pub(crate) fn fast(tensors: &[&Tensor]) -> Option<DType> {
    let dtype = tensors.first()?.dtype();
    let fits = |t: &&Tensor| matches!(t.device(), Device::Cpu) && t.dtype() == dtype;
    (matches!(dtype, DType::F32 | DType::BF16) && tensors.iter().all(fits)).then_some(dtype)
}

/// Whether a gradient may be asked for through one of these tensors.
pub(crate) fn in_graph(tensors: &[&Tensor]) -> bool {
    tensors.iter().any(|t| t.track_op())
}

/// Calls `f` with the values of a CPU tensor of any layout, in their order.
pub(crate) fn with<E: Element, R>(tensor: &Tensor, f: impl FnOnce(&[E]) -> Result<R>) -> Result<R> {
    let tensor = tensor.contiguous()?;
    let (storage, layout) = tensor.storage_and_layout();
    match &*storage {
        Storage::Cpu(storage) => f(values(storage.as_slice::<E>()?, layout)?),
        _ => bail!("this operation runs on the CPU only"),
    }
}

/// As [`with`], of a tensor that may be absent.
pub(crate) fn with_some<E: Element, R>(
    tensor: Option<&Tensor>,
    f: impl FnOnce(Option<&[E]>) -> Result<R>,
) -> Result<R> {
    match tensor {
        Some(tensor) => with(tensor, |values| f(Some(values))),
        None => f(None),
    }
}

/// The part of a storage that a contiguous layout means.
pub(crate) fn values<'a, E>(storage: &'a [E], layout: &Layout) -> Result<&'a [E]> {
    match layout.contiguous_offsets() {
        Some((from, to)) => Ok(&storage[from..to]),
        None => bail!("this operation takes contiguous tensors"),
    }
}

/// Calls `$work` with `$element` standing for the type that `$dtype` names.
macro_rules! with_element {
    ($dtype:expr, $element:ident => $work:expr) => {
        match $dtype {
            candle_core::DType::BF16 => {
                type $element = half::bf16;
                $work
            }
            _ => {
                type $element = f32;
                $work
            }
        }
    };
}
pub(crate) use with_element;
