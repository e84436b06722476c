//! The distribution of the times t, from noise (0) to picture (1), at which a flow is trained. Change here how t is drawn.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::seeded_random::Random;

/// How t is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum TimestepSampling {
    /// Uniformly, as in the paper.
    Uniform,
    /// With density 1 / (3·t^⅔): more often near the noise, where it is decided what is drawn where and in which colour.
    /// Later times teach little of that.
    Early,
    /// With density ∝ e^{at} + e^{a(1−t)}, a = 4: a flow whose paths are nearly straight has most to learn at both ends
    /// (Lee, Lin and Fanti, arXiv 2405.20320, section 4.1).
    UShaped,
}

/// The a of [`TimestepSampling::UShaped`].
const STEEPNESS: f64 = 4.0;

impl TimestepSampling {
    /// The time of sample `sample` of a batch. Each sample has its own part of the distribution: the mean is the same as
    /// with independent draws, with less variance.
    pub fn sample(self, sample: usize, batch: usize, random: &mut Random) -> f64 {
        let u = (sample as f64 + random.uniform()) / batch as f64;
        match self {
            Self::Uniform => u,
            Self::Early => u * u * u,
            Self::UShaped => {
                // e^{at} alone has this inverse distribution; flipped with probability ½ it gives the sum of both.
                let t = (1.0 + u * STEEPNESS.exp_m1()).ln() / STEEPNESS;
                if random.uniform() < 0.5 { t } else { 1.0 - t }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use instaflow_test_support::{Tolerance, assert_close, assert_not_close};

    use super::*;

    /// The distribution of draws and the one that they are expected to have, at each draw. Their largest distance is the
    /// statistic of Kolmogorov and Smirnov.
    fn distributions(mut draws: Vec<f64>, expected: impl Fn(f64) -> f64) -> (Vec<f64>, Vec<f64>) {
        draws.sort_by(f64::total_cmp);
        let count = draws.len() as f64;
        ((0..draws.len()).map(|index| index as f64 / count).collect(), draws.into_iter().map(expected).collect())
    }

    #[test]
    fn draws_follow_their_density() {
        let u_shaped = |t: f64| {
            let rising = |t: f64| (4.0 * t).exp_m1() / 4f64.exp_m1();
            0.5 * (rising(t) + 1.0 - rising(1.0 - t))
        };
        let uniform = |t: f64| t;
        for batch in [1, 32] {
            let draws = |sampling: TimestepSampling| {
                let mut random = Random::new(9);
                (0..32_000).map(|index| sampling.sample(index % batch, batch, &mut random)).collect::<Vec<f64>>()
            };
            // 1 % of right distributions are further away.
            let limit = 1.63 / 32_000f64.sqrt();
            let check = |(actual, expected): (Vec<f64>, Vec<f64>)| {
                assert_close(actual, expected, Tolerance::absolute(limit));
            };
            check(distributions(draws(TimestepSampling::UShaped), u_shaped));
            check(distributions(draws(TimestepSampling::Uniform), uniform));
            check(distributions(draws(TimestepSampling::Early), f64::cbrt));
            let (actual, expected) = distributions(draws(TimestepSampling::UShaped), uniform);
            assert_not_close(actual, expected, Tolerance::absolute(10.0 * limit));
        }
    }
}
