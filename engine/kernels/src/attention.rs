//! Scaled dot-product attention without the whole matrix of scores: a block of queries at a time.

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor, bail};

use crate::gemm::{Matrix, gemm};
use crate::simd::{exp, sum, vectorized};
use crate::{host, parallel, reference};

/// Queries per block.
const BLOCK: usize = 64;

/// `softmax(scale · q kᵀ) v` for `q` (B, H, N, D), `k` and `v` (B, H, M, D); gives (B, H, N, D). Gradients for all
/// three.
pub fn attention(q: &Tensor, k: &Tensor, v: &Tensor, scale: f64) -> Result<Tensor> {
    if !host::is_fast(&[q, k, v]) {
        return reference::attention(&q.contiguous()?, &k.contiguous()?, &v.contiguous()?, scale);
    }
    let (b, h, n, d) = q.dims4()?;
    let m = k.dim(2)?;
    if k.dims() != [b, h, m, d] || v.dims() != k.dims() || m == 0 {
        bail!("attention: keys {:?} and values {:?} do not suit queries {:?}", k.shape(), v.shape(), q.shape());
    }
    let op = Attention { scale: scale as f32, heads: b * h, queries: n, keys: m, size: d };
    q.contiguous()?.apply_op3(&k.contiguous()?, &v.contiguous()?, op)
}

#[derive(Clone, Copy)]
struct Attention {
    scale: f32,
    /// Heads of all samples.
    heads: usize,
    queries: usize,
    keys: usize,
    size: usize,
}

impl Attention {
    /// The weights of `rows` queries over all keys: (rows, keys).
    fn weights(&self, q: &[f32], k: &[f32], rows: usize) -> Vec<f32> {
        let mut scores = vec![0.0f32; rows * self.keys];
        let (left, right) = (Matrix::rows(q, self.size), Matrix::rows(k, self.size).transposed());
        gemm((rows, self.keys, self.size), &mut scores, self.keys, false, self.scale, left, right);
        scores.chunks_exact_mut(self.keys).for_each(softmax);
        scores
    }

    /// Gradients of one head: (dq, dk, dv) are added to.
    fn backward_head(
        &self,
        q: &[f32],
        k: &[f32],
        v: &[f32],
        dy: &[f32],
        dq: &mut [f32],
        dk: &mut [f32],
        dv: &mut [f32],
    ) {
        let (keys, size) = (self.keys, self.size);
        for first in (0..self.queries).step_by(BLOCK) {
            let rows = BLOCK.min(self.queries - first);
            let part = first * size..(first + rows) * size;
            let (q, dy) = (&q[part.clone()], &dy[part.clone()]);
            let weights = self.weights(q, k, rows);
            let (p, dy) = (Matrix::rows(&weights, keys), Matrix::rows(dy, size));
            gemm((keys, size, rows), dv, size, true, 1.0, p.transposed(), dy);
            let mut ds = vec![0.0f32; rows * keys];
            gemm((rows, keys, size), &mut ds, keys, false, 1.0, dy, Matrix::rows(v, size).transposed());
            for (ds, p) in ds.chunks_exact_mut(keys).zip(weights.chunks_exact(keys)) {
                softmax_backward(ds, p);
            }
            let ds = Matrix::rows(&ds, keys);
            gemm((rows, size, keys), &mut dq[part], size, false, self.scale, ds, Matrix::rows(k, size));
            gemm((keys, size, rows), dk, size, true, self.scale, ds.transposed(), Matrix::rows(q, size));
        }
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
        let (q, k, v) = (host::values(q, lq)?, host::values(k, lk)?, host::values(v, lv)?);
        let (size, keys) = (self.size, self.keys);
        let mut out = vec![0.0f32; q.len()];
        let target = parallel::Shared::new(&mut out);
        let blocks = self.queries.div_ceil(BLOCK);
        parallel::for_each(self.heads * blocks, |task| {
            let (head, first) = (task / blocks, task % blocks * BLOCK);
            let rows = BLOCK.min(self.queries - first);
            let from = (head * self.queries + first) * size;
            let (k, v) = (&k[head * keys * size..][..keys * size], &v[head * keys * size..][..keys * size]);
            let weights = self.weights(&q[from..from + rows * size], k, rows);
            #[allow(unsafe_code)]
            // SAFETY: every block of queries belongs to one task.
            let out = unsafe { target.slice(from, rows * size) };
            gemm((rows, size, keys), out, size, false, 1.0, Matrix::rows(&weights, keys), Matrix::rows(v, size));
        });
        Ok((CpuStorage::F32(out), lq.shape().clone()))
    }

    fn bwd(
        &self,
        q: &Tensor,
        k: &Tensor,
        v: &Tensor,
        _out: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let mut dq = vec![0.0f32; q.elem_count()];
        let mut dk = vec![0.0f32; k.elem_count()];
        let mut dv = vec![0.0f32; v.elem_count()];
        let targets = [&mut dq, &mut dk, &mut dv].map(|d| parallel::Shared::new(d));
        let (query_len, key_len) = (self.queries * self.size, self.keys * self.size);
        host::with_values(q, |q| {
            host::with_values(k, |k| {
                host::with_values(v, |v| {
                    host::with_values(grad, |dy| {
                        parallel::for_each(self.heads, |head| {
                            let queries = head * query_len..(head + 1) * query_len;
                            let keys = head * key_len..(head + 1) * key_len;
                            #[allow(unsafe_code)]
                            // SAFETY: every head belongs to one task.
                            let (dq, dk, dv) = unsafe {
                                (
                                    targets[0].slice(queries.start, query_len),
                                    targets[1].slice(keys.start, key_len),
                                    targets[2].slice(keys.start, key_len),
                                )
                            };
                            let (q, dy) = (&q[queries.clone()], &dy[queries]);
                            self.backward_head(q, &k[keys.clone()], &v[keys], dy, dq, dk, dv);
                        });
                        Ok(())
                    })
                })
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

vectorized! {
    fn softmax(row: &mut [f32]) {
        let mut lanes = [f32::NEG_INFINITY; 16];
        for chunk in row.chunks(16) {
            for (lane, value) in lanes.iter_mut().zip(chunk) {
                *lane = if *value > *lane { *value } else { *lane };
            }
        }
        let max = lanes.iter().fold(f32::NEG_INFINITY, |a, b| a.max(*b));
        for value in row.iter_mut() {
            *value = exp(*value - max);
        }
        let inverse = 1.0 / sum(row.len(), |i| row[i]);
        for value in row.iter_mut() {
            *value *= inverse;
        }
    }
}

vectorized! {
    /// From the gradient of the weights to that of the scores: p · (g − Σ g p).
    fn softmax_backward(grad: &mut [f32], p: &[f32]) {
        let n = grad.len().min(p.len());
        let dot = sum(n, |i| grad[i] * p[i]);
        for i in 0..n {
            grad[i] = p[i] * (grad[i] - dot);
        }
    }
}
