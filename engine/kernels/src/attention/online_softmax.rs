//! Attention in one pass over the keys (Milakov and Gimelshein, arXiv 1805.02867; Dao et al., arXiv 2205.14135): a block
//! of queries takes the keys block by block. When a larger score turns up, the sums so far are scaled down. Change here the
//! forward pass of attention on a CPU.

use super::Attention;
use crate::element::Element;
use crate::packed_gemm::{Block, Packed, Panel, ROWS, Target, WeightFormat};
use crate::simd::{self, Simd, Task};
use crate::{parallel, scratch};

/// Keys that a block of queries takes at once.
const KEYS: usize = 512;

impl Attention {
    /// `q` (B, N, heads · size), `k` and `v` (B, M, heads · size).
    pub(super) fn forward<E: Element>(&self, q: &[E], k: &[E], v: &[E]) -> Vec<E> {
        let pairs = size_of::<E>() == 2 && WeightFormat::bf16() == WeightFormat::Bf16Pairs;
        let format = if pairs { WeightFormat::Bf16Pairs } else { WeightFormat::F32 };
        let heads: Vec<Head> = parallel::collect(self.batch * self.heads, |index| self.pack(format, index, k, v));
        let len = self.batch * self.queries * self.width();
        let mut out = Vec::new();
        let target = Target::new(&mut out, len);
        let blocks = self.queries.div_ceil(ROWS);
        parallel::for_each(heads.len() * blocks, |task| {
            let (index, block) = (task / blocks, task % blocks);
            self.block(&heads[index], index, block * ROWS, q, target);
        });
        #[allow(unsafe_code)]
        // SAFETY: room for as many values was reserved, and the tasks wrote every one of them.
        unsafe {
            out.set_len(len);
        }
        out
    }

    /// Where token `at` of head `index` of all samples lies, in a sequence of `length` tokens.
    fn token(&self, index: usize, at: usize, length: usize) -> usize {
        let (sample, head) = (index / self.heads, index % self.heads);
        (sample * length + at) * self.width() + head * self.size
    }

    /// The keys and values of head `index` of all samples, packed so that queries and weights in `format` can be multiplied with them.
    fn pack<E: Element>(&self, format: WeightFormat, index: usize, k: &[E], v: &[E]) -> Head {
        let start = self.token(index, 0, self.keys);
        let keys = Packed::by_panel(format, (1, self.size, self.keys), false, |panel, data| {
            let width = panel.vectors * simd::lanes();
            for column in 0..panel.columns {
                let key = &k[start + (panel.first + column) * self.width()..][..self.size];
                for (at, to) in data[column..].iter_mut().step_by(width).enumerate() {
                    *to = word(format, key, at);
                }
            }
        });
        let values = Packed::by_panel(format, (1, self.keys, self.size), false, |panel, data| {
            let row = |key: usize| &v[start + key * self.width() + panel.first..][..panel.columns];
            for (at, data) in data.chunks_exact_mut(panel.vectors * simd::lanes()).enumerate() {
                if format == WeightFormat::F32 {
                    data.iter_mut().zip(row(at)).for_each(|(to, value)| *to = value.to_f32().to_bits());
                } else if 2 * at + 1 < self.keys {
                    let pairs = row(2 * at).iter().zip(row(2 * at + 1));
                    data.iter_mut().zip(pairs).for_each(|(to, (lower, upper))| *to = pair(*lower, *upper));
                } else {
                    let zero = E::from_f32(0.0);
                    data.iter_mut().zip(row(2 * at)).for_each(|(to, lower)| *to = pair(*lower, zero));
                }
            }
        });
        Head { keys, values }
    }

    /// Up to `ROWS` queries from `first` on, over all keys.
    fn block<E: Element>(&self, head: &Head, index: usize, first: usize, q: &[E], out: Target<E>) {
        let format = head.keys.format;
        let count = ROWS.min(self.queries - first);
        let lanes = simd::lanes();
        let out_row = self.size.next_multiple_of(lanes);
        let query_words = head.keys.words();
        scratch::with(ROWS * (query_words + KEYS + out_row), |buffer| {
            let (queries, rest) = buffer.split_at_mut(ROWS * query_words);
            let (scores, sums) = rest.split_at_mut(ROWS * KEYS);
            sums.fill(0.0);
            for (row, to) in queries.chunks_exact_mut(query_words).enumerate().take(count) {
                let from = &q[self.token(index, first + row, self.queries)..][..self.size];
                for (at, to) in to.iter_mut().enumerate() {
                    *to = f32::from_bits(word(format, from, at));
                }
            }
            let (mut largest, mut totals) = ([f32::NEG_INFINITY; ROWS], [0.0f32; ROWS]);
            let query_rows = rows(queries, query_words, count);
            let score_rows = rows(scores, KEYS, count);
            let mut panels = head.keys.panels.as_slice();
            while let Some(start) = panels.first().map(|panel| panel.first) {
                if start >= self.seen(first + count - 1) {
                    break;
                }
                let fits = |panel: &&Panel| panel.first + panel.vectors * lanes - start <= KEYS;
                let (now, later) = panels.split_at(panels.iter().take_while(fits).count());
                panels = later;
                let keys = later.first().map_or(self.keys, |panel| panel.first) - start;
                for panel in now {
                    let block = Block {
                        format,
                        rows: &query_rows,
                        stride: ROWS,
                        count,
                        weights: head.keys.weights(panel, 0),
                        taps: 1,
                        words: query_words,
                        vectors: panel.vectors,
                        sums: scores[panel.first - start..].as_mut_ptr(),
                        sums_row: KEYS,
                        add: false,
                    };
                    #[allow(unsafe_code)]
                    // SAFETY: queries are rows of `query_words` words, the panel is of these keys, and it ends within `KEYS`
                    // columns of the scores (`fits`), which are `ROWS` rows of those.
                    unsafe {
                        simd::dispatch(block);
                    }
                }
                let softmax = Softmax {
                    scores: &mut scores[..count * KEYS],
                    keys,
                    seen: |row| self.seen(first + row).saturating_sub(start).min(keys),
                    scale: self.scale * std::f32::consts::LOG2_E,
                    pairs: format == WeightFormat::Bf16Pairs,
                    largest: &mut largest,
                    totals: &mut totals,
                    sums: &mut *sums,
                    sums_row: out_row,
                };
                #[allow(unsafe_code)]
                // SAFETY: the task asks for nothing.
                unsafe {
                    simd::dispatch(softmax);
                }
                for panel in &head.values.panels {
                    // Panels of keys, and so `start`, begin at whole vectors: at whole words.
                    let before = start / format.values_per_word();
                    let block = Block {
                        format,
                        rows: &score_rows,
                        stride: ROWS,
                        count,
                        weights: head
                            .values
                            .weights(panel, 0)
                            .wrapping_add(before * panel.vectors * lanes * size_of::<u32>()),
                        taps: 1,
                        words: keys.div_ceil(format.values_per_word()),
                        vectors: panel.vectors,
                        sums: sums[panel.first..].as_mut_ptr(),
                        sums_row: out_row,
                        add: true,
                    };
                    #[allow(unsafe_code)]
                    // SAFETY: rows of scores are `KEYS` words, of which the first are weights of `keys` keys; the panel has
                    // so many after `before`; its columns lie inside `out_row`.
                    unsafe {
                        simd::dispatch(block);
                    }
                }
            }
            for row in 0..count {
                let to = out.at(self.token(index, first + row, self.queries));
                let inverse = 1.0 / totals[row];
                let from = &sums[row * out_row..][..self.size];
                #[allow(unsafe_code)]
                // SAFETY: this head's part of the query's token, which is this task's alone.
                unsafe {
                    simd::dispatch(Scale { from, factor: inverse, to });
                }
            }
        });
    }
}

/// Two values as one word of [`WeightFormat::Bf16Pairs`].
#[inline(always)]
fn pair<E: Element>(lower: E, upper: E) -> u32 {
    lower.to_f32().to_bits() >> 16 | upper.to_f32().to_bits() & 0xffff_0000
}

/// Word `at` of a row in the form of `format`: f32, or pairs of bf16.
#[inline(always)]
fn word<E: Element>(format: WeightFormat, row: &[E], at: usize) -> u32 {
    match format {
        WeightFormat::Bf16Pairs => pair(row[2 * at], row.get(2 * at + 1).copied().unwrap_or_else(|| E::from_f32(0.0))),
        _ => row[at].to_f32().to_bits(),
    }
}

/// Keys (1, size, M) and values (1, M, size) of one head of one sample.
struct Head {
    keys: Packed,
    values: Packed,
}

/// The addresses of `count` rows, the last again and again after it.
fn rows(values: &[f32], width: usize, count: usize) -> [*const u8; ROWS] {
    std::array::from_fn(|row| values[row.min(count - 1) * width..].as_ptr().cast())
}

/// Turns scores into weights, ready to be multiplied with the values. The sums so far are scaled to each query's
/// new largest score.
struct Softmax<'a, F> {
    /// (queries, KEYS); each row is overwritten from its first on, by as many words as its weights take.
    scores: &'a mut [f32],
    /// How many scores a row has, and how many of them, the first, a query sees.
    keys: usize,
    seen: F,
    /// Turns scores into exponents of 2.
    scale: f32,
    /// Whether weights are pairs of bf16.
    pairs: bool,
    /// Each query's largest exponent so far, and the sum of its weights.
    largest: &'a mut [f32],
    totals: &'a mut [f32],
    /// (queries, `sums_row`)
    sums: &'a mut [f32],
    sums_row: usize,
}

#[allow(unsafe_code)]
impl<F: Fn(usize) -> usize> Task for Softmax<'_, F> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self, s: S) {
        // To whole vectors, of whose last a part is of no key: it weighs nothing.
        let end = self.keys.next_multiple_of(S::LANES);
        assert!(end <= KEYS, "a row of scores has {KEYS}");
        for (row, scores) in self.scores.chunks_exact_mut(KEYS).enumerate() {
            scores[(self.seen)(row)..end].fill(f32::NEG_INFINITY);
            let scores = scores.as_mut_ptr();
            // SAFETY: `end` values, whole vectors, lie inside the row (`run` made sure), and bf16 take half of their place.
            unsafe {
                let mut most = s.splat(f32::NEG_INFINITY);
                for at in (0..end).step_by(S::LANES) {
                    most = s.max(most, s.load(scores.add(at)));
                }
                let before = self.largest[row];
                let most = (s.maximum(most) * self.scale).max(before);
                // A query that sees nothing here keeps what it had.
                if most == f32::NEG_INFINITY {
                    std::slice::from_raw_parts_mut(scores, end).fill(0.0);
                    continue;
                }
                let (scale, largest) = (s.splat(self.scale), s.splat(-most));
                let mut total = s.splat(0.0);
                for at in (0..end).step_by(S::LANES) {
                    let weight = simd::exp2_vector(s, s.mul_add(s.load(scores.add(at)), scale, largest));
                    total = s.add(total, weight);
                    if self.pairs {
                        s.store_bf16(scores.cast::<u16>().add(at), weight);
                    } else {
                        s.store(scores.add(at), weight);
                    }
                }
                let fading = (before - most).exp2();
                self.totals[row] = self.totals[row] * fading + s.sum(total);
                self.largest[row] = most;
                if fading < 1.0 {
                    for value in &mut self.sums[row * self.sums_row..][..self.sums_row] {
                        *value *= fading;
                    }
                }
            }
        }
    }
}

/// `to = from · factor`
///
/// # Safety
/// To run it, as many values as `from` has must be writable at `to`, by this task alone.
struct Scale<'a, E> {
    from: &'a [f32],
    factor: f32,
    to: *mut E,
}

#[allow(unsafe_code)]
impl<E: Element> Task for Scale<'_, E> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self, s: S) {
        for at in (0..self.from.len()).step_by(S::LANES) {
            let left = self.from.len() - at;
            // SAFETY: `left` values are left, of both, by the caller's promise.
            unsafe {
                let value = f32::load_part(s, self.from.as_ptr().add(at), left);
                E::store_part(s, self.to.add(at), s.mul(value, s.splat(self.factor)), left);
            }
        }
    }
}
