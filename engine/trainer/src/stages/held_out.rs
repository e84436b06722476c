//! The pairs that reflow and distillation hold out: the loss on them shows whether a stage generalises. Change here how
//! many they are and how their loss is logged.

use std::ops::Range;

use anyhow::Result;
use candle_core::Tensor;

use crate::progress_log;
use crate::stage::Stage;
use crate::training_run::Run;

/// Pairs that one replica evaluates at once.
const BATCH: usize = 16;

/// Splits `count` pairs: how many are trained on, and the places of the others behind them (one in 16, at most 128).
pub fn split(count: usize) -> (usize, Range<usize>) {
    let trained = count - (count / 16).min(128);
    (trained, trained..count)
}

/// Computes a stage's mean `loss` over the pairs at `places`, prints it, and logs it as the loss after `step`. `loss`
/// gives the mean over a batch of places.
pub fn log_loss(
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
    let sums = run.replicas().map(places.chunks(BATCH).collect(), |batch| {
        Ok(f64::from(loss(batch)?.to_scalar::<f32>()?) * batch.len() as f64)
    })?;
    let mean = sums.iter().sum::<f64>() / places.len() as f64;
    let name = stage.name();
    eprintln!("{name}: loss {mean:.5} on {} held-out pairs", places.len());
    progress_log::log_held_out(&run.path(&name), step, mean)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn held_out_pairs_are_not_trained_on() {
        assert_eq!(split(15), (15, 15..15));
        assert_eq!(split(160), (150, 150..160));
        assert_eq!(split(10_000), (9_872, 9_872..10_000));
    }
}
