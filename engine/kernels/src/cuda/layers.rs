//! The operations on tensors of a CUDA device. No gradients: where one is asked for, the plain versions run.

use candle_core::{DType, Error, Result, Tensor, bail};

use super::device::run;
use super::epilogue::{finish, gated, rows_and_columns};
use super::operations::attention::Attention;
use super::operations::norms::{GroupNorm, LayerNorm};
use crate::conv2d::Geometry;
use crate::fused_ops::FusedOps;
use crate::reference;

/// Whether the operations here take these tensors: all of one supported type, on a CUDA device, and no gradient asked
/// for.
pub(crate) fn fit(tensors: &[&Tensor]) -> bool {
    let Some(first) = tensors.first() else { return false };
    let supported = matches!(first.dtype(), DType::F32 | DType::F16 | DType::BF16);
    supported && tensors.iter().all(|t| t.device().is_cuda() && t.dtype() == first.dtype() && !t.track_op())
}

/// See [`crate::group_norm`].
pub(crate) fn group_norm(
    x: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
    groups: usize,
    eps: f64,
    silu: bool,
) -> Result<Tensor> {
    let (samples, h, w, channels) = x.dims4()?;
    let norm = GroupNorm { dtype: x.dtype(), samples, pixels: h * w, channels, groups, eps, silu };
    if !norm.fits() {
        return reference::group_norm(x, weight, bias, groups, eps, silu);
    }
    run(&norm, &[Some(x), Some(weight), Some(bias)], x.shape())
}

/// See [`crate::layer_norm`].
pub(crate) fn layer_norm(x: &Tensor, weight: &Tensor, bias: &Tensor, eps: f64) -> Result<Tensor> {
    let (rows, size) = rows_and_columns(x);
    run(&LayerNorm { dtype: x.dtype(), rows, size, eps }, &[Some(x), Some(weight), Some(bias)], x.shape())
}

/// See [`crate::geglu`].
pub(crate) fn geglu(x: &Tensor) -> Result<Tensor> {
    gated(x, None)
}

/// See [`crate::attention`].
pub(crate) fn attention(q: &Tensor, k: &Tensor, v: &Tensor, heads: usize, scale: f64, causal: bool) -> Result<Tensor> {
    let (batch, queries, width) = q.dims3()?;
    let capability = q.device().as_cuda_device()?.cuda_stream().context().compute_capability().map_err(Error::wrap)?;
    #[cfg(feature = "flash-attn")]
    if capability.0 >= 8 && flash_takes(q.dtype(), width / heads) && (!causal || queries == k.dim(1)?) {
        let split = |x: &Tensor| x.reshape((batch, (), heads, width / heads));
        let y = candle_flash_attn::flash_attn(&split(q)?, &split(k)?, &split(v)?, scale as f32, causal)?;
        return y.reshape((batch, queries, width));
    }
    let attention = Attention {
        dtype: q.dtype(),
        batch,
        heads,
        queries,
        keys: k.dim(1)?,
        size: width / heads,
        scale,
        causal,
        tensor_cores: capability.0 >= 8,
    };
    run(&attention, &[Some(q), Some(k), Some(v)], q.shape())
}

/// Whether candle-flash-attn has a kernel for heads of this size; a decoder's, of 512, have none. (Where queries are not as
/// many as keys, what is causal to it is not what is causal here.)
#[cfg(feature = "flash-attn")]
fn flash_takes(dtype: DType, size: usize) -> bool {
    matches!(dtype, DType::F16 | DType::BF16) && size.is_multiple_of(8) && size <= 256
}

/// See [`crate::Linear`]: cuBLAS' product, as candle calls it (sums in f32), then everything else in one pass.
pub(crate) fn linear(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>, fused_ops: &FusedOps<'_>) -> Result<Tensor> {
    let (outputs, inputs) = weight.dims2()?;
    let mut shape = x.dims().to_vec();
    if let Some(last) = shape.last_mut() {
        *last = outputs;
    }
    let y = x.contiguous()?.reshape(((), inputs))?.matmul(&weight.t()?)?.reshape(shape)?;
    finish(&y, bias, fused_ops)
}

/// Weights of a convolution, (O, C, kh, kw) still, but lying in memory as cuDNN takes them, where it is there:
/// (O, kh, kw, C).
pub(crate) fn rows_of_channels(weight: &Tensor) -> Result<Tensor> {
    let rows = weight.permute((0, 2, 3, 1))?;
    if rows.is_contiguous() || cfg!(not(feature = "cudnn")) {
        return Ok(weight.clone());
    }
    rows.contiguous()?.permute((0, 3, 1, 2))
}

/// See [`crate::Conv2d`]; `weight` (O, C, kh, kw) as [`rows_of_channels`] gives it.
pub(crate) fn conv2d(
    g: &Geometry,
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    fused_ops: &FusedOps<'_>,
) -> Result<Tensor> {
    fused_ops.check(&g.out_shape())?;
    if g.kernel == (1, 1) && g.stride == 1 && g.padding == (0, 0) && !g.upsample {
        let y = x.contiguous()?.reshape((g.pixels(), g.channels))?;
        let y = y.matmul(&weight.reshape((g.out_channels, g.channels))?.t()?)?.reshape(g.out_shape())?;
        return finish(&y, bias, fused_ops);
    }
    if g.padding.0 > g.padding.1 {
        bail!("conv2d: more zeros before the first row than after the last are not supported on CUDA");
    }
    #[cfg(feature = "cudnn")]
    if let Some(y) = super::convolution::conv2d(g, x, weight, bias, fused_ops)? {
        return Ok(y);
    }
    // Without cuDNN, or what it does not do channels last: candle's own convolution.
    let y = reference::conv2d(x, &weight.contiguous()?, g.stride, g.padding, g.upsample)?;
    finish(&y, bias, fused_ops)
}
