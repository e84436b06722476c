//! Scaled dot-product attention (Vaswani et al., arXiv 1706.03762) without the matrix of all scores. Tokens are
//! (B, N, heads · size): the heads lie side by side, as the projections give them.

use candle_core::{CpuStorage, CustomOp3, DType, Layout, Result, Shape, Tensor, bail};

use crate::cpu_tensor::with_element;
use crate::{cpu_tensor, cuda, reference};

mod backward;
mod online_softmax;

/// `softmax(scale · q kᵀ) v` for every head, where `q` is (B, N, heads · D), `k` and `v` (B, M, heads · D); with
/// `causal`, query i sees keys 0 … i; `scale` is positive. Gives (B, N, heads · D). Gradients for all three.
pub fn attention(q: &Tensor, k: &Tensor, v: &Tensor, heads: usize, scale: f64, causal: bool) -> Result<Tensor> {
    let (batch, queries, width) = q.dims3()?;
    let keys = k.dim(1)?;
    if k.dims() != [batch, keys, width] || v.dims() != k.dims() || keys == 0 || heads == 0 || width % heads != 0 {
        bail!(
            "attention: keys {:?} and values {:?} do not suit {heads} heads of {:?}",
            k.shape(),
            v.shape(),
            q.shape()
        );
    }
    if scale <= 0.0 {
        bail!("attention: a scale of {scale} is not positive");
    }
    let op = Attention { batch, heads, queries, keys, size: width / heads, scale: scale as f32, causal };
    match cpu_tensor::fast(&[q, k, v]) {
        Some(dtype) if !cpu_tensor::in_graph(&[q, k, v]) => {
            with_element!(dtype, E => {
                cpu_tensor::with::<E, _>(q, |q| cpu_tensor::with::<E, _>(k, |k| cpu_tensor::with::<E, _>(v, |v| Ok(op.forward(q, k, v)))))
                .and_then(|out| Tensor::from_vec(out, q.shape(), q.device()))
            })
        }
        Some(DType::F32) => q.contiguous()?.apply_op3(&k.contiguous()?, &v.contiguous()?, op),
        _ if cuda::fit(&[q, k, v]) => cuda::attention(q, k, v, heads, scale, causal),
        _ => reference::attention(q, k, v, heads, scale, causal),
    }
}

#[derive(Clone, Copy)]
struct Attention {
    batch: usize,
    heads: usize,
    queries: usize,
    keys: usize,
    /// Values of one head.
    size: usize,
    scale: f32,
    causal: bool,
}

impl Attention {
    /// Values of a token.
    fn width(&self) -> usize {
        self.heads * self.size
    }

    /// How many keys a query sees.
    fn seen(&self, query: usize) -> usize {
        if self.causal { self.keys.min(query + 1) } else { self.keys }
    }
}

impl CustomOp3 for Attention {
    fn name(&self) -> &'static str {
        "attention"
    }

    fn cpu_fwd(
        &self,
        q: &CpuStorage,
        lq: &Layout,
        k: &CpuStorage,
        lk: &Layout,
        v: &CpuStorage,
        lv: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let q = cpu_tensor::values(q.as_slice::<f32>()?, lq)?;
        let (k, v) = (cpu_tensor::values(k.as_slice::<f32>()?, lk)?, cpu_tensor::values(v.as_slice::<f32>()?, lv)?);
        Ok((CpuStorage::F32(self.forward(q, k, v)), lq.shape().clone()))
    }

    fn bwd(
        &self,
        q: &Tensor,
        k: &Tensor,
        v: &Tensor,
        _out: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let (dq, dk, dv) = cpu_tensor::with::<f32, _>(q, |q| {
            cpu_tensor::with::<f32, _>(k, |k| {
                cpu_tensor::with::<f32, _>(v, |v| cpu_tensor::with::<f32, _>(grad, |dy| Ok(self.backward(q, k, v, dy))))
            })
        })?;
        let device = q.device();
        Ok((
            Some(Tensor::from_vec(dq, q.shape(), device)?),
            Some(Tensor::from_vec(dk, k.shape(), device)?),
            Some(Tensor::from_vec(dv, v.shape(), device)?),
        ))
    }
}
