//! Attention in one pass over the keys (Milakov and Gimelshein, arXiv 1805.02867; Dao et al., arXiv 2205.14135): a block
//! of queries meets the keys block by block; when a larger score turns up, what was summed so far is scaled down.

use super::Attention;
use crate::element::Element;
use crate::product::{Block, Kind, Packed, Panel, ROWS, Target};
use crate::simd::{self, Simd, Task};
use crate::{parallel, scratch};

/// Keys that a block of queries meets at once.
const KEYS: usize = 256;

impl Attention {
    /// `q` (B, N, heads · size), `k` and `v` (B, M, heads · size).
    pub(super) fn forward<E: Element>(&self, q: &[E], k: &[E], v: &[E]) -> Vec<E> {
        let heads: Vec<Head> = {
            let mut heads: Vec<Option<Head>> = Vec::new();
            heads.resize_with(self.batch * self.heads, || None);
            let target = Slots(heads.as_mut_ptr());
            parallel::for_each(self.batch * self.heads, |index| {
                let head = self.pack(index, k, v);
                #[allow(unsafe_code)]
                // SAFETY: every head belongs to one task.
                unsafe {
                    target.at(index).write(Some(head));
                }
            });
            heads.into_iter().flatten().collect()
        };
        let len = self.batch * self.queries * self.width();
        let mut out = Vec::new();
        let target = Target::new(&mut out, len);
        let blocks = self.queries.div_ceil(ROWS);
        parallel::for_each(heads.len() * blocks, |task| {
            let (index, block) = (task / blocks, task % blocks);
            self.block(&heads[index], index, block * ROWS, q, target);
        });
        #[allow(unsafe_code)]
        // SAFETY: the tasks wrote every value, once.
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

    fn pack<E: Element>(&self, index: usize, k: &[E], v: &[E]) -> Head {
        let start = self.token(index, 0, self.keys);
        let keys = Packed::new(Kind::F32, (1, self.size, self.keys), false, |key, values| {
            let row = &k[start + key * self.width()..];
            values.iter_mut().zip(row).for_each(|(to, value)| *to = value.to_f32());
        });
        let values = Packed::new(Kind::F32, (1, self.keys, self.size), false, |column, values| {
            let column = v[start + column..].iter().step_by(self.width());
            values.iter_mut().zip(column).for_each(|(to, value)| *to = value.to_f32());
        });
        Head { keys, values }
    }

    /// Up to `ROWS` queries from `first` on, over all keys.
    fn block<E: Element>(&self, head: &Head, index: usize, first: usize, q: &[E], out: Target<E>) {
        let count = ROWS.min(self.queries - first);
        let lanes = simd::lanes();
        let out_row = self.size.next_multiple_of(lanes);
        scratch::with(ROWS * (self.size + KEYS + out_row), |buffer| {
            let (queries, rest) = buffer.split_at_mut(ROWS * self.size);
            let (scores, sums) = rest.split_at_mut(ROWS * KEYS);
            sums.fill(0.0);
            for (row, to) in queries.chunks_exact_mut(self.size).enumerate().take(count) {
                let from = &q[self.token(index, first + row, self.queries)..];
                to.iter_mut().zip(from).for_each(|(to, value)| *to = value.to_f32() * self.scale);
            }
            let (mut largest, mut totals) = ([f32::NEG_INFINITY; ROWS], [0.0f32; ROWS]);
            let query_rows = rows(queries, self.size, count);
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
                    simd::dispatch(Block {
                        kind: Kind::F32,
                        rows: &query_rows,
                        stride: ROWS,
                        count,
                        weights: head.keys.weights(panel, 0),
                        taps: 1,
                        words: self.size,
                        vectors: panel.vectors,
                        sums: scores[panel.first - start..].as_mut_ptr(),
                        sums_row: KEYS,
                        add: false,
                    });
                }
                for row in 0..count {
                    simd::dispatch(Softmax {
                        scores: &mut scores[row * KEYS..][..keys],
                        seen: self.seen(first + row).saturating_sub(start).min(keys),
                        largest: &mut largest[row],
                        total: &mut totals[row],
                        sums: &mut sums[row * out_row..][..out_row],
                    });
                }
                for panel in &head.values.panels {
                    let skipped = start * panel.vectors * lanes * size_of::<f32>();
                    simd::dispatch(Block {
                        kind: Kind::F32,
                        rows: &score_rows,
                        stride: ROWS,
                        count,
                        weights: head.values.weights(panel, 0).wrapping_add(skipped),
                        taps: 1,
                        words: keys,
                        vectors: panel.vectors,
                        sums: sums[panel.first..].as_mut_ptr(),
                        sums_row: out_row,
                        add: true,
                    });
                }
            }
            for row in 0..count {
                let to = out.at(self.token(index, first + row, self.queries));
                let inverse = 1.0 / totals[row];
                simd::dispatch(Scale { from: &sums[row * out_row..][..self.size], factor: inverse, to });
            }
        });
    }
}

/// Keys (1, size, M) and values (1, M, size) of one head of one sample.
struct Head {
    keys: Packed,
    values: Packed,
}

#[derive(Clone, Copy)]
struct Slots(*mut Option<Head>);

impl Slots {
    fn at(self, index: usize) -> *mut Option<Head> {
        self.0.wrapping_add(index)
    }
}

#[allow(unsafe_code)]
// SAFETY: every slot belongs to one task.
unsafe impl Send for Slots {}
#[allow(unsafe_code)]
// SAFETY: as above.
unsafe impl Sync for Slots {}

/// The addresses of `count` rows, the last again and again after it.
fn rows(values: &[f32], width: usize, count: usize) -> [*const u8; ROWS] {
    std::array::from_fn(|row| values[row.min(count - 1) * width..].as_ptr().cast())
}

/// One query's scores become weights; what was summed before is scaled to the new largest score.
struct Softmax<'a> {
    scores: &'a mut [f32],
    seen: usize,
    largest: &'a mut f32,
    total: &'a mut f32,
    sums: &'a mut [f32],
}

#[allow(unsafe_code)]
impl Task for Softmax<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        self.scores[self.seen..].fill(f32::NEG_INFINITY);
        let scores = self.scores.as_mut_ptr();
        let whole = self.scores.len() / S::LANES * S::LANES;
        unsafe {
            let mut most = S::splat(*self.largest);
            for at in (0..whole).step_by(S::LANES) {
                most = S::max(most, S::load(scores.add(at)));
            }
            let mut most = S::maximum(most);
            for at in whole..self.scores.len() {
                most = most.max(*scores.add(at));
            }
            // A query that sees nothing here keeps what it had.
            if most == f32::NEG_INFINITY {
                self.scores.fill(0.0);
                return;
            }
            let mut total = S::splat(0.0);
            let largest = S::splat(most);
            for at in (0..whole).step_by(S::LANES) {
                let weight = simd::exp_vector::<S>(S::sub(S::load(scores.add(at)), largest));
                total = S::add(total, weight);
                S::store(scores.add(at), weight);
            }
            let mut total = S::sum(total);
            for at in whole..self.scores.len() {
                let weight = simd::exp_or_zero(*scores.add(at) - most);
                total += weight;
                *scores.add(at) = weight;
            }
            let scale = simd::exp_or_zero(*self.largest - most);
            *self.total = *self.total * scale + total;
            *self.largest = most;
            if scale < 1.0 {
                for value in self.sums {
                    *value *= scale;
                }
            }
        }
    }
}

/// `to = from · factor`
struct Scale<'a, E> {
    from: &'a [f32],
    factor: f32,
    to: *mut E,
}

#[allow(unsafe_code)]
impl<E: Element> Task for Scale<'_, E> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        for at in (0..self.from.len()).step_by(S::LANES) {
            let left = self.from.len() - at;
            unsafe {
                let value = f32::load_part::<S>(self.from.as_ptr().add(at), left);
                E::store_part::<S>(self.to.add(at), S::mul(value, S::splat(self.factor)), left);
            }
        }
    }
}
