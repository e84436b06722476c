//! What happens to a product's sums on their way to memory.

use crate::element::Element;
use crate::simd::{self, Simd};

/// The function at the end of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// The identity.
    None,
    /// max(x, 0)
    Relu,
    /// x · σ(x)
    Silu,
    /// x · σ(1.702 x)
    QuickGelu,
    /// x · Φ(x), exactly
    Gelu,
    /// a · GELU(g), where the layer's columns are all a, then all g: half as many results as columns.
    Geglu,
}

/// `out = activation(sums + bias + channel_bias + residual)`, row by row.
pub(crate) struct Epilogue<'a, E> {
    /// (columns), of a gated product (2 · columns).
    pub bias: Option<&'a [f32]>,
    /// (samples, columns): added to each row of a sample.
    pub channel_bias: Option<&'a [E]>,
    pub rows_per_sample: usize,
    /// (rows, columns)
    pub residual: Option<&'a [E]>,
    pub activation: Activation,
    /// Of a row of results.
    pub columns: usize,
    pub out: Target<E>,
}

/// (rows, columns) of results that several tasks write to, each its own part.
#[derive(Clone, Copy)]
pub(crate) struct Target<E> {
    start: *mut E,
    len: usize,
}

#[allow(unsafe_code)]
// SAFETY: tasks write to parts that do not overlap.
unsafe impl<E: Send> Send for Target<E> {}
#[allow(unsafe_code)]
// SAFETY: as for `Send`.
unsafe impl<E: Send> Sync for Target<E> {}

impl<E> Target<E> {
    /// Room for `len` values at the end of an empty vector, to be claimed with `set_len` once written.
    pub(crate) fn new(values: &mut Vec<E>, len: usize) -> Self {
        values.reserve_exact(len);
        Self { start: values.as_mut_ptr(), len }
    }

    pub(crate) fn at(self, index: usize) -> *mut E {
        debug_assert!(index < self.len);
        self.start.wrapping_add(index)
    }
}

#[allow(unsafe_code)]
impl<E: Element> Epilogue<'_, E> {
    /// Sums of one row from `column` on, as many as a vector holds or as there are columns.
    ///
    /// # Safety
    /// Row and column lie inside the results, whose sizes are those of everything that is added, and no other task writes
    /// them.
    #[inline(always)]
    pub(crate) unsafe fn vector<S: Simd>(&self, s: S, sums: S::Vector, gates: S::Vector, row: usize, column: usize) {
        debug_assert!(column < self.columns, "column {column} of {}", self.columns);
        // SAFETY: biases, residuals and results have `count` columns left; the place is the caller's promise.
        unsafe {
            let count = self.columns - column;
            let mut x = sums;
            if let Some(bias) = self.bias {
                x = s.add(x, f32::load_part(s, bias.as_ptr().add(column), count));
            }
            if let Some(channel_bias) = self.channel_bias {
                let at = row / self.rows_per_sample * self.columns + column;
                x = s.add(x, E::load_part(s, channel_bias.as_ptr().add(at), count));
            }
            let at = row * self.columns + column;
            if let Some(residual) = self.residual {
                x = s.add(x, E::load_part(s, residual.as_ptr().add(at), count));
            }
            let y = match self.activation {
                Activation::None => x,
                Activation::Relu => s.max(x, s.splat(0.0)),
                Activation::Silu => simd::silu_vector(s, x, 1.0),
                Activation::QuickGelu => simd::silu_vector(s, x, 1.702),
                Activation::Gelu => simd::gelu_vector(s, x),
                Activation::Geglu => {
                    let mut g = gates;
                    if let Some(bias) = self.bias {
                        g = s.add(g, f32::load_part(s, bias.as_ptr().add(self.columns + column), count));
                    }
                    s.mul(x, simd::gelu_vector(s, g))
                }
            };
            E::store_part(s, self.out.at(at), y, count);
        }
    }
}
