//! The innermost loops: a few rows times one panel of packed weights, all sums in registers.

use std::mem::MaybeUninit;

use super::{WIDTH, WeightFormat};
use crate::simd::{Simd, Task, prefetch};

/// Words of a row after which sums go through memory: a panel's part of this length stays in the first-level cache.
const DEPTH: usize = 192;

/// `sums (+)= rows · weights` for one panel.
///
/// # Safety
/// To run it, `words` 32-bit words must be readable at every address in `rows`, aligned or not; `weights` must be those of
/// one panel of `vectors` vectors, of as many taps and words; and (count, `sums_row`) sums must be writable by this task
/// alone: `sums_row` is at least `vectors` vectors, except that the last row may end after those.
pub(crate) struct Block<'a> {
    pub format: WeightFormat,
    /// The rows of every tap: `rows[tap · stride + row]`. After the last row come copies of it up to a multiple of every
    /// tile's rows.
    pub rows: &'a [*const u8],
    pub stride: usize,
    pub count: usize,
    /// The panel's weights, tap after tap: (taps, words, vectors · lanes).
    pub weights: *const u8,
    pub taps: usize,
    pub words: usize,
    /// Width of the panel.
    pub vectors: usize,
    /// (rows, `sums_row`), overwritten or added to.
    pub sums: *mut f32,
    pub sums_row: usize,
    pub add: bool,
}

#[allow(unsafe_code)]
impl Task for Block<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self, s: S) {
        let tiles = self.count.next_multiple_of(S::ROWS[self.vectors]);
        assert!((self.taps - 1) * self.stride + tiles <= self.rows.len(), "too few rows for whole tiles");
        // SAFETY: the caller's promise.
        unsafe {
            match self.format {
                WeightFormat::F32 => self.run_format::<S, F32>(s),
                WeightFormat::Bf16Pairs => self.run_format::<S, Bf16Pairs>(s),
                WeightFormat::Bf16Weights => self.run_format::<S, Bf16Weights>(s),
                WeightFormat::F16Weights => self.run_format::<S, F16Weights>(s),
            }
        }
    }
}

#[allow(unsafe_code)]
impl Block<'_> {
    /// # Safety
    /// As for the block.
    #[inline(always)]
    unsafe fn run_format<S: Simd, M: FusedMulAdd>(&self, s: S) {
        // SAFETY: the caller's promise.
        unsafe {
            // Every kind of vector names the tiles that its registers hold; the others compile to nothing for it.
            match (S::ROWS[self.vectors], self.vectors) {
                (6, 4) if S::PANEL >= 4 => self.run_tiles::<S, M, 6, 4>(s),
                (8, 3) if S::PANEL >= 3 => self.run_tiles::<S, M, 8, 3>(s),
                (8, 2) if S::LANES == 16 => self.run_tiles::<S, M, 8, 2>(s),
                (8, 1) if S::LANES >= 8 => self.run_tiles::<S, M, 8, 1>(s),
                (6, 2) if S::LANES == 8 => self.run_tiles::<S, M, 6, 2>(s),
                (4, 2) if S::LANES == 4 => self.run_tiles::<S, M, 4, 2>(s),
                (4, 1) if S::LANES == 4 => self.run_tiles::<S, M, 4, 1>(s),
                other => unreachable!("no tile of {other:?}"),
            }
        }
    }

    /// # Safety
    /// As for the block.
    // Words are read wherever they lie.
    #[allow(clippy::cast_ptr_alignment)]
    #[inline(always)]
    unsafe fn run_tiles<S: Simd, M: FusedMulAdd, const ROWS: usize, const VECTORS: usize>(&self, s: S) {
        let width = VECTORS * S::LANES;
        // Weights of 16 bits are widened once if several tiles use them.
        let widens = M::WIDENS && self.count > 2 * ROWS;
        let mut wide = MaybeUninit::<[f32; DEPTH * WIDTH]>::uninit();
        let wide = wide.as_mut_ptr().cast::<f32>();
        for tap in 0..self.taps {
            for from in (0..self.words).step_by(DEPTH) {
                let words = DEPTH.min(self.words - from);
                let weights = self.weights.wrapping_add((tap * self.words + from) * width * M::WEIGHT_BYTES);
                let add = self.add || tap + from > 0;
                if widens {
                    for at in (0..words * width).step_by(S::LANES) {
                        // SAFETY: `wide` holds a panel's part of the widest panel; the weights are the caller's promise.
                        unsafe { s.store(wide.add(at), M::weights(s, weights.add(at * M::WEIGHT_BYTES))) }
                    }
                }
                // While these weights are multiplied, those that come after them in memory are brought near, a part with
                // every tile: where rows are few, waiting for weights is a large part of the time.
                let chunk = words * width * M::WEIGHT_BYTES;
                let share = chunk.div_ceil(self.count.div_ceil(ROWS));
                let step = share.div_ceil(words);
                for first in (0..self.count).step_by(ROWS) {
                    let ahead = (weights.wrapping_add(chunk + first / ROWS * share), step);
                    // SAFETY: `rows` reaches to the last whole tile, as `run` made sure; words, weights and sums are the
                    // caller's promise, and `wide` was written above.
                    unsafe {
                        let rows = self.rows.as_ptr().add(tap * self.stride + first).cast::<[*const u8; ROWS]>();
                        let rows = (*rows).map(|row| row.cast::<f32>().wrapping_add(from));
                        let sums = self.sums.add(first * self.sums_row);
                        if widens {
                            tile::<S, F32, ROWS, VECTORS>(s, rows, words, wide.cast(), ahead, sums, self.sums_row, add);
                        } else {
                            tile::<S, M, ROWS, VECTORS>(s, rows, words, weights, ahead, sums, self.sums_row, add);
                        }
                    }
                }
            }
        }
    }
}

/// What [`WeightFormat`] says, for the compiler.
#[allow(unsafe_code)]
trait FusedMulAdd {
    const WEIGHT_BYTES: usize;
    /// Whether these weights, widened, are those of `F32`.
    const WIDENS: bool;
    /// # Safety
    /// The weights of `LANES` columns can be read there.
    unsafe fn weights<S: Simd>(s: S, from: *const u8) -> S::Vector;
    fn mul_add<S: Simd>(s: S, a: S::Vector, b: S::Vector, c: S::Vector) -> S::Vector;
}

struct F32;
struct Bf16Pairs;
struct Bf16Weights;
struct F16Weights;

#[allow(unsafe_code)]
impl FusedMulAdd for F32 {
    const WEIGHT_BYTES: usize = 4;
    const WIDENS: bool = false;
    #[inline(always)]
    unsafe fn weights<S: Simd>(s: S, from: *const u8) -> S::Vector {
        // SAFETY: the caller's promise.
        unsafe { s.load(from.cast()) }
    }
    #[inline(always)]
    fn mul_add<S: Simd>(s: S, a: S::Vector, b: S::Vector, c: S::Vector) -> S::Vector {
        s.mul_add(a, b, c)
    }
}

#[allow(unsafe_code)]
impl FusedMulAdd for Bf16Pairs {
    const WEIGHT_BYTES: usize = 4;
    const WIDENS: bool = false;
    #[inline(always)]
    unsafe fn weights<S: Simd>(s: S, from: *const u8) -> S::Vector {
        // SAFETY: the caller's promise.
        unsafe { s.load(from.cast()) }
    }
    #[inline(always)]
    fn mul_add<S: Simd>(s: S, a: S::Vector, b: S::Vector, c: S::Vector) -> S::Vector {
        s.dot_bf16(a, b, c)
    }
}

#[allow(unsafe_code)]
impl FusedMulAdd for Bf16Weights {
    const WEIGHT_BYTES: usize = 2;
    const WIDENS: bool = true;
    #[inline(always)]
    unsafe fn weights<S: Simd>(s: S, from: *const u8) -> S::Vector {
        // SAFETY: the caller's promise.
        unsafe { s.load_bf16(from.cast()) }
    }
    #[inline(always)]
    fn mul_add<S: Simd>(s: S, a: S::Vector, b: S::Vector, c: S::Vector) -> S::Vector {
        s.mul_add(a, b, c)
    }
}

#[allow(unsafe_code)]
impl FusedMulAdd for F16Weights {
    const WEIGHT_BYTES: usize = 2;
    const WIDENS: bool = true;
    #[inline(always)]
    unsafe fn weights<S: Simd>(s: S, from: *const u8) -> S::Vector {
        // SAFETY: the caller's promise.
        unsafe { s.load_f16(from.cast()) }
    }
    #[inline(always)]
    fn mul_add<S: Simd>(s: S, a: S::Vector, b: S::Vector, c: S::Vector) -> S::Vector {
        s.mul_add(a, b, c)
    }
}

/// # Safety
/// `words` words can be read from every row, as many times `VECTORS` vectors of weights from `weights`, and `ROWS` rows of
/// `VECTORS` vectors written at `sums`, and read where `add` is set.
#[allow(unsafe_code)]
#[inline(always)]
unsafe fn tile<S: Simd, M: FusedMulAdd, const ROWS: usize, const VECTORS: usize>(
    s: S,
    rows: [*const f32; ROWS],
    words: usize,
    weights: *const u8,
    (mut ahead, step): (*const u8, usize),
    sums: *mut f32,
    sums_row: usize,
    add: bool,
) {
    // SAFETY: the caller's promise.
    unsafe {
        let mut acc = [[s.splat(0.0); VECTORS]; ROWS];
        if add {
            for (row, acc) in acc.iter_mut().enumerate() {
                for (vector, acc) in acc.iter_mut().enumerate() {
                    *acc = s.load(sums.add(row * sums_row + vector * S::LANES));
                }
            }
        }
        let mut weights = weights;
        for word in 0..words {
            let mut b = [s.splat(0.0); VECTORS];
            for (vector, b) in b.iter_mut().enumerate() {
                *b = M::weights(s, weights.add(vector * S::LANES * M::WEIGHT_BYTES));
            }
            weights = weights.add(VECTORS * S::LANES * M::WEIGHT_BYTES);
            prefetch(ahead);
            ahead = ahead.wrapping_add(step);
            for (row, acc) in rows.iter().zip(&mut acc) {
                let a = s.splat(row.add(word).read_unaligned());
                for (acc, b) in acc.iter_mut().zip(&b) {
                    *acc = M::mul_add(s, a, *b, *acc);
                }
            }
        }
        for (row, acc) in acc.iter().enumerate() {
            for (vector, acc) in acc.iter().enumerate() {
                s.store(sums.add(row * sums_row + vector * S::LANES), *acc);
            }
        }
    }
}
