//! What follows a product or a convolution on a CUDA device, in one pass.

use candle_core::{Result, Tensor, bail};

use super::device::run;
use super::operations::pointwise::{Finish, Geglu};
use crate::fused_ops::FusedOps;
use crate::packed_gemm::Activation;

/// `activation(y + bias + channel_bias + residual)` of a finished product, in one pass.
pub(super) fn finish(y: &Tensor, bias: Option<&Tensor>, fused_ops: &FusedOps<'_>) -> Result<Tensor> {
    if fused_ops.activation == Activation::Geglu {
        if fused_ops.channel_bias.is_none() && fused_ops.residual.is_none() {
            return gated(y, bias);
        }
        return gated(&finish(y, bias, &FusedOps { activation: Activation::None, ..*fused_ops })?, None);
    }
    let nothing = bias.is_none() && fused_ops.channel_bias.is_none() && fused_ops.residual.is_none();
    if nothing && fused_ops.activation == Activation::None {
        return Ok(y.clone());
    }
    fused_ops.check(y.shape())?;
    let (rows, columns) = rows_and_columns(y);
    let rows_per_sample = rows.checked_div(y.dim(0)?).unwrap_or(1).max(1);
    let finish = Finish { dtype: y.dtype(), rows, columns, rows_per_sample, activation: fused_ops.activation };
    run(&finish, &[Some(y), bias, fused_ops.channel_bias, fused_ops.residual], y.shape())
}

/// `a · GELU(g)` of (…, 2F) plus a bias (2F).
pub(super) fn gated(x: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    let (rows, columns) = rows_and_columns(x);
    if columns % 2 == 1 {
        bail!("geglu: the last dimension of {:?} is odd", x.shape());
    }
    let mut shape = x.dims().to_vec();
    if let Some(last) = shape.last_mut() {
        *last = columns / 2;
    }
    run(&Geglu { dtype: x.dtype(), rows, columns: columns / 2 }, &[Some(x), bias], shape)
}

pub(super) fn rows_and_columns(x: &Tensor) -> (usize, usize) {
    let columns = x.dims().last().copied().unwrap_or(1);
    (x.elem_count().checked_div(columns).unwrap_or(0), columns)
}
