//! How fast live pictures came, for the log: written when another model is opened and when the window closes.

use std::collections::VecDeque;

/// Pictures that the middle is taken of.
const KEPT: usize = 1000;

/// Seconds from key to picture of the last pictures.
#[derive(Default)]
pub(super) struct LatencyStats {
    count: u64,
    seconds: VecDeque<f64>,
}

impl LatencyStats {
    /// Another picture.
    pub fn add(&mut self, seconds: f64) {
        self.count += 1;
        if self.seconds.len() == KEPT {
            self.seconds.pop_front();
        }
        self.seconds.push_back(seconds);
    }

    /// Says so far, and begins anew.
    pub fn log(&mut self) {
        let Self { count, seconds } = std::mem::take(self);
        let mut sorted: Vec<f64> = seconds.into();
        sorted.sort_by(f64::total_cmp);
        let Some(last) = sorted.len().checked_sub(1) else { return };
        let at = |part: f64| format!("{:.3} s", sorted[(last as f64 * part).round() as usize]);
        tracing::info!(pictures = count, median = at(0.5), of_95_in_100 = at(0.95), longest = at(1.0), "live pictures");
    }
}
