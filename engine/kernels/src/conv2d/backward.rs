//! Gradients of a convolution, in f32.

use super::algorithm::{Method, best_method, forward};
use super::geometry::Geometry;
use super::outer_product::Outer;
use super::winograd::{self, Tile};
use crate::{parallel, simd, upsample};

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
    let dx = forward(&full, spread.as_deref().unwrap_or(dy), &turned, None);
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
    match best_method(g, false) {
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
                #[allow(unsafe_code)]
                // SAFETY: every pixel is `channels` values of `x`, or of `zeros`.
                unsafe {
                    simd::dispatch(Outer { x, dy, channels, width, sums });
                }
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
