//! Group normalisation (Wu and He, arXiv 1803.08494), alone or with SiLU in the same pass. Images are (B, H, W, C).

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor, bail};

use crate::cpu_tensor::with_element;
use crate::element::Element;
use crate::packed_gemm::Target;
use crate::simd::{self, Simd, Task, sigmoid, vectorized};
use crate::{cpu_tensor, cuda, parallel, reference};

/// Normalises each of `groups` groups of channels of `x` (B, H, W, C) to mean 0 and variance 1, then scales and shifts
/// each channel by `weight` and `bias` (C), then applies SiLU where asked. Statistics are taken in f32 or better.
/// Gradients for all three.
pub fn group_norm(x: &Tensor, weight: &Tensor, bias: &Tensor, groups: usize, eps: f64, silu: bool) -> Result<Tensor> {
    let (b, h, w, c) = x.dims4()?;
    if groups == 0 || c % groups != 0 || weight.dims() != [c] || bias.dims() != [c] {
        bail!(
            "group_norm: {c} channels do not divide into {groups} groups, or have other weights {:?}",
            weight.shape()
        );
    }
    let norm = GroupNorm { samples: b, pixels: h * w, channels: c, groups, eps, silu };
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
        _ if cuda::fit(&[x, weight, bias]) => cuda::group_norm(x, weight, bias, groups, eps, silu),
        _ => reference::group_norm(x, weight, bias, groups, eps, silu),
    }
}

#[derive(Clone, Copy)]
struct GroupNorm {
    samples: usize,
    /// Of one sample.
    pixels: usize,
    channels: usize,
    groups: usize,
    eps: f64,
    silu: bool,
}

/// Values that one task looks at.
const SHARE: usize = 1 << 16;

impl GroupNorm {
    /// Pixels per task, and tasks per sample.
    fn blocks(&self) -> (usize, usize) {
        let block = (SHARE / self.channels).clamp(1, self.pixels);
        (block, self.pixels.div_ceil(block))
    }

    /// What every channel of every sample is multiplied by before it is shifted, without the weights:
    /// (samples, channels) of mean and 1/√(variance + eps).
    fn statistics<E: Element>(&self, x: &[E]) -> Vec<(f32, f32)> {
        let (block, blocks) = self.blocks();
        let channels = self.channels;
        let mut sums = vec![0.0f32; self.samples * blocks * 2 * channels];
        let target = parallel::Shared::new(&mut sums);
        parallel::for_each(self.samples * blocks, |task| {
            let (sample, first) = (task / blocks, task % blocks * block);
            let count = block.min(self.pixels - first);
            #[allow(unsafe_code)]
            // SAFETY: every task has a part of its own.
            let sums = unsafe { target.slice(task * 2 * channels, 2 * channels) };
            let image = &x[sample * self.pixels * channels..];
            let x = &image[first * channels..][..count * channels];
            #[allow(unsafe_code)]
            // SAFETY: `x` is whole pixels, `sums` as long as two.
            unsafe {
                simd::dispatch(Sums { x, origin: &image[..channels], channels, to: sums });
            }
        });
        let per_group = channels / self.groups;
        let count = (self.pixels * per_group) as f64;
        let mut statistics = Vec::with_capacity(self.samples * channels);
        for sample in 0..self.samples {
            let sums = &sums[sample * blocks * 2 * channels..][..blocks * 2 * channels];
            // The sums are of differences from the sample's first pixel, so that a large mean costs no digits.
            let origin = &x[sample * self.pixels * channels..][..channels];
            let total =
                |channel: usize| sums.iter().skip(channel).step_by(2 * channels).map(|s| f64::from(*s)).sum::<f64>();
            let pixels = self.pixels as f64;
            let moments: Vec<(f64, f64)> = (0..channels)
                .map(|channel| {
                    let mean = total(channel) / pixels;
                    let spread = total(channels + channel) - pixels * mean * mean;
                    (mean + f64::from(origin[channel].to_f32()), spread)
                })
                .collect();
            for group in moments.chunks_exact(per_group) {
                let mean = group.iter().map(|(mean, _)| mean).sum::<f64>() / per_group as f64;
                let spread: f64 = group.iter().map(|(own, spread)| spread + pixels * (own - mean) * (own - mean)).sum();
                let rstd = 1.0 / (spread.max(0.0) / count + self.eps).sqrt();
                statistics.extend(std::iter::repeat_n((mean as f32, rstd as f32), per_group));
            }
        }
        statistics
    }

    fn forward<E: Element>(&self, x: &[E], weight: &[E], bias: &[E]) -> Vec<E> {
        let statistics = self.statistics(x);
        let (scales, shifts): (Vec<f32>, Vec<f32>) = statistics
            .iter()
            .enumerate()
            .map(|(at, (mean, rstd))| {
                let scale = weight[at % self.channels].to_f32() * rstd;
                (scale, bias[at % self.channels].to_f32() - mean * scale)
            })
            .unzip();
        let (block, blocks) = self.blocks();
        let channels = self.channels;
        let mut out = Vec::new();
        let target = Target::new(&mut out, x.len());
        parallel::for_each(self.samples * blocks, |task| {
            let (sample, first) = (task / blocks, task % blocks * block);
            let from = (sample * self.pixels + first) * channels;
            let count = block.min(self.pixels - first) * channels;
            let own = sample * channels..(sample + 1) * channels;
            let (scale, shift) = (&scales[own.clone()], &shifts[own]);
            let (x, out) = (&x[from..from + count], target.at(from));
            #[allow(unsafe_code)]
            // SAFETY: whole pixels, and the results from `from` on belong to this task.
            unsafe {
                simd::dispatch(Apply { x, scale, shift, silu: self.silu, out });
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

/// Adds up the differences of `x` (pixels, channels) from `origin` (channels), and their squares: (2, channels).
///
/// # Safety
/// To run it, the slices must be as long as said.
struct Sums<'a, E> {
    x: &'a [E],
    origin: &'a [E],
    channels: usize,
    to: &'a mut [f32],
}

#[allow(unsafe_code)]
impl<E: Element> Task for Sums<'_, E> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self, s: S) {
        for channel in (0..self.channels).step_by(S::LANES) {
            let left = self.channels - channel;
            // SAFETY: `left` values are left of every pixel, by the caller's promise.
            unsafe {
                let origin = E::load_part(s, self.origin.as_ptr().add(channel), left);
                let (mut sum, mut squares) = (s.splat(0.0), s.splat(0.0));
                let mut from = self.x.as_ptr().add(channel);
                for _ in 0..self.x.len() / self.channels {
                    let difference = s.sub(E::load_part(s, from, left), origin);
                    sum = s.add(sum, difference);
                    squares = s.mul_add(difference, difference, squares);
                    from = from.wrapping_add(self.channels);
                }
                f32::store_part(s, self.to.as_mut_ptr().add(channel), sum, left);
                f32::store_part(s, self.to.as_mut_ptr().add(self.channels + channel), squares, left);
            }
        }
    }
}

/// `out = x · scale + shift` of whole pixels, then SiLU where asked.
///
/// # Safety
/// To run it, `scale` and `shift` must be as long as a pixel, and as many results as `x` has values writable at `out`, by
/// this task alone.
struct Apply<'a, E> {
    x: &'a [E],
    scale: &'a [f32],
    shift: &'a [f32],
    silu: bool,
    out: *mut E,
}

#[allow(unsafe_code)]
impl<E: Element> Task for Apply<'_, E> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self, s: S) {
        let channels = self.scale.len();
        for first in (0..self.x.len()).step_by(channels) {
            for channel in (0..channels).step_by(S::LANES) {
                let left = channels - channel;
                // SAFETY: `left` values are left of every pixel, by the caller's promise.
                unsafe {
                    let x = E::load_part(s, self.x.as_ptr().add(first + channel), left);
                    let scale = f32::load_part(s, self.scale.as_ptr().add(channel), left);
                    let shift = f32::load_part(s, self.shift.as_ptr().add(channel), left);
                    let y = s.mul_add(x, scale, shift);
                    let y = if self.silu { simd::silu_vector(s, y, 1.0) } else { y };
                    E::store_part(s, self.out.add(first + channel), y, left);
                }
            }
        }
    }
}

/// Given an image, weights, biases, and the result's gradient.
type Work<'a> = dyn FnMut(&[f32], &[f32], &[f32], &[f32]) + 'a;

impl CustomOp3 for GroupNorm {
    fn name(&self) -> &'static str {
        "group_norm"
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
        bias: &Tensor,
        _out: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let (channels, len) = (self.channels, self.pixels * self.channels);
        let per_group = channels / self.groups;
        let mut dx = vec![0.0f32; x.elem_count()];
        let target = parallel::Shared::new(&mut dx);
        let with = |f: &mut Work<'_>| {
            cpu_tensor::with::<f32, _>(x, |x| {
                cpu_tensor::with::<f32, _>(weight, |w| {
                    cpu_tensor::with::<f32, _>(bias, |b| {
                        cpu_tensor::with::<f32, _>(grad, |dy| {
                            f(x, w, b, dy);
                            Ok(())
                        })
                    })
                })
            })
        };
        // d bias, then d weight.
        let mut gradients = Vec::new();
        with(&mut |x, w, b, dy| {
            let statistics = self.statistics(x);
            gradients = parallel::sum_over(self.samples, 2 * channels, |sample, gradients| {
                let statistics = &statistics[sample * channels..][..channels];
                let (x, dy) = (&x[sample * len..][..len], &dy[sample * len..][..len]);
                #[allow(unsafe_code)]
                // SAFETY: every sample belongs to one task.
                let dx = unsafe { target.slice(sample * len, len) };
                let mean: Vec<f32> = statistics.iter().map(|(mean, _)| *mean).collect();
                let rstd: Vec<f32> = statistics.iter().map(|(_, rstd)| *rstd).collect();
                let (mut sum, mut sum_x) = (vec![0.0f32; channels], vec![0.0f32; channels]);
                for ((x, dy), dx) in
                    x.chunks_exact(channels).zip(dy.chunks_exact(channels)).zip(dx.chunks_exact_mut(channels))
                {
                    slopes(x, dy, [&mean, &rstd, w, b], self.silu, dx, &mut sum, &mut sum_x);
                }
                // Of the gradient before scale and shift, over each group: its mean, and its mean with x̂.
                let count = (self.pixels * per_group) as f32;
                let average = |sums: &[f32]| -> Vec<f32> {
                    let groups = sums.chunks_exact(per_group).zip(w.chunks_exact(per_group));
                    let means = groups.map(|(sums, w)| sums.iter().zip(w).map(|(s, w)| s * w).sum::<f32>() / count);
                    means.flat_map(|mean| std::iter::repeat_n(mean, per_group)).collect()
                };
                let (mean_g, mean_gx) = (average(&sum), average(&sum_x));
                for (x, dx) in x.chunks_exact(channels).zip(dx.chunks_exact_mut(channels)) {
                    finish(x, [&mean, &rstd, w], &mean_g, &mean_gx, dx);
                }
                let (db, dw) = gradients.split_at_mut(channels);
                db.iter_mut().zip(&sum).for_each(|(to, value)| *to += value);
                dw.iter_mut().zip(&sum_x).for_each(|(to, value)| *to += value);
            });
        })?;
        let device = x.device();
        Ok((
            Some(Tensor::from_vec(dx, x.shape(), device)?),
            Some(Tensor::from_slice(&gradients[channels..], channels, device)?),
            Some(Tensor::from_slice(&gradients[..channels], channels, device)?),
        ))
    }
}

vectorized! {
    /// One pixel's gradient through the activation, into `dx`; added up alone and with x̂. `channels`: mean, 1/√variance,
    /// weight, bias.
    fn slopes(
        x: &[f32],
        dy: &[f32],
        channels: [&[f32]; 4],
        silu: bool,
        dx: &mut [f32],
        sum: &mut [f32],
        sum_x: &mut [f32],
    ) {
        let n = x.len();
        let (dy, dx, sum, sum_x) = (&dy[..n], &mut dx[..n], &mut sum[..n], &mut sum_x[..n]);
        let [mean, rstd, weight, bias] = channels;
        let (mean, rstd, weight, bias) = (&mean[..n], &rstd[..n], &weight[..n], &bias[..n]);
        for i in 0..n {
            let normal = (x[i] - mean[i]) * rstd[i];
            let slope = if silu {
                let y = normal * weight[i] + bias[i];
                let s = sigmoid(y);
                s * (1.0 + y * (1.0 - s))
            } else {
                1.0
            };
            let g = dy[i] * slope;
            dx[i] = g;
            sum[i] += g;
            sum_x[i] += g * normal;
        }
    }
}

vectorized! {
    /// With x̂ the normalised pixel and g the gradient before scale and shift: rstd · (g − mean(g) − x̂ · mean(g x̂)).
    /// `channels`: mean, 1/√variance, weight.
    fn finish(
        x: &[f32],
        channels: [&[f32]; 3],
        mean_g: &[f32],
        mean_gx: &[f32],
        dx: &mut [f32],
    ) {
        let n = x.len();
        let [mean, rstd, weight] = channels;
        let (mean, rstd, weight) = (&mean[..n], &rstd[..n], &weight[..n]);
        let (mean_g, mean_gx, dx) = (&mean_g[..n], &mean_gx[..n], &mut dx[..n]);
        for i in 0..n {
            let normal = (x[i] - mean[i]) * rstd[i];
            dx[i] = rstd[i] * (weight[i] * dx[i] - mean_g[i] - normal * mean_gx[i]);
        }
    }
}
