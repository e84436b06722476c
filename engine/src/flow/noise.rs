//! The noise that a picture starts from: the numbers that PyTorch's CPU generator gives for the same seed.
//!
//! `torch.randn` draws from MT19937 (Matsumoto & Nishimura, 1998) and turns uniform numbers into normal ones with the
//! Box-Muller transform. Fewer than 16 values are made one at a time in double precision (ATen `normal_distribution`);
//! 16 or more are made in blocks of 16 in single precision (ATen `normal_fill`). This file follows both, so that a seed
//! gives the same picture here and in Diffusers.

use std::f64::consts::TAU;

use rand_mt::Mt;

/// Values per block of the vectorised path: eight cosines, then the eight sines that belong to them.
const BLOCK: usize = 16;

/// Standard normal values for `shape`, row-major: `torch.randn(shape, generator=torch.Generator().manual_seed(seed))`
/// on a CPU, in f32, to 1e-6. Like PyTorch's generator, this one uses only the low 32 bits of the seed.
pub fn randn(seed: u64, shape: &[usize]) -> Vec<f32> {
    Generator::new(seed).randn(shape)
}

/// A `torch.Generator` on the CPU, for noise that is drawn one after the other.
pub struct Generator {
    bits: Mt,
    /// The sine that belongs to the last cosine that was drawn alone.
    spare: Option<f32>,
}

impl Generator {
    /// `torch.Generator().manual_seed(seed)`.
    pub fn new(seed: u64) -> Self {
        Self { bits: Mt::new(seed as u32), spare: None }
    }

    /// The next standard normal values for `shape`, row-major: `torch.randn(shape, generator=self)`.
    pub fn randn(&mut self, shape: &[usize]) -> Vec<f32> {
        let count = shape.iter().product();
        if count < BLOCK { self.one_by_one(count) } else { in_blocks(&mut self.bits, count) }
    }

    /// Double precision. Every second value is the sine that belongs to the cosine before it.
    fn one_by_one(&mut self, count: usize) -> Vec<f32> {
        let next = || {
            if let Some(spare) = self.spare.take() {
                return spare;
            }
            let angle = TAU * uniform_f64(&mut self.bits);
            let radius = (-2.0 * (-uniform_f64(&mut self.bits)).ln_1p()).sqrt();
            self.spare = Some((radius * angle.sin()) as f32);
            (radius * angle.cos()) as f32
        };
        std::iter::repeat_with(next).take(count).collect()
    }
}

/// Single precision, 16 at a time. If the count is not a multiple of 16, the last 16 values are all drawn again.
fn in_blocks(generator: &mut Mt, count: usize) -> Vec<f32> {
    let mut values: Vec<f32> = (0..count).map(|_| uniform_f32(generator)).collect();
    for block in values.chunks_exact_mut(BLOCK) {
        uniform_to_normal(block);
    }
    if !count.is_multiple_of(BLOCK) {
        let last = &mut values[count - BLOCK..];
        last.fill_with(|| uniform_f32(generator));
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

/// 24 random bits over [0, 1).
fn uniform_f32(generator: &mut Mt) -> f32 {
    (generator.next_u32() & 0x00ff_ffff) as f32 / (1u32 << 24) as f32
}

/// 53 random bits over [0, 1). The high word is drawn first.
fn uniform_f64(generator: &mut Mt) -> f64 {
    let bits = (u64::from(generator.next_u32()) << 32) | u64::from(generator.next_u32());
    (bits & ((1 << 53) - 1)) as f64 / (1u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The 10,000th output of the default seed, as the C++ standard requires it of `std::mt19937`. The crate must keep these
    /// bits, or every seed would give another picture.
    #[test]
    fn the_generator_is_the_standard_one() {
        let mut generator = Mt::new(5489);
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
