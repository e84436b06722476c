//! Pairs that a stage is never shown: what it makes of them says whether it learns, or learns by heart. Change here how
//! many they are and what is told of them.

use std::ops::Range;

use anyhow::Result;
use candle_core::Tensor;

use crate::progress;
use crate::run::Run;
use crate::stage::Stage;

/// Pairs that one replica judges at once.
const PART: usize = 16;

/// Splits `count` pairs into how many are learnt from and the places of those behind them, one in 16 but at most 128,
/// that are held out.
pub fn split(count: usize) -> (usize, Range<usize>) {
    let learnt = count - (count / 16).min(128);
    (learnt, learnt..count)
}

/// Tells the mean of a stage's `loss` over the pairs at `places`, and keeps it in its log as that after `step`. The pairs
/// come in parts, each with its places; `loss` gives a part's mean.
pub fn measure(
    run: &Run,
    stage: Stage,
    step: u64,
    places: Range<usize>,
    loss: impl Fn(&[usize]) -> Result<Tensor> + Sync,
) -> Result<()> {
    if places.is_empty() {
        return Ok(());
    }
    let places: Vec<usize> = places.collect();
    let sums = run.replicas().map(places.chunks(PART).collect(), |part| {
        Ok(f64::from(loss(part)?.to_scalar::<f32>()?) * part.len() as f64)
    })?;
    let mean = sums.iter().sum::<f64>() / places.len() as f64;
    let name = stage.name();
    eprintln!("{name}: loss {mean:.5} on {} pairs held out", places.len());
    progress::log_held_out(&run.path(&name), step, mean)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_out_is_not_learnt_from() {
        assert_eq!(split(15), (15, 15..15));
        assert_eq!(split(160), (150, 150..160));
        assert_eq!(split(10_000), (9_872, 9_872..10_000));
    }
}
