//! Layer normalisation (Ba et al., arXiv 1607.06450).

use candle_core::{CpuStorage, CustomOp3, D, Layout, Result, Shape, Tensor, bail};

use crate::cpu_tensor::with_element;
use crate::element::Element;
use crate::packed_gemm::Target;
use crate::simd::{self, Simd, Task, sum, vectorized};
use crate::{cpu_tensor, cuda, parallel, reference};

/// Normalises the last dimension of `x` (…, D) to mean 0 and variance 1, then scales and shifts by `weight` and `bias`
/// (D). Gradients for all three.
pub fn layer_norm(x: &Tensor, weight: &Tensor, bias: &Tensor, eps: f64) -> Result<Tensor> {
    let size = x.dim(D::Minus1)?;
    if weight.dims() != [size] || bias.dims() != [size] {
        bail!("layer_norm: weights {:?} do not suit {:?}", weight.shape(), x.shape());
    }
    let norm = LayerNorm { size, eps: eps as f32 };
    match cpu_tensor::fast(&[x, weight, bias]) {
        Some(dtype) if !cpu_tensor::in_graph(&[x, weight, bias]) => {
            with_element!(dtype, E => {
                cpu_tensor::with::<E, _>(x, |x| {
                    cpu_tensor::with::<E, _>(weight, |weight| cpu_tensor::with::<E, _>(bias, |bias| Ok(norm.forward(x, weight, bias))))
                })
                .and_then(|out| Tensor::from_vec(out, x.shape(), x.device()))
            })
        }
        Some(candle_core::DType::F32) => x.contiguous()?.apply_op3(&weight.contiguous()?, &bias.contiguous()?, norm),
        _ if cuda::fit(&[x, weight, bias]) => cuda::layer_norm(x, weight, bias, eps),
        _ => reference::layer_norm(x, weight, bias, eps),
    }
}

#[derive(Clone, Copy)]
struct LayerNorm {
    size: usize,
    eps: f32,
}

/// Values that one task looks at.
const SHARE: usize = 1 << 16;

impl LayerNorm {
    /// Rows per task.
    fn block(&self) -> usize {
        (SHARE / self.size).max(1)
    }

    fn forward<E: Element>(&self, x: &[E], weight: &[E], bias: &[E]) -> Vec<E> {
        let weight: Vec<f32> = weight.iter().map(|value| value.to_f32()).collect();
        let bias: Vec<f32> = bias.iter().map(|value| value.to_f32()).collect();
        let part = self.block() * self.size;
        let mut out = Vec::new();
        let target = Target::new(&mut out, x.len());
        parallel::for_each(x.len().div_ceil(part), |task| {
            let from = task * part;
            let x = &x[from..x.len().min(from + part)];
            let out = target.at(from);
            #[allow(unsafe_code)]
            // SAFETY: weight and bias are as long as a row, and the results from `from` on belong to this task.
            unsafe {
                simd::dispatch(Forward { x, weight: &weight, bias: &bias, eps: self.eps, out });
            }
        });
        #[allow(unsafe_code)]
        // SAFETY: room for as many values was reserved, and the tasks wrote every one of them.
        unsafe {
            out.set_len(x.len());
        }
        out
    }
}

/// Whole rows.
///
/// # Safety
/// To run it, `weight` and `bias` must be as long as a row, and as many results as `x` has values writable at `out`, by
/// this task alone.
struct Forward<'a, E> {
    x: &'a [E],
    weight: &'a [f32],
    bias: &'a [f32],
    eps: f32,
    out: *mut E,
}

#[allow(unsafe_code)]
impl<E: Element> Task for Forward<'_, E> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self, s: S) {
        let size = self.weight.len();
        let count = size as f32;
        for (row, x) in self.x.chunks_exact(size).enumerate() {
            // SAFETY: a row has `size` values, as have weight and bias; the results are the caller's promise.
            unsafe {
                let x = x.as_ptr();
                let mut total = s.splat(0.0);
                for at in (0..size).step_by(S::LANES) {
                    total = s.add(total, E::load_part(s, x.add(at), size - at));
                }
                let mean = s.sum(total) / count;
                let mut squares = s.splat(0.0);
                for at in (0..size / S::LANES * S::LANES).step_by(S::LANES) {
                    let difference = s.sub(E::load(s, x.add(at)), s.splat(mean));
                    squares = s.mul_add(difference, difference, squares);
                }
                let mut squares = s.sum(squares);
                for at in size / S::LANES * S::LANES..size {
                    let difference = (*x.add(at)).to_f32() - mean;
                    squares += difference * difference;
                }
                let rstd = 1.0 / (squares / count + self.eps).sqrt();
                for at in (0..size).step_by(S::LANES) {
                    let left = size - at;
                    let normal = s.mul(s.sub(E::load_part(s, x.add(at), left), s.splat(mean)), s.splat(rstd));
                    let weight = f32::load_part(s, self.weight.as_ptr().add(at), left);
                    let bias = f32::load_part(s, self.bias.as_ptr().add(at), left);
                    E::store_part(s, self.out.add(row * size + at), s.mul_add(normal, weight, bias), left);
                }
            }
        }
    }
}

impl CustomOp3 for LayerNorm {
    fn name(&self) -> &'static str {
        "layer_norm"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        lx: &Layout,
        w: &CpuStorage,
        lw: &Layout,
        b: &CpuStorage,
        lb: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let x = cpu_tensor::values(x.as_slice::<f32>()?, lx)?;
        let (w, b) = (cpu_tensor::values(w.as_slice::<f32>()?, lw)?, cpu_tensor::values(b.as_slice::<f32>()?, lb)?);
        Ok((CpuStorage::F32(self.forward(x, w, b)), lx.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        _bias: &Tensor,
        _out: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let size = self.size;
        let part = self.block() * size;
        let mut dx = vec![0.0f32; x.elem_count()];
        let target = parallel::Shared::new(&mut dx);
        // d weight, then d bias.
        let sums = cpu_tensor::with::<f32, _>(x, |x| {
            cpu_tensor::with::<f32, _>(weight, |w| {
                cpu_tensor::with::<f32, _>(grad, |dy| {
                    Ok(parallel::sum_over(x.len().div_ceil(part), 2 * size, |task, sums| {
                        let (from, to) = (task * part, x.len().min((task + 1) * part));
                        let (dw, db) = sums.split_at_mut(size);
                        #[allow(unsafe_code)]
                        // SAFETY: every row belongs to one task.
                        let dx = unsafe { target.slice(from, to - from) };
                        let rows = x[from..to].chunks_exact(size).zip(dy[from..to].chunks_exact(size));
                        for ((x, dy), dx) in rows.zip(dx.chunks_exact_mut(size)) {
                            backward_row(x, dy, w, self.eps, dx, dw, db);
                        }
                    }))
                })
            })
        })?;
        let device = x.device();
        Ok((
            Some(Tensor::from_vec(dx, x.shape(), device)?),
            Some(Tensor::from_slice(&sums[..size], size, device)?),
            Some(Tensor::from_slice(&sums[size..], size, device)?),
        ))
    }
}

vectorized! {
    /// With x̂ the normalised row and g the gradient before scale and shift: dx = rstd · (g − mean(g) − x̂ · mean(g x̂)).
    fn backward_row(
        x: &[f32],
        dy: &[f32],
        weight: &[f32],
        eps: f32,
        dx: &mut [f32],
        dw: &mut [f32],
        db: &mut [f32],
    ) {
        let n = x.len();
        let (dy, weight, dx, dw, db) = (&dy[..n], &weight[..n], &mut dx[..n], &mut dw[..n], &mut db[..n]);
        let count = n as f32;
        let mean = sum(n, |i| x[i]) / count;
        let variance = sum(n, |i| (x[i] - mean) * (x[i] - mean)) / count;
        let rstd = 1.0 / (variance + eps).sqrt();
        for i in 0..n {
            dw[i] += dy[i] * (x[i] - mean) * rstd;
            db[i] += dy[i];
            dx[i] = dy[i] * weight[i];
        }
        let mean_g = sum(n, |i| dx[i]) / count;
        let mean_gx = sum(n, |i| dx[i] * (x[i] - mean)) * rstd / count;
        for i in 0..n {
            dx[i] = rstd * (dx[i] - mean_g - (x[i] - mean) * rstd * mean_gx);
        }
    }
}
