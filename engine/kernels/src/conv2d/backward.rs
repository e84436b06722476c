//! Gradients of a convolution, in f32.

use std::ops::Range;

use super::Method;
use super::geometry::Geometry;
use super::winograd::{self, Tile};
use crate::simd::{self, Simd, Task};
use crate::{parallel, upsample};

/// Of the image (B, H, W, C): the convolution of `dy` (B, H', W', O) with the weights turned round.
pub(super) fn image(g: &Geometry, weight: &[f32], dy: &[f32]) -> Vec<f32> {
    let (kh, kw) = g.kernel;
    let (out_channels, taps) = (g.out_channels, g.taps());
    // (C, O, kh, kw), each kernel turned by half a circle.
    let mut turned = vec![0.0f32; weight.len()];
    for (index, kernel) in weight.chunks_exact(taps).enumerate() {
        let (output, input) = (index / g.channels, index % g.channels);
        let to = &mut turned[(input * out_channels + output) * taps..][..taps];
        to.iter_mut().zip(kernel.iter().rev()).for_each(|(to, value)| *to = *value);
    }
    // With a stride, the gradient's pixels stand apart, zeros between them.
    let (height, width) = ((g.out_height - 1) * g.stride + 1, (g.out_width - 1) * g.stride + 1);
    let spread = (g.stride > 1).then(|| spread(g, dy, height, width));
    let scale = if g.upsample { 2 } else { 1 };
    let (out_height, out_width) = (scale * g.height, scale * g.width);
    let full = Geometry {
        height,
        width,
        channels: out_channels,
        out_channels: g.channels,
        stride: 1,
        // Before: what the kernel overlaps; after: enough to reach every pixel of the image.
        padding: (kh - 1 - g.padding.0.min(kh - 1), kh.max(kw)),
        upsample: false,
        out_height,
        out_width,
        ..*g
    };
    debug_assert!(g.padding.0 < kh && kh == kw, "only such convolutions are trained");
    let dx = super::forward(&full, spread.as_deref().unwrap_or(dy), &turned, None);
    if g.upsample { upsample::fold(&dx, (g.batch, g.height, g.width, g.channels)) } else { dx }
}

/// `dy` (B, H', W', O) with `stride − 1` zeros between its pixels.
fn spread(g: &Geometry, dy: &[f32], height: usize, width: usize) -> Vec<f32> {
    let channels = g.out_channels;
    let mut wide = vec![0.0f32; g.batch * height * width * channels];
    for (pixel, from) in dy.chunks_exact(channels).enumerate() {
        let (sample, y, x) = g.place(pixel);
        let to = (sample * height + y * g.stride) * width + x * g.stride;
        wide[to * channels..][..channels].copy_from_slice(from);
    }
    wide
}

/// Pixels summed over before the next rows of the weights have their turn: their gradients stay in the cache.
const PIXELS: usize = 128;

/// Of the weights (O, C, kh, kw): Σ over the pixels of x · dy, for every place of the kernel.
pub(super) fn weight(g: &Geometry, x: &[f32], dy: &[f32]) -> Vec<f32> {
    match super::best_method(g, false) {
        Method::WinogradF4 => return winograd::weight_gradient(Tile::Four, g, x, dy),
        Method::WinogradF2 => return winograd::weight_gradient(Tile::Two, g, x, dy),
        Method::Direct => {}
    }
    let lanes = simd::lanes();
    let width = g.out_channels.next_multiple_of(lanes);
    // Vectors read whole rows: those that end inside one are lengthened.
    let padded = (width != g.out_channels).then(|| {
        let mut padded = vec![0.0f32; g.pixels() * width];
        for (to, from) in padded.chunks_exact_mut(width).zip(dy.chunks_exact(g.out_channels)) {
            to[..g.out_channels].copy_from_slice(from);
        }
        padded
    });
    let dy = padded.as_deref().unwrap_or(dy);
    let zeros = vec![0.0f32; g.channels];
    // (taps, C, width): a thread sums some of the rows over all pixels, so that no sum depends on how many threads there are.
    let mut sums = vec![0.0f32; g.taps() * g.channels * width];
    let target = parallel::Shared::new(&mut sums);
    let (rows, parts) = (g.taps() * g.channels, parallel::threads());
    parallel::for_each(parts, |part| {
        let (from, to) = (part * rows / parts, (part + 1) * rows / parts);
        let mut found = vec![zeros.as_ptr(); g.taps() * PIXELS];
        for first in (0..g.pixels()).step_by(PIXELS) {
            let count = PIXELS.min(g.pixels() - first);
            g.walk(first, count, |row, tap, pixel| {
                found[tap * PIXELS + row] = pixel.map_or(zeros.as_ptr(), |pixel| x[pixel * g.channels..].as_ptr());
            });
            for tap in from / g.channels..to.div_ceil(g.channels) {
                let start = tap * g.channels;
                let channels = from.max(start) - start..to.min(start + g.channels) - start;
                #[allow(unsafe_code)]
                // SAFETY: every row belongs to one task.
                let sums = unsafe { target.slice((start + channels.start) * width, channels.len() * width) };
                let (x, dy) = (&found[tap * PIXELS..][..count], &dy[first * width..]);
                simd::dispatch(Outer { x, dy, channels, width, sums });
            }
        }
    });
    let taps = g.taps();
    let mut out = vec![0.0f32; g.out_channels * g.channels * taps];
    for (index, row) in sums.chunks_exact(width).enumerate() {
        let (tap, channel) = (index / g.channels, index % g.channels);
        for (output, value) in row[..g.out_channels].iter().enumerate() {
            out[(output * g.channels + channel) * taps + tap] = *value;
        }
    }
    out
}

/// `sums[c][o] += Σ x[pixel][c] · dy[pixel][o]`
pub(super) struct Outer<'a> {
    pub x: &'a [*const f32],
    /// (pixels, width)
    pub dy: &'a [f32],
    /// Which of the pixels' channels.
    pub channels: Range<usize>,
    /// A multiple of the vectors' length.
    pub width: usize,
    /// (channels, width), added to.
    pub sums: &'a mut [f32],
}

#[allow(unsafe_code)]
impl Task for Outer<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(mut self) {
        let mut column = 0;
        unsafe {
            while column < self.width {
                let left = (self.width - column) / S::LANES;
                if S::PANEL >= 4 && left >= 4 {
                    self.columns::<S, 6, 4>(column);
                    column += 4 * S::LANES;
                } else if left >= 2 {
                    self.columns::<S, 6, 2>(column);
                    column += 2 * S::LANES;
                } else {
                    self.columns::<S, 8, 1>(column);
                    column += S::LANES;
                }
            }
        }
    }
}

#[allow(unsafe_code)]
impl Outer<'_> {
    #[inline(always)]
    unsafe fn columns<S: Simd, const ROWS: usize, const VECTORS: usize>(&mut self, column: usize) {
        let mut channel = 0;
        while channel < self.channels.len() {
            unsafe {
                if channel + ROWS <= self.channels.len() {
                    self.tile::<S, ROWS, VECTORS>(channel, column);
                    channel += ROWS;
                } else {
                    self.tile::<S, 1, VECTORS>(channel, column);
                    channel += 1;
                }
            }
        }
    }

    #[inline(always)]
    unsafe fn tile<S: Simd, const ROWS: usize, const VECTORS: usize>(&mut self, channel: usize, column: usize) {
        unsafe {
            let sums = self.sums.as_mut_ptr().add(channel * self.width + column);
            let mut acc = [[S::splat(0.0); VECTORS]; ROWS];
            for (row, acc) in acc.iter_mut().enumerate() {
                for (vector, acc) in acc.iter_mut().enumerate() {
                    *acc = S::load(sums.add(row * self.width + vector * S::LANES));
                }
            }
            let mut dy = self.dy.as_ptr().add(column);
            for pixel in self.x {
                let mut b = [S::splat(0.0); VECTORS];
                for (vector, b) in b.iter_mut().enumerate() {
                    *b = S::load(dy.add(vector * S::LANES));
                }
                dy = dy.wrapping_add(self.width);
                for (row, acc) in acc.iter_mut().enumerate() {
                    let a = S::splat(*pixel.add(self.channels.start + channel + row));
                    for (acc, b) in acc.iter_mut().zip(&b) {
                        *acc = S::mul_add(a, *b, *acc);
                    }
                }
            }
            for (row, acc) in acc.iter().enumerate() {
                for (vector, acc) in acc.iter().enumerate() {
                    S::store(sums.add(row * self.width + vector * S::LANES), *acc);
                }
            }
        }
    }
}
