//! The same operations in their plain form, on candle's own operations. The tests compare the fast ones with them, and they
//! run on other devices. All of them are differentiable.

use candle_core::{D, DType, Result, Tensor};

/// See [`crate::Conv2d`]: `x` (B, H, W, C), `weight` (O, C, kh, kw), `padding` before and after, upsampled by two first
/// where asked.
pub fn conv2d(x: &Tensor, weight: &Tensor, stride: usize, padding: (usize, usize), upsample: bool) -> Result<Tensor> {
    let x = x.permute((0, 3, 1, 2))?.contiguous()?;
    let x = if upsample { upsample_nearest2x(&x)? } else { x };
    let x = if padding.1 > padding.0 {
        let more = padding.1 - padding.0;
        x.pad_with_zeros(2, 0, more)?.pad_with_zeros(3, 0, more)?
    } else {
        x
    };
    x.conv2d(weight, padding.0, stride, 1, 1)?.permute((0, 2, 3, 1))?.contiguous()
}

/// See [`crate::Linear`].
pub fn linear(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    let (outputs, inputs) = weight.dims2()?;
    let mut shape = x.dims().to_vec();
    if let Some(last) = shape.last_mut() {
        *last = outputs;
    }
    let y = x.contiguous()?.reshape(((), inputs))?.matmul(&weight.t()?)?;
    let y = match bias {
        Some(bias) => y.broadcast_add(bias)?,
        None => y,
    };
    y.reshape(shape)
}

/// See [`crate::group_norm`]. Statistics are taken in f32.
pub fn group_norm(x: &Tensor, weight: &Tensor, bias: &Tensor, groups: usize, eps: f64, silu: bool) -> Result<Tensor> {
    let (b, h, w, c) = x.dims4()?;
    let dtype = x.dtype();
    // (B, groups, pixels · channels of a group)
    let grouped = x.to_dtype(DType::F32)?.reshape((b, h * w, groups, c / groups))?.transpose(1, 2)?.contiguous()?;
    let grouped = grouped.reshape((b, groups, h * w * (c / groups)))?;
    let centred = grouped.broadcast_sub(&grouped.mean_keepdim(D::Minus1)?)?;
    let variance = centred.sqr()?.mean_keepdim(D::Minus1)?;
    let normed = centred.broadcast_div(&(variance + eps)?.sqrt()?)?;
    let normed = normed.reshape((b, groups, h * w, c / groups))?.transpose(1, 2)?.contiguous()?;
    let y = normed.reshape((b, h, w, c))?.to_dtype(dtype)?.broadcast_mul(weight)?.broadcast_add(bias)?;
    if silu { y.silu() } else { Ok(y) }
}

/// See [`crate::layer_norm`]. Statistics are taken in f32.
pub fn layer_norm(x: &Tensor, weight: &Tensor, bias: &Tensor, eps: f64) -> Result<Tensor> {
    let dtype = x.dtype();
    let x = x.to_dtype(DType::F32)?;
    let centred = x.broadcast_sub(&x.mean_keepdim(D::Minus1)?)?;
    let variance = centred.sqr()?.mean_keepdim(D::Minus1)?;
    let normed = centred.broadcast_div(&(variance + eps)?.sqrt()?)?.to_dtype(dtype)?;
    normed.broadcast_mul(weight)?.broadcast_add(bias)
}

/// See [`crate::attention`]. The softmax is taken in f32.
pub fn attention(q: &Tensor, k: &Tensor, v: &Tensor, heads: usize, scale: f64, causal: bool) -> Result<Tensor> {
    let (b, n, width) = q.dims3()?;
    let m = k.dim(1)?;
    // (B, heads, length, size)
    let split = |t: &Tensor, length| t.reshape((b, length, heads, width / heads))?.transpose(1, 2)?.contiguous();
    let (q, k, v) = (split(q, n)?, split(k, m)?, split(v, m)?);
    let scores = (q.matmul(&k.t()?.contiguous()?)? * scale)?.to_dtype(DType::F32)?;
    let scores = if causal {
        let mask: Vec<f32> = (0..n * m).map(|at| if at % m > at / m { f32::NEG_INFINITY } else { 0.0 }).collect();
        scores.broadcast_add(&Tensor::from_vec(mask, (n, m), scores.device())?)?
    } else {
        scores
    };
    let weights = scores.broadcast_sub(&scores.max_keepdim(D::Minus1)?.detach())?.exp()?;
    let weights = weights.broadcast_div(&weights.sum_keepdim(D::Minus1)?)?;
    weights.to_dtype(v.dtype())?.matmul(&v)?.transpose(1, 2)?.reshape((b, n, width))
}

/// See [`crate::geglu`].
pub fn geglu(x: &Tensor) -> Result<Tensor> {
    let halves = x.chunk(2, D::Minus1)?;
    halves[0].contiguous()? * halves[1].contiguous()?.gelu_erf()?
}

/// Each pixel four times: (B, C, H, W) to (B, C, 2H, 2W).
fn upsample_nearest2x(x: &Tensor) -> Result<Tensor> {
    let (b, c, h, w) = x.dims4()?;
    x.reshape((b, c, h, 1, w, 1))?.broadcast_as((b, c, h, 2, w, 2))?.reshape((b, c, 2 * h, 2 * w))
}
