//! Convolution of stride 1 without laying out patches: the image gets its zero border once, and its rows are then read
//! as one long line. A kernel position is a shift along that line, so that vectors run over row ends; what they compute
//! in the border columns is thrown away.

use std::ops::Range;

use crate::parallel;
use crate::simd::fused;

/// Vector lanes; two or four hardware vectors where they are shorter.
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

type Vector = [f32; LANES];

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
        let line = self.line().next_multiple_of(LANES);
        parallel::sum_over(self.batch, len, |sample, sum| {
            let padded = self.pad(&x[sample * sample_len..][..sample_len], self.rows(0, self.line()));
            // The output's gradient as a line with zeros in the border columns.
            let mut grad = vec![0.0f32; self.out_channels.next_multiple_of(CHANNELS) * line];
            let dy = &dy[sample * grad_len..][..grad_len];
            for (row, values) in dy.chunks_exact(self.out_width()).enumerate() {
                let (channel, y) = (row / self.out_height(), row % self.out_height());
                grad[channel * line + y * self.row()..][..self.out_width()].copy_from_slice(values);
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

/// `groups` times `PIXELS` outputs for `CHANNELS` channels, from the padded line `x` on; `out` has rows of `BLOCK`.
/// Only the first `channels` are wanted: few of them are computed with fewer accumulators.
fn multiply(x: Line<'_>, weight: &[f32], sizes: Direct, groups: usize, channels: usize, out: &mut [f32]) {
    match channels {
        1..=4 => multiply_few(x, weight, sizes, groups, out),
        _ => multiply_all(x, weight, sizes, groups, out),
    }
}

fused! {
    fn multiply_all(x: Line<'_>, weight: &[f32], sizes: Direct, groups: usize, out: &mut [f32]) {
        multiply_body::<CHANNELS, FUSED>(x, weight, sizes, groups, out);
    }
}

fused! {
    fn multiply_few(x: Line<'_>, weight: &[f32], sizes: Direct, groups: usize, out: &mut [f32]) {
        multiply_body::<4, FUSED>(x, weight, sizes, groups, out);
    }
}

#[inline(always)]
fn multiply_body<const N: usize, const FUSED: bool>(
    x: Line<'_>,
    weight: &[f32],
    sizes: Direct,
    groups: usize,
    out: &mut [f32],
) {
    let (kh, kw) = sizes.kernel;
    let row = sizes.row();
    for group in 0..groups {
        let first = group * PIXELS;
        let mut sums = [[[0.0f32; LANES]; VECTORS]; N];
        let mut weights = weight.chunks_exact(CHANNELS);
        for channel in 0..sizes.channels {
            for ky in 0..kh {
                let line = &x.values[channel * x.plane + ky * row + first..][..PIXELS + kw - 1];
                for kx in 0..kw {
                    let (Some(weights), Some(pixels)) = (weights.next(), line.get(kx..kx + PIXELS)) else { return };
                    let (pixels, _) = pixels.as_chunks::<LANES>();
                    for n in 0..N {
                        for v in 0..VECTORS {
                            multiply_add::<FUSED>(&mut sums[n][v], weights[n], &pixels[v]);
                        }
                    }
                }
            }
        }
        for (n, sums) in sums.iter().enumerate() {
            let (vectors, _) = out[n * BLOCK + first..][..PIXELS].as_chunks_mut::<LANES>();
            vectors.copy_from_slice(sums);
        }
    }
}

fused! {
    /// Adds `Σ grad[o][p] · x[c][p + tap]` over `len` pixels to `sum[o][c][tap]`; rows of `grad` are `line` long.
    fn correlate(x: Line<'_>, grad: &[f32], line: usize, len: usize, sizes: Direct, sum: &mut [f32]) {
        let (kh, kw) = sizes.kernel;
        let row = sizes.row();
        assert!(len.is_multiple_of(LANES) && grad.len() >= (CHANNELS - 1) * line + len, "the gradient's line is too short");
        let per_out = sizes.channels * kh * kw;
        for channel in 0..sizes.channels {
            for ky in 0..kh {
                // Kernels wider than three go on three columns at a time; a narrower rest reads columns that it drops.
                for kx in (0..kw).step_by(VECTORS) {
                    let from = channel * x.plane + ky * row + kx;
                    let mut sums = [[[0.0f32; LANES]; VECTORS]; CHANNELS];
                    let pixels = &x.values[from..from + len + VECTORS - 1];
                    for p in (0..len).step_by(LANES) {
                        let pixels: [Vector; VECTORS] = std::array::from_fn(|v| load(pixels, p + v));
                        for (n, sums) in sums.iter_mut().enumerate() {
                            let grad = load(grad, n * line + p);
                            for (sums, pixels) in sums.iter_mut().zip(&pixels) {
                                add_product::<FUSED>(sums, &grad, pixels);
                            }
                        }
                    }
                    let at = (channel * kh + ky) * kw + kx;
                    for (sum, sums) in sum.chunks_exact_mut(per_out).zip(&sums) {
                        for (sum, lanes) in sum[at..at + VECTORS.min(kw - kx)].iter_mut().zip(sums) {
                            *sum += total(lanes);
                        }
                    }
                }
            }
        }
    }
}

#[inline(always)]
fn multiply_add<const FUSED: bool>(sum: &mut Vector, a: f32, b: &Vector) {
    for (sum, b) in sum.iter_mut().zip(b) {
        *sum = if FUSED { a.mul_add(*b, *sum) } else { a * b + *sum };
    }
}

/// The sum of a vector, by halves: one after the other the additions would wait for each other.
#[inline(always)]
fn total(vector: &Vector) -> f32 {
    let half = |n: usize, v: Vector| -> Vector { std::array::from_fn(|i| if i < n { v[i] + v[i + n] } else { 0.0 }) };
    half(1, half(2, half(4, half(8, *vector))))[0]
}

/// A vector from `at` on. Checked once, outside the loop: a check in it keeps the sums out of the registers.
#[inline(always)]
#[allow(unsafe_code)]
fn load(values: &[f32], at: usize) -> Vector {
    debug_assert!(at + LANES <= values.len());
    // SAFETY: `correlate` checks both lines before it walks them.
    unsafe { values.as_ptr().add(at).cast::<Vector>().read_unaligned() }
}

#[inline(always)]
fn add_product<const FUSED: bool>(sum: &mut Vector, a: &Vector, b: &Vector) {
    for ((sum, a), b) in sum.iter_mut().zip(a).zip(b) {
        *sum = if FUSED { a.mul_add(*b, *sum) } else { a * b + *sum };
    }
}
