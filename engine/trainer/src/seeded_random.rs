//! Random numbers that depend only on where they are used: a run that was stopped continues with the numbers that it
//! would have drawn. Change nothing here while there are runs to be continued.

use instaflow_engine::splitmix::{SplitMix64, mix};

/// Mixes a stage, a step, a sample … into one seed.
pub fn key(parts: &[u64]) -> u64 {
    parts.iter().fold(0x243F_6A88_85A3_08D3, |state, &part| mix(state ^ SplitMix64::new(part).bits()))
}

/// A short name for exactly these bytes.
pub fn fingerprint(bytes: impl IntoIterator<Item = u8>) -> String {
    let parts: Vec<u64> = bytes.into_iter().map(u64::from).collect();
    format!("{:016x}", key(&parts))
}

/// A stream of pseudo-random numbers.
pub struct Random(SplitMix64);

impl Random {
    /// The stream that belongs to a seed.
    pub fn new(seed: u64) -> Self {
        Self(SplitMix64::new(seed))
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.0.bits()
    }

    /// A number in [0, 1), of 53 bits.
    pub fn uniform(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// A whole number in 0 … `end` − 1; the bias is below `end` / 2⁶⁴.
    pub fn below(&mut self, end: usize) -> usize {
        ((u128::from(self.bits()) * end as u128) >> 64) as usize
    }

    /// A standard normal number (Box–Muller, cosine half).
    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.uniform()).cos()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use instaflow_test_support::{Tolerance, assert_close};

    #[test]
    fn keys_depend_on_every_part_and_its_place() {
        let keys = [key(&[1, 2]), key(&[2, 1]), key(&[1, 2, 0]), key(&[1]), key(&[])];
        for (i, a) in keys.iter().enumerate() {
            assert!(keys[i + 1..].iter().all(|b| a != b), "{keys:?}");
        }
    }

    #[test]
    fn numbers_have_the_asked_distribution() {
        let mut random = Random::new(7);
        let normals: Vec<f64> = (0..20_000).map(|_| random.normal()).collect();
        let mean = normals.iter().sum::<f64>() / 20_000.0;
        let variance = normals.iter().map(|x| x * x).sum::<f64>() / 20_000.0;
        assert_close(mean, 0.0, Tolerance::absolute(0.03));
        assert_close(variance, 1.0, Tolerance::absolute(0.04));
        let mut counts = [0; 5];
        (0..10_000).for_each(|_| counts[random.below(5)] += 1);
        assert!(counts.iter().all(|&c| (1_800..2_200).contains(&c)), "{counts:?}");
    }
}
