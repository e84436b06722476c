//! Measures what the processor could do if nothing had to be loaded.

use std::time::Instant;

use crate::parallel;
use crate::simd::{self, Simd, Task};

/// Multiply-adds of f32 vectors on all threads of the current pool, in GFLOP/s: the most that [`crate::Linear`] could
/// reach in f32. Takes about a quarter of a second.
pub fn peak() -> f64 {
    let threads = parallel::threads();
    let round = || {
        let begun = Instant::now();
        parallel::for_each(threads, |_| {
            spin(ROUNDS, false);
        });
        let flop = 2.0 * (threads * ROUNDS * SUMS * simd::lanes()) as f64;
        flop / begun.elapsed().as_secs_f64() / 1e9
    };
    (0..5).map(|_| round()).fold(0.0, f64::max)
}

/// How many vectors of bf16 pairs this thread multiplies and adds in the time of one of f32. Takes two milliseconds: the
/// best of many short rounds, in turns, as something else may hold the core during some.
pub(crate) fn pairs_per_multiply_add() -> f64 {
    const ROUNDS: usize = 1 << 13;
    let seconds = |pairs: bool| {
        let begun = Instant::now();
        spin(ROUNDS, pairs);
        begun.elapsed().as_secs_f64()
    };
    let (mut f32, mut pairs) = (f64::INFINITY, f64::INFINITY);
    for _ in 0..25 {
        f32 = f32.min(seconds(false));
        pairs = pairs.min(seconds(true));
    }
    f32 / pairs
}

const ROUNDS: usize = 1 << 21;
/// Independent sums: enough to hide the latency of one.
const SUMS: usize = 12;

fn spin(rounds: usize, pairs: bool) {
    #[allow(unsafe_code)]
    // SAFETY: the task asks for nothing.
    std::hint::black_box(unsafe { simd::dispatch(Spin { rounds, pairs }) });
}

struct Spin {
    rounds: usize,
    pairs: bool,
}

#[allow(unsafe_code)]
impl Task for Spin {
    type Output = f32;

    #[inline(always)]
    unsafe fn run<S: Simd>(self, s: S) -> f32 {
        let (a, b) = (s.splat(std::hint::black_box(0.999)), s.splat(std::hint::black_box(0.001)));
        let mut sums = [s.splat(0.0); SUMS];
        if self.pairs {
            for _ in 0..self.rounds {
                for sum in &mut sums {
                    *sum = s.dot_bf16(a, b, *sum);
                }
            }
        } else {
            for _ in 0..self.rounds {
                for sum in &mut sums {
                    *sum = s.mul_add(a, b, *sum);
                }
            }
        }
        let mut total = sums[0];
        for sum in &sums[1..] {
            total = s.add(total, *sum);
        }
        s.sum(total)
    }
}
