//! The rows that packed weights are multiplied with: where they lie, and in which form.

use std::ops::Range;

use super::{Packed, WeightFormat};
use crate::element::Element;
use crate::simd::{self, Simd, Task};
use crate::{parallel, scratch};

/// Where the rows of a product lie.
///
/// # Safety
/// At every address that [`Self::find`] writes, a row's values can be read for as long as the rows are borrowed: as many as
/// the weights have `depth`, and one more where these are pairs and `depth` is odd (`with_rows_for` makes it even).
#[allow(unsafe_code)]
pub(crate) unsafe trait Rows: Sync {
    /// Writes the addresses of `count` rows from `first` on to `found[tap · stride + row]`.
    fn find(&self, first: usize, count: usize, stride: usize, found: &mut [*const u8]);

    /// The memory that rows lie in, as addresses: builds with debug assertions check every row that was found.
    fn memory(&self) -> [Range<*const u8>; 2];

    /// Whether they are bf16 one after the other, to be widened where the weights want f32.
    fn widen(&self, _first: usize, _count: usize, _wide: &mut [f32]) -> bool {
        false
    }
}

/// The addresses of a slice's bytes.
pub(crate) fn addresses<E>(values: &[E]) -> Range<*const u8> {
    let Range { start, end } = values.as_ptr_range();
    start.cast()..end.cast()
}

/// Rows one after the other.
pub(crate) struct Contiguous<'a, E> {
    pub values: &'a [E],
    pub depth: usize,
}

#[allow(unsafe_code)]
// SAFETY: the slice from a row's first value on was not empty, and rows are `depth` values of it (checked in `find`).
unsafe impl<E: Element> Rows for Contiguous<'_, E> {
    fn find(&self, first: usize, count: usize, _: usize, found: &mut [*const u8]) {
        let rows = self.values[first * self.depth..][..count * self.depth].chunks_exact(self.depth);
        found.iter_mut().zip(rows).for_each(|(found, row)| *found = row.as_ptr().cast());
    }

    fn memory(&self) -> [Range<*const u8>; 2] {
        [addresses(self.values), addresses::<E>(&[])]
    }

    fn widen(&self, first: usize, count: usize, wide: &mut [f32]) -> bool {
        let narrow = size_of::<E>() < size_of::<f32>();
        if narrow {
            let x = &self.values[first * self.depth..][..count * self.depth];
            widen(x, wide);
        }
        narrow
    }
}

/// Values in the form that some weights want.
pub(crate) enum RowsFor<'a, E> {
    /// As they are.
    Given(&'a [E]),
    /// As f32.
    Wide(&'a [f32]),
    /// With one zero more in every row: two bf16 make one word.
    Even(&'a [E]),
}

/// Calls `work` with rows of `weights.depth` values in the form that these weights want; `contiguous` ones go to the
/// product as [`Contiguous`].
pub(crate) fn with_rows_for<E: Element, R>(
    weights: &Packed,
    contiguous: bool,
    x: &[E],
    work: impl FnOnce(RowsFor<'_, E>) -> R,
) -> R {
    let depth = weights.depth;
    match weights.format {
        WeightFormat::Bf16Pairs if depth % 2 == 1 => {
            let mut even = vec![E::from_f32(0.0); x.len() / depth * (depth + 1)];
            for (to, from) in even.chunks_exact_mut(depth + 1).zip(x.chunks_exact(depth)) {
                to[..depth].copy_from_slice(from);
            }
            work(RowsFor::Even(&even))
        }
        // Contiguous rows are widened block by block.
        WeightFormat::Bf16Weights if size_of::<E>() < size_of::<f32>() && !contiguous => {
            scratch::with(x.len(), |wide| {
                let target = parallel::Shared::new(wide);
                parallel::for_each(x.len().div_ceil(SHARE), |task| {
                    let x = &x[task * SHARE..x.len().min((task + 1) * SHARE)];
                    #[allow(unsafe_code)]
                    // SAFETY: every task has a part of its own.
                    let wide = unsafe { target.slice(task * SHARE, x.len()) };
                    widen(x, wide);
                });
                #[allow(unsafe_code)]
                // SAFETY: the tasks that wrote have ended.
                work(RowsFor::Wide(unsafe { target.read() }))
            })
        }
        _ => work(RowsFor::Given(x)),
    }
}

/// Values that one task widens.
const SHARE: usize = 1 << 16;

fn widen<E: Element>(x: &[E], wide: &mut [f32]) {
    let wide = &mut wide[..x.len()];
    #[allow(unsafe_code)]
    // SAFETY: both are equally long.
    unsafe {
        simd::dispatch(Widen { x, wide });
    }
}

/// # Safety
/// To run it, `wide` must be as long as `x`.
struct Widen<'a, E> {
    x: &'a [E],
    wide: &'a mut [f32],
}

#[allow(unsafe_code)]
impl<E: Element> Task for Widen<'_, E> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self, s: S) {
        for at in (0..self.x.len()).step_by(S::LANES) {
            let left = self.x.len() - at;
            // SAFETY: `left` values are left, of both, by the caller's promise.
            unsafe {
                let value = E::load_part(s, self.x.as_ptr().add(at), left);
                f32::store_part(s, self.wide.as_mut_ptr().add(at), value, left);
            }
        }
    }
}
