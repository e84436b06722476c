//! Convolution of stride 1 without laying out patches: the image gets its zero border once, and its rows are then read
//! as one long line. A kernel position is a shift along that line, so that vectors run over row ends; what they compute
//! in the border columns is thrown away.

use std::ops::Range;

use crate::parallel;
use crate::simd::{Simd, with_simd};

/// The longest vectors' lanes.
const LANES: usize = 16;
/// Vectors of pixels that are computed at once …
const VECTORS: usize = 3;
/// … for this many channels: together they fill the registers of AVX-512.
const CHANNELS: usize = 8;
/// Pixels that are computed at once.
const PIXELS: usize = VECTORS * LANES;
/// Pixels over which one load of the weights into the cache is used.
const BLOCK: usize = 4 * PIXELS;
/// Pixels over which a weight's gradient is summed in registers.
const CHUNK: usize = 1024;

/// Rows of an image with its border of zeros.
struct Padded {
    values: Vec<f32>,
    /// Values from one channel to the next.
    plane: usize,
}

/// The same from some pixel on.
#[derive(Clone, Copy)]
struct Line<'a> {
    values: &'a [f32],
    plane: usize,
}

impl Padded {
    fn from(&self, at: usize) -> Line<'_> {
        Line { values: &self.values[at..], plane: self.plane }
    }
}

/// The sizes of a convolution of stride 1 from `channels` to `out_channels`.
#[derive(Clone, Copy)]
pub(super) struct Direct {
    pub batch: usize,
    pub channels: usize,
    pub height: usize,
    pub width: usize,
    pub out_channels: usize,
    pub kernel: (usize, usize),
    pub padding: usize,
}

impl Direct {
    fn row(&self) -> usize {
        self.width + 2 * self.padding
    }

    fn out_height(&self) -> usize {
        self.height + 2 * self.padding + 1 - self.kernel.0
    }

    fn out_width(&self) -> usize {
        self.row() + 1 - self.kernel.1
    }

    /// The line of output pixels, border columns included.
    fn line(&self) -> usize {
        self.out_height() * self.row()
    }

    /// These rows of one sample with its border of zeros, and so many zeros more at the end that a vector never reaches
    /// outside. `rows` counts from the top of the border.
    fn pad(&self, x: &[f32], rows: Range<usize>) -> Padded {
        let plane = rows.len() * self.row();
        let slack = self.kernel.0 * self.row() + self.kernel.1 + BLOCK;
        let mut values = vec![0.0; self.channels * plane + slack];
        for (channel, source) in x.chunks_exact(self.height * self.width).enumerate() {
            for y in rows.start.max(self.padding)..rows.end.min(self.padding + self.height) {
                let row = &source[(y - self.padding) * self.width..][..self.width];
                values[channel * plane + (y - rows.start) * self.row() + self.padding..][..self.width]
                    .copy_from_slice(row);
            }
        }
        Padded { values, plane }
    }

    /// The rows of the padded image that the outputs `start .. end` of the line are made of.
    fn rows(&self, start: usize, end: usize) -> Range<usize> {
        start / self.row()..(end - 1) / self.row() + self.kernel.0
    }

    /// Weights (O, C, kh, kw) as (blocks of `CHANNELS` outputs, C, kh·kw, `CHANNELS`), filled up with zeros.
    fn pack(&self, weight: &[f32]) -> Vec<f32> {
        let patch = self.channels * self.kernel.0 * self.kernel.1;
        let mut packed = vec![0.0; self.out_channels.next_multiple_of(CHANNELS) * patch];
        for (out, row) in weight.chunks_exact(patch).enumerate() {
            let (block, lane) = (out / CHANNELS, out % CHANNELS);
            for (at, value) in row.iter().enumerate() {
                packed[(block * patch + at) * CHANNELS + lane] = *value;
            }
        }
        packed
    }

    /// `x` (B, C, H, W) to (B, O, H', W').
    pub(super) fn forward(&self, x: &[f32], weight: &[f32], bias: Option<&[f32]>) -> Vec<f32> {
        let weight = self.pack(weight);
        let plane = self.out_height() * self.out_width();
        let patch = self.channels * self.kernel.0 * self.kernel.1;
        let mut out = vec![0.0f32; self.batch * self.out_channels * plane];
        let target = parallel::Shared::new(&mut out);
        let sample_len = self.channels * self.height * self.width;
        let threads = parallel::threads();
        // Whole samples to each core where there are enough of them, else parts of the line.
        let parts = if self.batch >= threads { 1 } else { threads.min(self.line().div_ceil(PIXELS)) };
        let per_part = self.line().div_ceil(parts).next_multiple_of(PIXELS);
        parallel::for_each(self.batch * parts, |task| {
            let (sample, part) = (task / parts, task % parts);
            let (first, end) = (part * per_part, ((part + 1) * per_part).min(self.line()));
            if first >= end {
                return;
            }
            // Each part of the line lays out only what it reads: together they hold the image once, and a few rows.
            let rows = self.rows(first, end);
            let skipped = rows.start * self.row();
            let padded = self.pad(&x[sample * sample_len..][..sample_len], rows);
            let mut values = vec![0.0f32; CHANNELS * BLOCK];
            for start in (first..end).step_by(BLOCK) {
                let len = BLOCK.min(end - start);
                for (block, weight) in weight.chunks_exact(patch * CHANNELS).enumerate() {
                    let channels = CHANNELS.min(self.out_channels - block * CHANNELS);
                    multiply(padded.from(start - skipped), weight, *self, len.div_ceil(PIXELS), channels, &mut values);
                    for lane in 0..channels {
                        let channel = block * CHANNELS + lane;
                        let bias = bias.map_or(0.0, |bias| bias[channel]);
                        let plane_start = (sample * self.out_channels + channel) * plane;
                        for (at, to, len) in self.runs(start, len) {
                            #[allow(unsafe_code)]
                            // SAFETY: samples, channels and parts of the line do not overlap.
                            let out = unsafe { target.slice(plane_start + to, len) };
                            let values = &values[lane * BLOCK + at..][..len];
                            out.iter_mut().zip(values).for_each(|(out, value)| *out = value + bias);
                        }
                    }
                }
            }
        });
        out
    }

    /// The runs of real pixels in `start .. start + len` of the line: (offset from start, offset in the plane, length).
    fn runs(&self, start: usize, len: usize) -> impl Iterator<Item = (usize, usize, usize)> + use<> {
        let (row, width) = (self.row(), self.out_width());
        (start / row..(start + len).div_ceil(row)).filter_map(move |y| {
            let from = (y * row).max(start);
            let to = (y * row + width).min(start + len);
            (from < to).then(|| (from - start, y * width + from - y * row, to - from))
        })
    }

    /// The gradient of the input: the convolution of the output's gradient with the weights turned around.
    pub(super) fn input_gradient(&self, weight: &[f32], dy: &[f32]) -> Vec<f32> {
        let taps = self.kernel.0 * self.kernel.1;
        let mut turned = vec![0.0; weight.len()];
        for out in 0..self.out_channels {
            for channel in 0..self.channels {
                for tap in 0..taps {
                    turned[(channel * self.out_channels + out) * taps + taps - 1 - tap] =
                        weight[(out * self.channels + channel) * taps + tap];
                }
            }
        }
        let back = Self {
            channels: self.out_channels,
            out_channels: self.channels,
            height: self.out_height(),
            width: self.out_width(),
            padding: self.kernel.0 - 1 - self.padding,
            ..*self
        };
        back.forward(dy, &turned, None)
    }

    /// The gradient of the weights: correlation of the input with the output's gradient, both as lines.
    pub(super) fn weight_gradient(&self, x: &[f32], dy: &[f32]) -> Vec<f32> {
        let taps = self.kernel.0 * self.kernel.1;
        let len = self.out_channels * self.channels * taps;
        let sample_len = self.channels * self.height * self.width;
        let grad_len = self.out_channels * self.out_height() * self.out_width();
        // Samples lie one below the other in each line, so that small images, too, make lines worth summing along.
        let padded_len = (self.height + 2 * self.padding) * self.row();
        let group = CHUNK.div_ceil(padded_len).clamp(1, self.batch.div_ceil(parallel::threads()));
        parallel::sum_over(self.batch.div_ceil(group), len, |task, sum| {
            let samples = task * group..((task + 1) * group).min(self.batch);
            let line = (samples.len() * padded_len).next_multiple_of(LANES);
            let slack = self.kernel.0 * self.row() + self.kernel.1 + BLOCK;
            let mut padded = Padded { values: vec![0.0f32; self.channels * line + slack], plane: line };
            // The output's gradient, with zeros where the border is.
            let mut grad = vec![0.0f32; self.out_channels.next_multiple_of(CHANNELS) * line];
            for (index, sample) in samples.enumerate() {
                let rows = x[sample * sample_len..][..sample_len].chunks_exact(self.width).enumerate();
                for (row, values) in rows {
                    let (channel, y) = (row / self.height, row % self.height);
                    let at = channel * line + index * padded_len + (y + self.padding) * self.row() + self.padding;
                    padded.values[at..][..self.width].copy_from_slice(values);
                }
                let rows = dy[sample * grad_len..][..grad_len].chunks_exact(self.out_width()).enumerate();
                for (row, values) in rows {
                    let (channel, y) = (row / self.out_height(), row % self.out_height());
                    let at = channel * line + index * padded_len + y * self.row();
                    grad[at..][..self.out_width()].copy_from_slice(values);
                }
            }
            for start in (0..line).step_by(CHUNK) {
                let len = CHUNK.min(line - start);
                for (block, grad) in grad.chunks_exact(CHANNELS * line).enumerate() {
                    let channels = CHANNELS.min(self.out_channels - block * CHANNELS);
                    let sum = &mut sum[block * CHANNELS * self.channels * taps..][..channels * self.channels * taps];
                    correlate(padded.from(start), &grad[start..], line, len, *self, sum);
                }
            }
        })
    }
}

with_simd! {
    /// `groups` times `PIXELS` outputs for `channels` channels, of at most `CHANNELS`, from the padded line `x` on; `out`
    /// has rows of `BLOCK`.
    fn multiply<S>(x: Line<'_>, weight: &[f32], sizes: Direct, groups: usize, channels: usize, out: &mut [f32]) {
        let (kh, kw) = sizes.kernel;
        assert!(
            (1..=CHANNELS).contains(&channels)
                && weight.len() >= sizes.channels * kh * kw * CHANNELS
                && x.values.len() >= (sizes.channels - 1) * x.plane + (kh - 1) * sizes.row() + kw - 1 + groups * PIXELS
                && groups * PIXELS <= BLOCK
                && out.len() >= CHANNELS * BLOCK,
            "the padded line, the weights or the target are too short"
        );
        for first in (0..groups * PIXELS).step_by(VECTORS * S::LANES) {
            #[allow(unsafe_code)]
            // SAFETY: the lengths were checked for all pixels of all groups and `CHANNELS` channels; the processor has
            // what S needs, or this version would not have been chosen.
            unsafe {
                if S::CHANNELS == CHANNELS && channels > 4 {
                    multiply_some::<S, CHANNELS>(x, weight, sizes, first, out);
                } else {
                    for channel in (0..channels).step_by(4) {
                        let (weight, out) = (&weight[channel..], &mut out[channel * BLOCK..]);
                        multiply_some::<S, 4>(x, weight, sizes, first, out);
                    }
                }
            }
        }
    }
}

/// Three registers of pixels from `first` on, for `N` channels.
///
/// # Safety
/// As checked by `multiply`.
#[inline(always)]
#[allow(unsafe_code)]
unsafe fn multiply_some<S: Simd, const N: usize>(
    x: Line<'_>,
    weight: &[f32],
    sizes: Direct,
    first: usize,
    out: &mut [f32],
) {
    let (kh, kw) = sizes.kernel;
    // SAFETY: the caller's promise.
    unsafe {
        let mut sums = [[S::splat(0.0); VECTORS]; N];
        let mut weight = weight.as_ptr();
        for channel in 0..sizes.channels {
            for ky in 0..kh {
                let line = x.values.as_ptr().add(channel * x.plane + ky * sizes.row() + first);
                for kx in 0..kw {
                    let pixels: [S::Vector; VECTORS] = std::array::from_fn(|v| S::load(line.add(kx + v * S::LANES)));
                    for (n, sums) in sums.iter_mut().enumerate() {
                        let weight = S::splat(*weight.add(n));
                        for (sum, pixels) in sums.iter_mut().zip(pixels) {
                            *sum = S::mul_add(weight, pixels, *sum);
                        }
                    }
                    weight = weight.add(CHANNELS);
                }
            }
        }
        for (n, sums) in sums.into_iter().enumerate() {
            for (v, sum) in sums.into_iter().enumerate() {
                S::store(out.as_mut_ptr().add(n * BLOCK + first + v * S::LANES), sum);
            }
        }
    }
}

with_simd! {
    /// Adds `Σ grad[o][p] · x[c][p + tap]` over `len` pixels to `sum[o][c][tap]`; rows of `grad` are `line` long, and
    /// there are `CHANNELS` of them, though `sum` may have fewer.
    fn correlate<S>(x: Line<'_>, grad: &[f32], line: usize, len: usize, sizes: Direct, sum: &mut [f32]) {
        let (kh, kw) = sizes.kernel;
        let per_out = sizes.channels * kh * kw;
        let outputs = sum.len() / per_out;
        assert!(
            len.is_multiple_of(LANES)
                && grad.len() >= (CHANNELS - 1) * line + len
                && x.values.len() >= (sizes.channels - 1) * x.plane + (kh - 1) * sizes.row() + kw - 1 + len + VECTORS,
            "the padded line or the gradient's are too short"
        );
        for channel in 0..sizes.channels {
            for ky in 0..kh {
                // Kernels wider than three go on three columns at a time; a narrower rest reads columns that it drops.
                for kx in (0..kw).step_by(VECTORS) {
                    let from = channel * x.plane + ky * sizes.row() + kx;
                    let at = (channel * kh + ky) * kw + kx;
                    let wanted = VECTORS.min(kw - kx);
                    #[allow(unsafe_code)]
                    // SAFETY: the lengths were checked above; the processor has what S needs.
                    unsafe {
                        if S::CHANNELS == CHANNELS {
                            let sums = correlate_some::<S, CHANNELS>(&x.values[from..], grad, line, len);
                            add_up::<S, CHANNELS>(&sums, &mut sum[at..], per_out, outputs, wanted);
                        } else {
                            for first in (0..outputs).step_by(4) {
                                let sums = correlate_some::<S, 4>(&x.values[from..], &grad[first * line..], line, len);
                                let outputs = (outputs - first).min(4);
                                add_up::<S, 4>(&sums, &mut sum[first * per_out + at..], per_out, outputs, wanted);
                            }
                        }
                    }
                }
            }
        }
    }
}

/// `Σ grad[n][p] · x[p + v]`, not yet summed over the lanes.
///
/// # Safety
/// As checked by `correlate`.
#[inline(always)]
#[allow(unsafe_code)]
unsafe fn correlate_some<S: Simd, const N: usize>(
    x: &[f32],
    grad: &[f32],
    line: usize,
    len: usize,
) -> [[S::Vector; VECTORS]; N] {
    // SAFETY: the caller's promise.
    unsafe {
        let mut sums = [[S::splat(0.0); VECTORS]; N];
        for p in (0..len).step_by(S::LANES) {
            let pixels: [S::Vector; VECTORS] = std::array::from_fn(|v| S::load(x.as_ptr().add(p + v)));
            for (n, sums) in sums.iter_mut().enumerate() {
                let grad = S::load(grad.as_ptr().add(n * line + p));
                for (sum, pixels) in sums.iter_mut().zip(pixels) {
                    *sum = S::mul_add(grad, pixels, *sum);
                }
            }
        }
        sums
    }
}

/// Adds the lanes of the first `wanted` sums of the first `outputs` channels where they belong.
///
/// # Safety
/// The processor has what S needs.
#[inline(always)]
#[allow(unsafe_code)]
unsafe fn add_up<S: Simd, const N: usize>(
    sums: &[[S::Vector; VECTORS]; N],
    target: &mut [f32],
    per_out: usize,
    outputs: usize,
    wanted: usize,
) {
    for (n, sums) in sums.iter().enumerate().take(outputs) {
        for (v, sum) in sums.iter().enumerate().take(wanted) {
            // SAFETY: the caller's promise.
            target[n * per_out + v] += unsafe { S::sum(*sum) };
        }
    }
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use super::Direct;
    use crate::simd::tests::with_every_level;

    /// Numbers in −1 … 1.
    fn values(len: usize, seed: usize) -> Vec<f32> {
        (0..len).map(|i| (((i + seed) * 7919 % 1013) as f32) / 506.0 - 1.0).collect()
    }

    #[test]
    fn every_vector_width_gives_the_same() {
        for (out_channels, width) in [(1, 9), (4, 17), (5, 50), (8, 8), (11, 23), (19, 64)] {
            let sizes = Direct { batch: 3, channels: 5, height: 7, width, out_channels, kernel: (3, 3), padding: 1 };
            let (x, weight) = (values(3 * 5 * 7 * width, 1), values(out_channels * 5 * 9, 2));
            let dy = values(3 * out_channels * 7 * width, 3);
            let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().expect("a pool of one thread");
            // On this pool's one thread, so that the chosen version is the one that runs.
            let all = pool.install(|| {
                with_every_level(|| {
                    [
                        sizes.forward(&x, &weight, None),
                        sizes.input_gradient(&weight, &dy),
                        sizes.weight_gradient(&x, &dy),
                    ]
                })
            });
            let (_, best) = &all[0];
            for (level, results) in &all[1..] {
                for (what, (want, got)) in best.iter().zip(results).enumerate() {
                    let largest = want.iter().fold(0.0f32, |a, b| a.max(b.abs()));
                    let off = want.iter().zip(got).fold(0.0f32, |a, (w, g)| a.max((w - g).abs()));
                    assert!(
                        off <= 1e-5 * largest,
                        "{level:?}, result {what}, {out_channels} outputs: {off} of {largest}"
                    );
                }
            }
        }
    }
}
