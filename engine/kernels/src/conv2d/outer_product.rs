//! Multiplies every channel of one image with every channel of another and sums over the pixels. Gradients of weights are
//! made of such sums.

use std::ops::Range;

use crate::simd::{Simd, Task};

/// `sums[c][o] += Σ x[pixel][c] · dy[pixel][o]`
///
/// # Safety
/// To run it, every pixel in `x` must have values up to the end of `channels`.
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
    unsafe fn run<S: Simd>(mut self, s: S) {
        assert!(self.width.is_multiple_of(S::LANES));
        assert!(self.x.len() * self.width <= self.dy.len() && self.channels.len() * self.width <= self.sums.len());
        let mut column = 0;
        // SAFETY: columns lie inside `width`, of whole vectors; the rest is the caller's promise.
        unsafe {
            while column < self.width {
                let left = (self.width - column) / S::LANES;
                if S::PANEL >= 4 && left >= 4 {
                    self.columns::<S, 6, 4>(s, column);
                    column += 4 * S::LANES;
                } else if left >= 2 {
                    self.columns::<S, 6, 2>(s, column);
                    column += 2 * S::LANES;
                } else {
                    self.columns::<S, 8, 1>(s, column);
                    column += S::LANES;
                }
            }
        }
    }
}

#[allow(unsafe_code)]
impl Outer<'_> {
    /// # Safety
    /// As for the task, and `VECTORS` vectors from `column` on lie inside `width`.
    #[inline(always)]
    unsafe fn columns<S: Simd, const ROWS: usize, const VECTORS: usize>(&mut self, s: S, column: usize) {
        let mut channel = 0;
        while channel < self.channels.len() {
            // SAFETY: the caller's promise, and so many channels are left.
            unsafe {
                if channel + ROWS <= self.channels.len() {
                    self.tile::<S, ROWS, VECTORS>(s, channel, column);
                    channel += ROWS;
                } else {
                    self.tile::<S, 1, VECTORS>(s, channel, column);
                    channel += 1;
                }
            }
        }
    }

    /// # Safety
    /// As for [`Self::columns`], and `ROWS` channels are left.
    #[inline(always)]
    unsafe fn tile<S: Simd, const ROWS: usize, const VECTORS: usize>(&mut self, s: S, channel: usize, column: usize) {
        // SAFETY: `run` made sure of the slices' lengths; the pixels are the caller's promise.
        unsafe {
            let sums = self.sums.as_mut_ptr().add(channel * self.width + column);
            let mut acc = [[s.splat(0.0); VECTORS]; ROWS];
            for (row, acc) in acc.iter_mut().enumerate() {
                for (vector, acc) in acc.iter_mut().enumerate() {
                    *acc = s.load(sums.add(row * self.width + vector * S::LANES));
                }
            }
            let mut dy = self.dy.as_ptr().add(column);
            for pixel in self.x {
                let mut b = [s.splat(0.0); VECTORS];
                for (vector, b) in b.iter_mut().enumerate() {
                    *b = s.load(dy.add(vector * S::LANES));
                }
                dy = dy.wrapping_add(self.width);
                for (row, acc) in acc.iter_mut().enumerate() {
                    let a = s.splat(*pixel.add(self.channels.start + channel + row));
                    for (acc, b) in acc.iter_mut().zip(&b) {
                        *acc = s.mul_add(a, *b, *acc);
                    }
                }
            }
            for (row, acc) in acc.iter().enumerate() {
                for (vector, acc) in acc.iter().enumerate() {
                    s.store(sums.add(row * self.width + vector * S::LANES), *acc);
                }
            }
        }
    }
}
