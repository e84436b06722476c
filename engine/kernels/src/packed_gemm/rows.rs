//! Rows in the form that packed weights meet.

use super::{Packed, WeightFormat};
use crate::element::Element;
use crate::simd::{self, Simd, Task};
use crate::{parallel, scratch};

/// Where the rows of a product lie.
pub(crate) trait Rows: Sync {
    /// Writes the addresses of `count` rows from `first` on to `found[tap · stride + row]`: `depth` values are readable
    /// there, one more where pairs of bf16 have an odd number.
    fn find(&self, first: usize, count: usize, stride: usize, found: &mut [*const u8]);

    /// Whether they are bf16 one after the other, to be widened where the weights want f32.
    fn widen(&self, _first: usize, _count: usize, _wide: &mut [f32]) -> bool {
        false
    }
}

/// Rows one after the other.
pub(crate) struct Contiguous<'a, E> {
    pub values: &'a [E],
    pub depth: usize,
}

impl<E: Element> Rows for Contiguous<'_, E> {
    fn find(&self, first: usize, count: usize, _: usize, found: &mut [*const u8]) {
        for (row, found) in found[..count].iter_mut().enumerate() {
            *found = self.values[(first + row) * self.depth..].as_ptr().cast();
        }
    }

    fn widen(&self, first: usize, count: usize, wide: &mut [f32]) -> bool {
        let narrow = size_of::<E>() < size_of::<f32>();
        if narrow {
            let x = &self.values[first * self.depth..][..count * self.depth];
            simd::dispatch(Widen { x, wide });
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
                    simd::dispatch(Widen { x, wide });
                });
                work(RowsFor::Wide(target.read()))
            })
        }
        _ => work(RowsFor::Given(x)),
    }
}

/// Values that one task widens.
const SHARE: usize = 1 << 16;

struct Widen<'a, E> {
    x: &'a [E],
    wide: &'a mut [f32],
}

#[allow(unsafe_code)]
impl<E: Element> Task for Widen<'_, E> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        for at in (0..self.x.len()).step_by(S::LANES) {
            let left = self.x.len() - at;
            unsafe {
                let value = E::load_part::<S>(self.x.as_ptr().add(at), left);
                f32::store_part::<S>(self.wide.as_mut_ptr().add(at), value, left);
            }
        }
    }
}
