//! Sums over pixels of the products of every channel of one image with every channel of another: what gradients of weights
//! are made of.

use std::ops::Range;

use crate::simd::{Simd, Task};

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
