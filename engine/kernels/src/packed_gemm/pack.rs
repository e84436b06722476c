//! Weights laid out in the order in which the innermost loops read them.

use candle_core::{DType, Result, Storage, Tensor, bail};
use half::{bf16, f16};

use super::WeightFormat;
use crate::{parallel, scratch, simd};

/// The weights of a product: for every tap a matrix (depth, columns). A convolution has a tap for every place of its
/// kernel, a linear layer has one.
#[derive(Debug)]
pub(crate) struct Packed {
    pub format: WeightFormat,
    pub taps: usize,
    /// Values of a row.
    pub depth: usize,
    /// Values of a result: those of the matrix, or half of them where it is gated.
    pub columns: usize,
    pub panels: Vec<Panel>,
    data: Vec<u32>,
}

/// Some columns side by side.
#[derive(Clone, Debug)]
pub(crate) struct Panel {
    /// The first of its results.
    pub first: usize,
    /// How many results.
    pub columns: usize,
    /// Width in vectors. A gated panel's right half holds the gates of its left half.
    pub vectors: usize,
    /// Where its weights start, in bytes.
    offset: usize,
}

impl Packed {
    /// Packs a matrix given column by column: `fill(column, values)` writes (taps, depth). With `gated`, the matrix has
    /// twice as many columns: first the values, then their gates.
    pub(crate) fn new(
        format: WeightFormat,
        (taps, depth, columns): (usize, usize, usize),
        gated: bool,
        fill: impl Fn(usize, &mut [f32]) + Sync + Send,
    ) -> Self {
        let lanes = simd::lanes();
        let words = depth.div_ceil(format.values_per_word());
        Self::by_panel(format, (taps, depth, columns), gated, |panel, data| {
            let to = data.as_mut_ptr();
            let width = panel.vectors * lanes;
            let half = if gated { width / 2 } else { width };
            let len = taps * depth;
            scratch::with(lanes * len, |values| {
                // A vector of columns at a time: what is written lies side by side.
                for vector in (0..width).step_by(lanes) {
                    let (gate, at) = (vector / half, vector % half);
                    let count = lanes.min(panel.columns.saturating_sub(at));
                    for (lane, values) in values.chunks_exact_mut(len).enumerate().take(count) {
                        fill(panel.first + at + lane + gate * columns, values);
                    }
                    for tap in 0..taps {
                        for at in 0..depth {
                            let word = (tap * words + at / format.values_per_word()) * width + vector;
                            let column = values[tap * depth + at..].iter().step_by(len).take(count);
                            #[allow(unsafe_code)]
                            // SAFETY: inside the panel, which no one else writes: `word` counts up to its end (taps, words, width).
                            unsafe {
                                match format {
                                    WeightFormat::F32 => write(to.cast::<f32>().add(word), 1, column, |value| value),
                                    WeightFormat::Bf16Pairs => {
                                        let to = to.cast::<bf16>().add(2 * word + at % 2);
                                        write(to, 2, column, bf16::from_f32);
                                    }
                                    WeightFormat::Bf16Weights => {
                                        write(to.cast::<bf16>().add(word), 1, column, bf16::from_f32);
                                    }
                                    WeightFormat::F16Weights => {
                                        write(to.cast::<f16>().add(word), 1, column, f16::from_f32);
                                    }
                                }
                            }
                        }
                    }
                }
            });
        })
    }

    /// Packs a matrix panel by panel: `fill(panel, data)` writes (taps, words, width of the panel) in the form of `format`
    /// over zeros.
    pub(crate) fn by_panel(
        format: WeightFormat,
        (taps, depth, columns): (usize, usize, usize),
        gated: bool,
        fill: impl Fn(&Panel, &mut [u32]) + Sync + Send,
    ) -> Self {
        let lanes = simd::lanes();
        let bytes_per_lane = taps * depth.div_ceil(format.values_per_word()) * format.weight_bytes();
        let panels = panels(columns, lanes, simd::panel(), gated, bytes_per_lane);
        let end = panels.last().map_or(0, |panel| panel.offset + panel.vectors * lanes * bytes_per_lane);
        let mut packed = Self { format, taps, depth, columns, panels, data: vec![0; end.div_ceil(4)] };
        let start = Address(packed.data.as_mut_ptr());
        parallel::for_each(packed.panels.len(), |index| {
            let panel = &packed.panels[index];
            #[allow(unsafe_code)]
            // SAFETY: the panel's own part of the data, which no other task writes. A vector is whole words.
            let data = unsafe {
                std::slice::from_raw_parts_mut(start.at(panel.offset / 4), panel.vectors * lanes * bytes_per_lane / 4)
            };
            fill(panel, data);
        });
        packed
    }

    /// Whether every weight is what it was, where weights of that type were packed.
    pub(crate) fn is_exact(&self, given: DType) -> bool {
        self.format.is_exact(given)
    }

    /// Writes row `row` of the weights (O, depth, taps) that were packed: the way back of [`Packed::new`].
    pub(crate) fn unpack(&self, row: usize, to: &mut [f32]) {
        let (gate, column) = (row / self.columns, row % self.columns);
        let panel = &self.panels[self.panels.partition_point(|panel| panel.first <= column) - 1];
        let width = panel.vectors * simd::lanes();
        // A gated panel's right half holds the gates.
        let lane = gate * width / 2 + column - panel.first;
        let data = &self.data[panel.offset / 4..];
        let half = |index: usize| (data[index / 2] >> (16 * (index % 2))) as u16;
        for tap in 0..self.taps {
            for at in 0..self.depth {
                let word = (tap * self.words() + at / self.format.values_per_word()) * width + lane;
                to[at * self.taps + tap] = match self.format {
                    WeightFormat::F32 => f32::from_bits(data[word]),
                    WeightFormat::Bf16Pairs => bf16::from_bits(half(2 * word + at % 2)).to_f32(),
                    WeightFormat::Bf16Weights => bf16::from_bits(half(word)).to_f32(),
                    WeightFormat::F16Weights => f16::from_bits(half(word)).to_f32(),
                };
            }
        }
    }

    /// Memory that the weights take.
    pub(crate) fn bytes(&self) -> usize {
        size_of_val(self.data.as_slice())
    }

    /// Words of a row, one tap.
    pub(crate) fn words(&self) -> usize {
        self.depth.div_ceil(self.format.values_per_word())
    }

    /// The weights of a panel from one tap on.
    pub(crate) fn weights(&self, panel: &Panel, tap: usize) -> *const u8 {
        let offset = panel.offset + tap * self.words() * panel.vectors * simd::lanes() * self.format.weight_bytes();
        debug_assert!(offset <= 4 * self.data.len());
        self.data.as_ptr().cast::<u8>().wrapping_add(offset)
    }
}

/// Divides columns into panels whose widths differ by one vector at most.
fn panels(columns: usize, lanes: usize, widest: usize, gated: bool, bytes_per_lane: usize) -> Vec<Panel> {
    let (widest, parts) = if gated { (widest / 2, 2) } else { (widest, 1) };
    let vectors = columns.div_ceil(lanes);
    let count = vectors.div_ceil(widest);
    let mut offset = 0;
    (0..count)
        .map(|index| {
            let (from, to) = (index * vectors / count, (index + 1) * vectors / count);
            let first = from * lanes;
            let vectors = (to - from) * parts;
            let panel = Panel { first, columns: columns.min(to * lanes) - first, vectors, offset };
            offset += vectors * lanes * bytes_per_lane;
            panel
        })
        .collect()
}

/// Writes values `step` apart.
///
/// # Safety
/// All of them lie inside one allocation that no one else writes.
#[allow(unsafe_code)]
#[inline]
unsafe fn write<'a, T>(to: *mut T, step: usize, values: impl Iterator<Item = &'a f32>, as_kept: impl Fn(f32) -> T) {
    for (index, value) in values.enumerate() {
        // SAFETY: the caller's promise.
        unsafe { to.add(index * step).write(as_kept(*value)) }
    }
}

#[derive(Clone, Copy)]
struct Address(*mut u32);

impl Address {
    fn at(self, offset: usize) -> *mut u32 {
        self.0.wrapping_add(offset)
    }
}

#[allow(unsafe_code)]
// SAFETY: tasks write to parts that do not overlap.
unsafe impl Send for Address {}
#[allow(unsafe_code)]
// SAFETY: as for `Send`.
unsafe impl Sync for Address {}

/// Reads a row of weights (O, …) as f32: `read(row, to)`.
pub(crate) type ReadRow<'a> = &'a (dyn Fn(usize, &mut [f32]) + Sync);

/// Calls `f` with a reader of the rows of a weight tensor on the CPU, in any float type.
pub(crate) fn with_rows<R>(weight: &Tensor, f: impl FnOnce(ReadRow<'_>) -> R) -> Result<R> {
    let weight = weight.contiguous()?;
    let (storage, layout) = weight.storage_and_layout();
    let Storage::Cpu(storage) = &*storage else { bail!("only weights on the CPU are packed") };
    let values = layout.start_offset()..layout.start_offset() + layout.shape().elem_count();
    Ok(match weight.dtype() {
        DType::F32 => {
            let values = &storage.as_slice::<f32>()?[values];
            f(&|row, to| to.copy_from_slice(&values[row * to.len()..][..to.len()]))
        }
        DType::BF16 => f(&widened(&storage.as_slice::<bf16>()?[values], bf16::to_f32)),
        DType::F16 => f(&widened(&storage.as_slice::<f16>()?[values], f16::to_f32)),
        other => bail!("weights of the type {other:?} are unknown"),
    })
}

/// A reader of rows that makes f32 of each value.
fn widened<T: Copy>(values: &[T], widen: impl Fn(T) -> f32) -> impl Fn(usize, &mut [f32]) {
    move |row, to| {
        let values = &values[row * to.len()..][..to.len()];
        to.iter_mut().zip(values).for_each(|(to, value)| *to = widen(*value));
    }
}
