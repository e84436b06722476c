//! The noise that a picture starts from: the numbers that PyTorch's CPU generator gives for the same seed.
//!
//! `torch.randn` draws from MT19937 (Matsumoto & Nishimura, 1998) and turns uniform numbers into normal ones by the
//! Box-Muller transform, in one of two ways: below 16 values one at a time in double precision (ATen
//! `normal_distribution`), from 16 values on in blocks of 16 in single precision (ATen `normal_fill`). Both are
//! followed here, so that a seed means the same picture here and in Diffusers.

use std::f64::consts::TAU;

/// Values per block of the vectorised path: eight cosines, then the eight sines that belong to them.
const BLOCK: usize = 16;

/// Standard normal values for `shape`, row-major: `torch.randn(shape, generator=torch.Generator().manual_seed(seed))`
/// on a CPU, in f32, to 1e-6. Like PyTorch's, the generator uses the low 32 bits of the seed alone.
pub fn randn(seed: u64, shape: &[usize]) -> Vec<f32> {
    let count = shape.iter().product();
    let mut generator = Mt19937::new(seed as u32);
    if count < BLOCK { one_by_one(&mut generator, count) } else { in_blocks(&mut generator, count) }
}

/// Double precision; every second value is the sine that belongs to the cosine before it.
fn one_by_one(generator: &mut Mt19937, count: usize) -> Vec<f32> {
    let mut values = Vec::with_capacity(count + 1);
    while values.len() < count {
        let angle = TAU * generator.uniform_f64();
        let radius = (-2.0 * (-generator.uniform_f64()).ln_1p()).sqrt();
        values.push((radius * angle.cos()) as f32);
        values.push((radius * angle.sin()) as f32);
    }
    values.truncate(count);
    values
}

/// Single precision, 16 at a time. Where the count is no multiple of 16, the last 16 values are drawn again, whole.
fn in_blocks(generator: &mut Mt19937, count: usize) -> Vec<f32> {
    let mut values: Vec<f32> = (0..count).map(|_| generator.uniform_f32()).collect();
    for block in values.chunks_exact_mut(BLOCK) {
        uniform_to_normal(block);
    }
    if !count.is_multiple_of(BLOCK) {
        let last = &mut values[count - BLOCK..];
        last.fill_with(|| generator.uniform_f32());
        uniform_to_normal(last);
    }
    values
}

/// Box-Muller over one block, in place. Inputs and the angle are rounded to f32 as PyTorch rounds them; the functions
/// are evaluated in f64, so that every platform's libm rounds to the same result.
fn uniform_to_normal(block: &mut [f32]) {
    let (first, second) = block.split_at_mut(BLOCK / 2);
    for (a, b) in first.iter_mut().zip(second) {
        // 1 − u lies in (0, 1], where the logarithm is finite.
        let radius = (-2.0 * f64::from(1.0 - *a).ln()).sqrt();
        let angle = f64::from(std::f32::consts::TAU * *b);
        *a = (radius * angle.cos()) as f32;
        *b = (radius * angle.sin()) as f32;
    }
}

/// The Mersenne Twister with 32-bit output.
struct Mt19937 {
    state: [u32; Self::N],
    next: usize,
}

impl Mt19937 {
    const N: usize = 624;
    const M: usize = 397;

    fn new(seed: u32) -> Self {
        let mut state = [seed; Self::N];
        for i in 1..Self::N {
            let previous = state[i - 1];
            state[i] = 1_812_433_253u32.wrapping_mul(previous ^ (previous >> 30)).wrapping_add(i as u32);
        }
        Self { state, next: Self::N }
    }

    fn next_u32(&mut self) -> u32 {
        if self.next == Self::N {
            self.twist();
        }
        let mut y = self.state[self.next];
        self.next += 1;
        y ^= y >> 11;
        y ^= (y << 7) & 0x9d2c_5680;
        y ^= (y << 15) & 0xefc6_0000;
        y ^ (y >> 18)
    }

    fn twist(&mut self) {
        for i in 0..Self::N {
            let y = (self.state[i] & 0x8000_0000) | (self.state[(i + 1) % Self::N] & 0x7fff_ffff);
            let odd = if y & 1 == 1 { 0x9908_b0df } else { 0 };
            self.state[i] = self.state[(i + Self::M) % Self::N] ^ (y >> 1) ^ odd;
        }
        self.next = 0;
    }

    /// 24 random bits over [0, 1).
    fn uniform_f32(&mut self) -> f32 {
        (self.next_u32() & 0x00ff_ffff) as f32 / (1u32 << 24) as f32
    }

    /// 53 random bits over [0, 1); the high word is drawn first.
    fn uniform_f64(&mut self) -> f64 {
        let bits = (u64::from(self.next_u32()) << 32) | u64::from(self.next_u32());
        (bits & ((1 << 53) - 1)) as f64 / (1u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The 10,000th output of the default seed, as the C++ standard prescribes it for `std::mt19937`.
    #[test]
    fn the_generator_is_the_standard_one() {
        let mut generator = Mt19937::new(5489);
        let last = (0..10_000).map(|_| generator.next_u32()).last();
        assert_eq!(last, Some(4_123_659_995));
    }

    #[test]
    fn any_count_is_filled() {
        for count in [0, 1, 2, 15, 16, 17, 31, 32, 33, 1000] {
            let values = randn(7, &[count]);
            assert_eq!(values.len(), count);
            assert!(values.iter().all(|value| value.is_finite()));
        }
        assert_eq!(randn(7, &[]).len(), 1, "a shape without dimensions holds one value");
    }

    #[test]
    fn only_the_low_32_bits_of_the_seed_count() {
        assert_eq!(randn(3, &[20]), randn((1 << 32) + 3, &[20]));
        assert_ne!(randn(3, &[20]), randn(4, &[20]));
    }
}
