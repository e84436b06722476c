//! Products of rows with packed weights: the arithmetic of every linear layer and convolution on a CPU.
//!
//! The innermost loop (`tile`) takes a few rows and a panel of weights. A row is a list of 32-bit words anywhere in memory;
//! each word is broadcast to a vector and multiplied with the panel, which is read in order. A convolution is such a
//! product whose rows are pixels, another pixel for every position of its kernel ("tap"). `pack` lays weights out,
//! `epilogue` finishes the sums.

use std::ops::Range;

use crate::element::Element;
use crate::simd::{self, Simd, Task};
use crate::{parallel, scratch};

mod format;
#[cfg(all(test, target_arch = "x86_64"))]
pub(crate) use format::FORCED_PAIRS;
pub(crate) use format::WeightFormat;
pub use format::{Bf16Products, bf16_products};

mod pack;
pub(crate) use pack::{Packed, Panel, ReadRow, with_rows};

mod tile;
pub(crate) use tile::Block;

mod rows;
pub(crate) use rows::{Contiguous, Rows, RowsFor, addresses, with_rows_for};

mod epilogue;
pub use epilogue::Activation;
pub(crate) use epilogue::{Epilogue, Target};

/// Rows that one task multiplies with a panel: a multiple of every tile's rows.
pub(crate) const ROWS: usize = 96;

/// Fewer rows than this are not worth a task of their own.
const SHORTEST: usize = 24;

/// The widest panel, in values.
pub(crate) const WIDTH: usize = 64;

/// Multiply-adds below which threads cost more than they give.
const WORTH_SHARING: usize = 1 << 18;

/// Multiplies `count` rows with all panels.
pub(crate) fn multiply<E: Element>(weights: &Packed, count: usize, rows: &impl Rows, epilogue: &Epilogue<'_, E>) {
    let panels = weights.panels.len();
    let work = count * weights.taps * weights.depth * weights.columns;
    let threads = if work < WORTH_SHARING { 1 } else { parallel::threads() };
    // Blocks are shorter where there would be too few tasks for every thread.
    let tasks = if threads == 1 { 1 } else { 3 * threads };
    let length = count.div_ceil(tasks.div_ceil(panels)).next_multiple_of(8).clamp(SHORTEST, ROWS);
    let blocks = count.div_ceil(length);
    // Finding the rows is done once for a group of panels; there are a few more tasks than threads, for balance.
    let groups = if threads == 1 { 1 } else { (8 * threads).div_ceil(blocks.max(1)).clamp(1, panels) };
    let wide = if weights.format == WeightFormat::Bf16Weights && weights.taps == 1 { ROWS * weights.depth } else { 0 };
    let task = |task: usize| {
        let (block, group) = (task / groups, task % groups);
        let first = block * length;
        let count = length.min(count - first);
        let panels = &weights.panels[group * panels / groups..(group + 1) * panels / groups];
        let mut found = vec![std::ptr::null(); weights.taps * ROWS];
        scratch::with(wide, |wide| {
            if !wide.is_empty() && rows.widen(first, count, wide) {
                let wide = wide.chunks_exact(weights.depth);
                found.iter_mut().zip(wide).for_each(|(found, row)| *found = row.as_ptr().cast());
            } else {
                rows.find(first, count, ROWS, &mut found);
                if cfg!(debug_assertions) {
                    check_addresses(weights, rows, &found, count);
                }
            }
            for found in found.chunks_exact_mut(ROWS) {
                let last = found[count - 1];
                found[count..].fill(last);
            }
            block_of_rows(weights, panels, &found, first, count, epilogue);
        });
    };
    let tasks = blocks * groups;
    if threads == 1 { (0..tasks).for_each(task) } else { parallel::for_each(tasks, task) }
}

/// Whether every row that was found lies inside the memory that it may lie in.
fn check_addresses(weights: &Packed, rows: &impl Rows, found: &[*const u8], count: usize) {
    let bytes = weights.words() * size_of::<u32>();
    for row in found.chunks_exact(ROWS).flat_map(|tap| &tap[..count]) {
        let inside = |memory: &Range<*const u8>| memory.contains(row) && memory.end.addr() - row.addr() >= bytes;
        assert!(rows.memory().iter().any(inside), "a row of {bytes} bytes at {row:?} lies outside {:?}", rows.memory());
    }
}

/// Multiplies up to `ROWS` rows with some panels.
fn block_of_rows<E: Element>(
    weights: &Packed,
    panels: &[Panel],
    found: &[*const u8],
    first: usize,
    count: usize,
    epilogue: &Epilogue<'_, E>,
) {
    scratch::with(ROWS * WIDTH, |sums| {
        for panel in panels {
            let sums_row = panel.vectors * simd::lanes();
            let block = Block {
                format: weights.format,
                rows: found,
                stride: ROWS,
                count,
                weights: weights.weights(panel, 0),
                taps: weights.taps,
                words: weights.words(),
                vectors: panel.vectors,
                sums: sums.as_mut_ptr(),
                sums_row,
                add: false,
            };
            #[allow(unsafe_code)]
            // SAFETY: `Rows` found `words` words at every address (its contract), the panel is of these weights, and there
            // is room for `ROWS` rows of the widest panel. Rows from `first` on and the panel's columns are this task's.
            unsafe {
                simd::dispatch(block);
                simd::dispatch(Finish { panel, epilogue, sums, sums_row, first, count });
            }
        }
    });
}

/// Hands the sums of one panel to the epilogue.
///
/// # Safety
/// To run it, `sums` must have `count` rows of the panel's width, and the results must be this task's alone.
struct Finish<'a, E> {
    panel: &'a Panel,
    epilogue: &'a Epilogue<'a, E>,
    sums: &'a [f32],
    sums_row: usize,
    first: usize,
    count: usize,
}

#[allow(unsafe_code)]
impl<E: Element> Task for Finish<'_, E> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self, s: S) {
        let gates = if self.epilogue.activation == Activation::Geglu { self.sums_row / 2 } else { 0 };
        for row in 0..self.count {
            for column in (0..self.panel.columns).step_by(S::LANES) {
                // SAFETY: the caller's promise; a gated panel's right half, as wide as the left one, holds the gates.
                unsafe {
                    let sums = self.sums.as_ptr().add(row * self.sums_row + column);
                    let (sums, gates) = (s.load(sums), s.load(sums.add(gates)));
                    self.epilogue.vector(s, sums, gates, self.first + row, self.panel.first + column);
                }
            }
        }
    }
}
