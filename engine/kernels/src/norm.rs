//! Group normalisation (optionally with SiLU in the same pass) and layer normalisation.

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor, bail};

use crate::simd::{sigmoid, sum, vectorized};
use crate::{host, parallel, reference};

/// Normalises each of `groups` groups of channels of `x` (B, C, H, W) to mean 0 and variance 1, then scales and shifts
/// each channel by `weight` and `bias` (C), then applies SiLU where asked. Gradients for all three.
pub fn group_norm(x: &Tensor, weight: &Tensor, bias: &Tensor, groups: usize, eps: f64, silu: bool) -> Result<Tensor> {
    let (_, c, h, w) = x.dims4()?;
    if groups == 0 || c % groups != 0 {
        bail!("group_norm: {c} channels do not divide into {groups} groups");
    }
    if !host::is_fast(&[x, weight, bias]) {
        return reference::group_norm(x, weight, bias, groups, eps, silu);
    }
    let op = Norm { rows_per_sample: groups, channels: c / groups, run: h * w, eps: eps as f32, silu };
    x.contiguous()?.apply_op3(&weight.contiguous()?, &bias.contiguous()?, op)
}

/// Normalises the last dimension of `x` (…, D) to mean 0 and variance 1, then scales and shifts by `weight` and `bias`
/// (D). Gradients for all three.
pub fn layer_norm(x: &Tensor, weight: &Tensor, bias: &Tensor, eps: f64) -> Result<Tensor> {
    if !host::is_fast(&[x, weight, bias]) {
        return reference::layer_norm(x, weight, bias, eps);
    }
    let channels = x.dim(candle_core::D::Minus1)?;
    let op = Norm { rows_per_sample: 1, channels, run: 1, eps: eps as f32, silu: false };
    x.contiguous()?.apply_op3(&weight.contiguous()?, &bias.contiguous()?, op)
}

/// Both kinds at once: a row is what shares its statistics; it has `channels` channels of `run` values each, and
/// `rows_per_sample` consecutive rows have channels of their own.
#[derive(Clone, Copy)]
struct Norm {
    rows_per_sample: usize,
    channels: usize,
    run: usize,
    eps: f32,
    silu: bool,
}

impl Norm {
    fn row_len(&self) -> usize {
        self.channels * self.run
    }

    /// The channels of row `row`: where its weights start.
    fn first_channel(&self, row: usize) -> usize {
        row % self.rows_per_sample * self.channels
    }

    /// Rows per task: enough that handing a task over costs nothing beside it.
    fn block(&self) -> usize {
        (16_384 / self.row_len()).max(1)
    }
}

impl CustomOp3 for Norm {
    fn name(&self) -> &'static str {
        "norm"
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
        let (x, w, b) = (host::values(x, lx)?, host::values(w, lw)?, host::values(b, lb)?);
        if w.len() != self.rows_per_sample * self.channels || b.len() != w.len() {
            bail!("norm: {} weights for {} channels", w.len(), self.rows_per_sample * self.channels);
        }
        let (len, block) = (self.row_len(), self.block());
        let mut out = vec![0.0f32; x.len()];
        let target = parallel::Shared::new(&mut out);
        let rows = x.len() / len;
        parallel::for_each(rows.div_ceil(block), |task| {
            for row in task * block..((task + 1) * block).min(rows) {
                #[allow(unsafe_code)]
                // SAFETY: every row belongs to one task.
                let out = unsafe { target.slice(row * len, len) };
                let first = self.first_channel(row);
                let channels = first..first + self.channels;
                forward_row(&x[row * len..][..len], &w[channels.clone()], &b[channels], *self, out);
            }
        });
        Ok((CpuStorage::F32(out), lx.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        _out: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let (len, block) = (self.row_len(), self.block());
        let all_channels = self.rows_per_sample * self.channels;
        let mut dx = vec![0.0f32; x.elem_count()];
        let target = parallel::Shared::new(&mut dx);
        let rows = x.elem_count() / len;
        // The sums are d weight, then d bias.
        let sums = host::with_values(x, |x| {
            host::with_values(weight, |w| {
                host::with_values(bias, |b| {
                    host::with_values(grad, |dy| {
                        Ok(parallel::sum_over(rows.div_ceil(block), 2 * all_channels, |task, sums| {
                            let (dw, db) = sums.split_at_mut(all_channels);
                            for row in task * block..((task + 1) * block).min(rows) {
                                #[allow(unsafe_code)]
                                // SAFETY: every row belongs to one task.
                                let dx = unsafe { target.slice(row * len, len) };
                                let first = self.first_channel(row);
                                let channels = first..first + self.channels;
                                backward_row(
                                    &x[row * len..][..len],
                                    &dy[row * len..][..len],
                                    &w[channels.clone()],
                                    &b[channels.clone()],
                                    *self,
                                    dx,
                                    &mut dw[channels.clone()],
                                    &mut db[channels],
                                );
                            }
                        }))
                    })
                })
            })
        })?;
        let device = x.device();
        Ok((
            Some(Tensor::from_vec(dx, x.shape(), device)?),
            Some(Tensor::from_slice(&sums[..all_channels], all_channels, device)?),
            Some(Tensor::from_slice(&sums[all_channels..], all_channels, device)?),
        ))
    }
}

/// Mean and 1/√(variance + eps) of a row.
#[inline(always)]
fn statistics(x: &[f32], eps: f32) -> (f32, f32) {
    let len = x.len() as f32;
    let mean = sum(x.len(), |i| x[i]) / len;
    let variance = sum(x.len(), |i| (x[i] - mean) * (x[i] - mean)) / len;
    (mean, 1.0 / (variance + eps).sqrt())
}

vectorized! {
    fn forward_row(x: &[f32], weight: &[f32], bias: &[f32], norm: Norm, out: &mut [f32]) {
        let (mean, rstd) = statistics(x, norm.eps);
        if norm.run == 1 && !norm.silu {
            for i in 0..x.len().min(out.len()).min(weight.len()).min(bias.len()) {
                out[i] = (x[i] - mean) * rstd * weight[i] + bias[i];
            }
            return;
        }
        let runs = x.chunks_exact(norm.run).zip(out.chunks_exact_mut(norm.run));
        for ((x, out), (weight, bias)) in runs.zip(weight.iter().zip(bias)) {
            let scale = rstd * weight;
            let shift = bias - mean * scale;
            if norm.silu {
                for (out, x) in out.iter_mut().zip(x) {
                    let y = x * scale + shift;
                    *out = y * sigmoid(y);
                }
            } else {
                for (out, x) in out.iter_mut().zip(x) {
                    *out = x * scale + shift;
                }
            }
        }
    }
}

vectorized! {
    /// With x̂ the normalised row and g the gradient before scale and shift: dx = rstd · (g − mean(g) − x̂ · mean(g x̂)).
    fn backward_row(
        x: &[f32],
        dy: &[f32],
        weight: &[f32],
        bias: &[f32],
        norm: Norm,
        dx: &mut [f32],
        dw: &mut [f32],
        db: &mut [f32],
    ) {
        let (mean, rstd) = statistics(x, norm.eps);
        let len = x.len();
        if norm.run == 1 && !norm.silu {
            let n = len.min(dy.len()).min(dx.len()).min(weight.len()).min(dw.len()).min(db.len());
            for i in 0..n {
                dw[i] += dy[i] * (x[i] - mean) * rstd;
                db[i] += dy[i];
                dx[i] = dy[i] * weight[i];
            }
        } else {
            for channel in 0..norm.channels {
                let run = channel * norm.run..(channel + 1) * norm.run;
                let (x, dy, dx) = (&x[run.clone()], &dy[run.clone()], &mut dx[run]);
                let (scale, shift) = (weight[channel], bias[channel]);
                for i in 0..x.len().min(dy.len()).min(dx.len()) {
                    let y = (x[i] - mean) * rstd * scale + shift;
                    let slope = if norm.silu {
                        let s = sigmoid(y);
                        s * (1.0 + y * (1.0 - s))
                    } else {
                        1.0
                    };
                    dx[i] = dy[i] * slope;
                }
                let n = x.len().min(dx.len());
                dw[channel] += sum(n, |i| dx[i] * (x[i] - mean)) * rstd;
                db[channel] += sum(n, |i| dx[i]);
                for value in dx.iter_mut() {
                    *value *= scale;
                }
            }
        }
        let n = len.min(dx.len());
        let mean_g = sum(n, |i| dx[i]) / len as f32;
        let mean_gx = sum(n, |i| dx[i] * (x[i] - mean)) * rstd / len as f32;
        for i in 0..n {
            dx[i] = rstd * (dx[i] - mean_g - (x[i] - mean) * rstd * mean_gx);
        }
    }
}
