//! How far a download is, how fast, and how long it still takes.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How far a download is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Progress {
    /// Bytes that are here, of all that are to be fetched. What an earlier try left counts.
    pub done: u64,
    /// Bytes in all.
    pub total: u64,
    /// Bytes a second, over the last seconds; `None` until something can be said.
    pub rate: Option<f64>,
    /// How long it still takes at that rate.
    pub left: Option<Duration>,
}

/// The rate is that of the last seconds, so that it follows the network.
const WINDOW: Duration = Duration::from_secs(8);

/// Less says nothing about the rate.
const SHORTEST: Duration = Duration::from_millis(500);

/// Counts bytes.
pub(crate) struct Meter {
    done: i64,
    total: u64,
    /// When how many bytes had come over the network, oldest first.
    arrived: VecDeque<(Instant, u64)>,
    fetched: u64,
}

impl Meter {
    pub fn new(total: u64, now: Instant) -> Self {
        Self { done: 0, total, arrived: VecDeque::from([(now, 0)]), fetched: 0 }
    }

    /// Bytes that were here, or that were thrown away (negative).
    pub fn found(&mut self, bytes: i64) {
        self.done += bytes;
    }

    /// Bytes that came over the network.
    pub fn fetched(&mut self, bytes: u64, now: Instant) {
        self.done += bytes as i64;
        self.fetched += bytes;
        // A few samples a second are enough.
        match self.arrived.back_mut() {
            Some((at, count)) if now - *at < WINDOW / 64 => *count = self.fetched,
            _ => self.arrived.push_back((now, self.fetched)),
        }
    }

    pub fn progress(&mut self, now: Instant) -> Progress {
        // One sample from before the window stays: it is where the window begins.
        while self.arrived.len() > 1 && now - self.arrived[1].0 > WINDOW {
            self.arrived.pop_front();
        }
        let done = (self.done.max(0) as u64).min(self.total);
        let rate = self.arrived.front().and_then(|&(since, before)| {
            let seconds = now - since;
            (seconds >= SHORTEST).then(|| (self.fetched - before) as f64 / seconds.as_secs_f64())
        });
        let rate = rate.filter(|rate| *rate > 0.0);
        let left = rate.and_then(|rate| Duration::try_from_secs_f64((self.total - done) as f64 / rate).ok());
        Progress { done, total: self.total, rate, left }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_that_of_the_last_seconds() {
        let start = Instant::now();
        let at = |seconds: f64| start + Duration::from_secs_f64(seconds);
        let mut meter = Meter::new(1000, start);
        meter.found(100);
        assert_eq!(meter.progress(at(0.0)), Progress { done: 100, total: 1000, rate: None, left: None });
        for second in 1..=4 {
            meter.fetched(50, at(f64::from(second)));
        }
        let progress = meter.progress(at(4.0));
        assert_eq!((progress.done, progress.rate), (300, Some(50.0)));
        assert_eq!(progress.left, Some(Duration::from_secs(14)));
        // Then nothing comes: the rate falls, and in the end nothing is said of it.
        let slower = meter.progress(at(8.0)).rate.expect("a rate");
        assert!(slower < 50.0, "{slower}");
        assert_eq!(meter.progress(at(60.0)).rate, None);
        // What was thrown away counts no longer.
        meter.found(-200);
        assert_eq!(meter.progress(at(60.0)).done, 100);
    }
}
