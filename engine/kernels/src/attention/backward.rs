//! Gradients of attention, in f32. The weights are computed again, one block of queries at a time.

use super::Attention;
use crate::gemm::{Matrix, gemm};
use crate::parallel;
use crate::simd::{exp, sum, vectorized};

/// Queries per block.
const BLOCK: usize = 64;

/// Queries, keys, values and the result's gradient of one head, each (length, size).
struct Inputs {
    q: Vec<f32>,
    k: Vec<f32>,
    v: Vec<f32>,
    dy: Vec<f32>,
}

impl Attention {
    /// dq (B, N, heads · size), dk and dv (B, M, heads · size).
    pub(super) fn backward(&self, q: &[f32], k: &[f32], v: &[f32], dy: &[f32]) -> (Vec<f32>, Vec<f32>, Vec<f32>) {
        let mut dq = vec![0.0f32; q.len()];
        let (mut dk, mut dv) = (vec![0.0f32; k.len()], vec![0.0f32; k.len()]);
        let targets = [&mut dq, &mut dk, &mut dv].map(|d| parallel::Shared::new(d));
        parallel::for_each(self.batch * self.heads, |index| {
            let head = Inputs {
                q: self.gather(q, index, self.queries),
                k: self.gather(k, index, self.keys),
                v: self.gather(v, index, self.keys),
                dy: self.gather(dy, index, self.queries),
            };
            let (dq, dk, dv) = self.backward_head(&head);
            for (target, from, length) in
                [(targets[0], dq, self.queries), (targets[1], dk, self.keys), (targets[2], dv, self.keys)]
            {
                for (at, row) in from.chunks_exact(self.size).enumerate() {
                    #[allow(unsafe_code)]
                    // SAFETY: every head belongs to one task.
                    let to = unsafe { target.slice(self.start(index, at, length), self.size) };
                    to.copy_from_slice(row);
                }
            }
        });
        (dq, dk, dv)
    }

    fn start(&self, index: usize, at: usize, length: usize) -> usize {
        (index / self.heads * length + at) * self.width() + index % self.heads * self.size
    }

    fn gather(&self, values: &[f32], index: usize, length: usize) -> Vec<f32> {
        let mut rows = Vec::with_capacity(length * self.size);
        for at in 0..length {
            rows.extend_from_slice(&values[self.start(index, at, length)..][..self.size]);
        }
        rows
    }

    /// The weights of `rows` queries from `first` on over all keys: (rows, keys).
    fn weights(&self, q: &[f32], k: &[f32], first: usize, rows: usize) -> Vec<f32> {
        let mut scores = vec![0.0f32; rows * self.keys];
        let (left, right) = (Matrix::rows(q, self.size), Matrix::rows(k, self.size).transposed());
        gemm((rows, self.keys, self.size), &mut scores, self.keys, false, self.scale, left, right);
        for (row, scores) in scores.chunks_exact_mut(self.keys).enumerate() {
            let (seen, unseen) = scores.split_at_mut(self.seen(first + row));
            softmax(seen);
            unseen.fill(0.0);
        }
        scores
    }

    /// (dq, dk, dv) of one head.
    fn backward_head(&self, Inputs { q, k, v, dy }: &Inputs) -> (Vec<f32>, Vec<f32>, Vec<f32>) {
        let (keys, size) = (self.keys, self.size);
        let mut dq = vec![0.0f32; q.len()];
        let (mut dk, mut dv) = (vec![0.0f32; k.len()], vec![0.0f32; v.len()]);
        for first in (0..self.queries).step_by(BLOCK) {
            let rows = BLOCK.min(self.queries - first);
            let part = first * size..(first + rows) * size;
            let (q, dy) = (&q[part.clone()], &dy[part.clone()]);
            let weights = self.weights(q, k, first, rows);
            let (p, dy) = (Matrix::rows(&weights, keys), Matrix::rows(dy, size));
            gemm((keys, size, rows), &mut dv, size, true, 1.0, p.transposed(), dy);
            let mut ds = vec![0.0f32; rows * keys];
            gemm((rows, keys, size), &mut ds, keys, false, 1.0, dy, Matrix::rows(v, size).transposed());
            for (ds, p) in ds.chunks_exact_mut(keys).zip(weights.chunks_exact(keys)) {
                softmax_backward(ds, p);
            }
            let ds = Matrix::rows(&ds, keys);
            gemm((rows, size, keys), &mut dq[part], size, false, self.scale, ds, Matrix::rows(k, size));
            gemm((keys, size, rows), &mut dk, size, true, self.scale, ds.transposed(), Matrix::rows(q, size));
        }
        (dq, dk, dv)
    }
}

vectorized! {
    fn softmax(row: &mut [f32]) {
        let mut lanes = [f32::NEG_INFINITY; 16];
        for chunk in row.chunks(16) {
            for (lane, value) in lanes.iter_mut().zip(chunk) {
                *lane = if *value > *lane { *value } else { *lane };
            }
        }
        let max = lanes.iter().fold(f32::NEG_INFINITY, |a, b| a.max(*b));
        for value in row.iter_mut() {
            *value = exp(*value - max);
        }
        let inverse = 1.0 / sum(row.len(), |i| row[i]);
        for value in row.iter_mut() {
            *value *= inverse;
        }
    }
}

vectorized! {
    /// From the gradient of the weights to that of the scores: p · (g − Σ g p).
    fn softmax_backward(grad: &mut [f32], p: &[f32]) {
        let n = grad.len().min(p.len());
        let dot = sum(n, |i| grad[i] * p[i]);
        for i in 0..n {
            grad[i] = p[i] * (grad[i] - dot);
        }
    }
}
