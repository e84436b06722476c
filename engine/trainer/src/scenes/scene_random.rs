//! The random numbers of scenes: streams of SplitMix64, the same on every machine. Change nothing here that would change
//! the numbers: pairs and runs refer to scenes by their seeds.

use instaflow_engine::splitmix::SplitMix64;

/// One stream of random numbers.
pub(super) struct SceneRandom(SplitMix64);

impl SceneRandom {
    /// The stream number `stream` of a scene's `seed`; different streams are independent, so that a part of the
    /// picture may draw more or fewer numbers without changing the others.
    pub fn new(seed: u64, stream: u64) -> Self {
        let state = SplitMix64::new(seed ^ stream.wrapping_mul(0xD1B5_4A32_D192_ED03)).bits();
        Self(SplitMix64::new(state ^ stream))
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.0.bits()
    }

    /// Uniform in 0 … 1, without 1.
    pub fn unit(&mut self) -> f32 {
        (self.bits() >> 40) as f32 / (1_u64 << 24) as f32
    }

    /// Uniform in `low` … `high`.
    pub fn range(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * self.unit()
    }

    /// True with the given probability.
    pub fn chance(&mut self, probability: f32) -> bool {
        self.unit() < probability
    }

    /// -1 or 1.
    pub fn sign(&mut self) -> f32 {
        if self.chance(0.5) { -1.0 } else { 1.0 }
    }

    /// One of `items`, all equally likely; `items` must not be empty.
    pub fn pick<T: Copy>(&mut self, items: &[T]) -> T {
        items[(self.bits() % items.len() as u64) as usize]
    }

    /// One of `items`, each as likely as its weight says; `items` must not be empty.
    pub fn weighted<T: Copy>(&mut self, items: &[(T, f32)]) -> T {
        let mut left = self.unit() * items.iter().map(|&(_, weight)| weight).sum::<f32>();
        for &(item, weight) in items {
            if left < weight {
                return item;
            }
            left -= weight;
        }
        items[items.len() - 1].0
    }

    /// Puts `items` into a random order (Fisher-Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, (self.bits() % (last as u64 + 1)) as usize);
        }
    }
}
