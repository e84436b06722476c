//! Convolution to at most four channels, such as a picture's three, as dot products along the channels of the image: a
//! vector of results would be mostly empty.

use half::bf16;

use super::direct::Pixels;
use super::geometry::Geometry;
use crate::element::Element;
use crate::packed_gemm::{Epilogue, ReadRow, Rows, WeightFormat};
use crate::parallel;
use crate::simd::{self, Simd, Task};

/// Most channels of a result.
const MOST: usize = 4;

/// Pixels whose sums are in registers at once.
const PIXELS: usize = 4;

/// Pixels of one task.
const SHARE: usize = 512;

/// Weights (taps, vectors of a pixel, O, lanes).
#[derive(Debug)]
pub(crate) struct Weights {
    /// f32, or pairs of bf16 as words.
    words: Vec<u32>,
    pairs: bool,
    outputs: usize,
    /// Of one pixel.
    vectors: usize,
}

impl Weights {
    /// Memory that the weights take.
    pub(crate) fn bytes(&self) -> usize {
        size_of_val(self.words.as_slice())
    }
}

/// Whether this way is made for it: few results, and pixels of whole vectors.
pub(crate) fn fits(g: &Geometry, format: WeightFormat) -> bool {
    g.out_channels <= MOST && g.channels.is_multiple_of(values(format))
}

/// Values of a pixel in one vector.
fn values(format: WeightFormat) -> usize {
    simd::lanes() * format.values_per_word()
}

/// Lays out weights (O, C, kh, kw).
pub(crate) fn pack(g: &Geometry, format: WeightFormat, read: ReadRow<'_>) -> Weights {
    let (taps, lanes, outputs) = (g.taps(), simd::lanes(), g.out_channels);
    let (pairs, vectors) = (format == WeightFormat::Bf16Pairs, g.channels / values(format));
    let mut words = vec![0; taps * vectors * outputs * lanes];
    let mut row = vec![0.0; g.channels * taps];
    for output in 0..outputs {
        read(output, &mut row);
        for tap in 0..taps {
            let weight = |channel: usize| row[channel * taps + tap];
            for vector in 0..vectors {
                for lane in 0..lanes {
                    let word = vector * lanes + lane;
                    words[((tap * vectors + vector) * outputs + output) * lanes + lane] = if pairs {
                        let [lower, upper] = [2 * word, 2 * word + 1].map(|at| bf16::from_f32(weight(at)).to_bits());
                        u32::from(lower) | u32::from(upper) << 16
                    } else {
                        weight(word).to_bits()
                    };
                }
            }
        }
    }
    Weights { words, pairs, outputs, vectors }
}

/// The convolution of `x` (B, H, W, C).
pub(crate) fn forward<E: Element>(g: &Geometry, weights: &Weights, x: &[E], epilogue: &Epilogue<'_, E>) {
    let pixels = Pixels::new(g, x);
    parallel::for_each(g.pixels().div_ceil(SHARE), |task| {
        let first = task * SHARE;
        let count = SHARE.min(g.pixels() - first);
        let mut found = vec![std::ptr::null(); g.taps() * count];
        pixels.find(first, count, count, &mut found);
        #[allow(unsafe_code)]
        // SAFETY: `find` gave pixels of `g.channels` values, which are whole vectors as the weights are laid out (`fits`);
        // these results belong to this task.
        unsafe {
            simd::dispatch(Dots { weights, found: &found, first, count, epilogue });
        }
    });
}

/// Sums and results of `count` pixels from `first` on.
///
/// # Safety
/// To run it, every address in `found` must have as many values as the weights have vectors for, and the results must be
/// this task's alone.
struct Dots<'a, E> {
    weights: &'a Weights,
    /// (taps, count)
    found: &'a [*const u8],
    first: usize,
    count: usize,
    epilogue: &'a Epilogue<'a, E>,
}

#[allow(unsafe_code)]
impl<E: Element> Task for Dots<'_, E> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self, s: S) {
        // SAFETY: the caller's promise.
        unsafe {
            match self.weights.outputs {
                1 => self.sums::<S, 1>(s),
                2 => self.sums::<S, 2>(s),
                3 => self.sums::<S, 3>(s),
                _ => self.sums::<S, MOST>(s),
            }
        }
    }
}

#[allow(unsafe_code)]
impl<E: Element> Dots<'_, E> {
    /// # Safety
    /// As for the task.
    // Words are read wherever they lie.
    #[allow(clippy::cast_ptr_alignment)]
    #[inline(always)]
    unsafe fn sums<S: Simd, const OUTPUTS: usize>(&self, s: S) {
        let Weights { pairs, vectors, .. } = *self.weights;
        for first in (0..self.count).step_by(PIXELS) {
            // SAFETY: the weights are (taps, vectors, O, lanes), and read in that order; pixels and results are the caller's
            // promise.
            unsafe {
                let mut sums = [[s.splat(0.0); OUTPUTS]; PIXELS];
                let mut weights = self.weights.words.as_ptr().cast::<f32>();
                for found in self.found.chunks_exact(self.count) {
                    for vector in 0..vectors {
                        let mut w = [s.splat(0.0); OUTPUTS];
                        for w in &mut w {
                            *w = s.load(weights);
                            weights = weights.add(S::LANES);
                        }
                        for (at, sums) in sums.iter_mut().enumerate() {
                            // After the last pixel, that one again.
                            let pixel = found[(first + at).min(self.count - 1)];
                            let x = if pairs {
                                s.load(pixel.cast::<f32>().add(vector * S::LANES))
                            } else {
                                E::load(s, pixel.cast::<E>().add(vector * S::LANES))
                            };
                            for (sum, w) in sums.iter_mut().zip(&w) {
                                *sum = if pairs { s.dot_bf16(x, *w, *sum) } else { s.mul_add(x, *w, *sum) };
                            }
                        }
                    }
                }
                for (at, sums) in sums.iter().enumerate().take(self.count - first) {
                    let mut results = [0.0f32; 16];
                    for (result, sum) in results.iter_mut().zip(sums) {
                        *result = s.sum(*sum);
                    }
                    let results = s.load(results.as_ptr());
                    self.epilogue.vector(s, results, results, self.first + first + at, 0);
                }
            }
        }
    }
}
