//! Convolution as one matrix product whose rows are pixels, another pixel for every position of the kernel. Nothing is
//! copied; a row of zeros stands for the padding.

use std::ops::Range;

use super::geometry::Geometry;
use crate::element::Element;
use crate::packed_gemm::{Contiguous, Epilogue, Packed, ReadRow, Rows, WeightFormat, addresses, multiply};

/// Packs weights (O, C, kh, kw).
pub(crate) fn pack(
    format: WeightFormat,
    (out_channels, channels, kh, kw): (usize, usize, usize, usize),
    read: ReadRow<'_>,
) -> Packed {
    let taps = kh * kw;
    Packed::new(format, (taps, channels, out_channels), false, |column, values| {
        if taps == 1 {
            return read(column, values);
        }
        let mut row = vec![0.0; channels * taps];
        read(column, &mut row);
        for (channel, places) in row.chunks_exact(taps).enumerate() {
            for (tap, value) in places.iter().enumerate() {
                values[tap * channels + channel] = *value;
            }
        }
    })
}

/// The convolution of `x` (B, H, W, C).
pub(crate) fn forward<X: Element, E: Element>(g: &Geometry, weights: &Packed, x: &[X], epilogue: &Epilogue<'_, E>) {
    if g.is_pointwise() {
        return multiply(weights, g.pixels(), &Contiguous { values: x, depth: g.channels }, epilogue);
    }
    multiply(weights, g.pixels(), &Pixels::new(g, x), epilogue);
}

/// The pixels of an image under each position of the kernel.
pub(super) struct Pixels<'a, E> {
    g: &'a Geometry,
    x: &'a [E],
    zeros: Vec<E>,
}

impl<'a, E: Element> Pixels<'a, E> {
    pub(super) fn new(g: &'a Geometry, x: &'a [E]) -> Self {
        Self { g, x, zeros: vec![E::from_f32(0.0); g.channels + 1] }
    }
}

#[allow(unsafe_code)]
// SAFETY: a pixel is `channels` values of the image, which `find` cuts out of it, or of `zeros`, which has one more.
unsafe impl<E: Element> Rows for Pixels<'_, E> {
    fn find(&self, first: usize, count: usize, stride: usize, found: &mut [*const u8]) {
        let channels = self.g.channels;
        self.g.walk(first, count, |row, tap, pixel| {
            let row_at = match pixel {
                Some(pixel) => self.x[pixel * channels..][..channels].as_ptr(),
                None => self.zeros.as_ptr(),
            };
            found[tap * stride + row] = row_at.cast();
        });
    }

    fn memory(&self) -> [Range<*const u8>; 2] {
        [addresses(self.x), addresses(&self.zeros)]
    }
}
