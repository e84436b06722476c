//! The gated activation of the transformer blocks (Shazeer, "GLU Variants Improve Transformer").

use candle_core::{CpuStorage, CustomOp1, D, DType, Layout, Result, Shape, Tensor, bail};

use crate::simd::{exp, vectorized};
use crate::{cpu_tensor, cuda, parallel, reference};

/// `a · GELU(g)` where `x` (…, 2F) is `a` followed by `g`; gives (…, F). GELU in its exact form, with erf.
pub fn geglu(x: &Tensor) -> Result<Tensor> {
    if x.dim(D::Minus1)? % 2 != 0 {
        bail!("geglu: the last dimension of {:?} is odd", x.shape());
    }
    match cpu_tensor::fast(&[x]) {
        Some(DType::F32) => x.contiguous()?.apply_op1(Geglu),
        _ if cuda::fit(&[x]) => cuda::geglu(x),
        _ => reference::geglu(x),
    }
}

struct Geglu;

/// Values per task.
const BLOCK: usize = 16_384;

impl CustomOp1 for Geglu {
    fn name(&self) -> &'static str {
        "geglu"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let x = cpu_tensor::values(storage.as_slice::<f32>()?, layout)?;
        let mut dims = layout.dims().to_vec();
        let Some(last) = dims.last_mut() else { bail!("geglu: a scalar has no halves") };
        *last /= 2;
        let half = *last;
        let mut out = vec![0.0f32; x.len() / 2];
        let target = parallel::Shared::new(&mut out);
        let (rows, block) = (x.len() / (2 * half), BLOCK.div_ceil(2 * half));
        parallel::for_each(rows.div_ceil(block), |task| {
            for row in task * block..((task + 1) * block).min(rows) {
                #[allow(unsafe_code)]
                // SAFETY: every row belongs to one task.
                let out = unsafe { target.slice(row * half, half) };
                let (a, g) = x[row * 2 * half..][..2 * half].split_at(half);
                forward_row(a, g, out);
            }
        });
        Ok((CpuStorage::F32(out), dims.into()))
    }

    fn bwd(&self, x: &Tensor, _out: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let half = x.dim(D::Minus1)? / 2;
        let mut dx = vec![0.0f32; x.elem_count()];
        cpu_tensor::with::<f32, _>(x, |x| {
            cpu_tensor::with::<f32, _>(grad, |dy| {
                for ((x, dy), dx) in
                    x.chunks_exact(2 * half).zip(dy.chunks_exact(half)).zip(dx.chunks_exact_mut(2 * half))
                {
                    let ((a, g), (da, dg)) = (x.split_at(half), dx.split_at_mut(half));
                    backward_row(a, g, dy, da, dg);
                }
                Ok(())
            })
        })?;
        Ok(Some(Tensor::from_vec(dx, x.shape(), x.device())?))
    }
}

/// Φ(x) and φ(x) of the normal distribution; erf after Abramowitz and Stegun 7.1.26, |error| < 1.5e-7.
#[inline(always)]
fn normal(x: f32) -> (f32, f32) {
    let z = x.abs() * std::f32::consts::FRAC_1_SQRT_2;
    let t = 1.0 / (1.0 + 0.327_591_1 * z);
    let bell = exp(-z * z);
    let tail = t * (0.254_829_6 + t * (-0.284_496_73 + t * (1.421_413_7 + t * (-1.453_152 + t * 1.061_405_4)))) * bell;
    let cdf = if x < 0.0 { 0.5 * tail } else { 1.0 - 0.5 * tail };
    (cdf, bell * 0.398_942_3)
}

vectorized! {
    fn forward_row(a: &[f32], g: &[f32], out: &mut [f32]) {
        let n = out.len().min(a.len()).min(g.len());
        for i in 0..n {
            out[i] = a[i] * g[i] * normal(g[i]).0;
        }
    }
}

vectorized! {
    fn backward_row(a: &[f32], g: &[f32], dy: &[f32], da: &mut [f32], dg: &mut [f32]) {
        let n = a.len().min(g.len()).min(dy.len()).min(da.len()).min(dg.len());
        for i in 0..n {
            let (cdf, pdf) = normal(g[i]);
            da[i] = dy[i] * g[i] * cdf;
            dg[i] = dy[i] * a[i] * (cdf + g[i] * pdf);
        }
    }
}
