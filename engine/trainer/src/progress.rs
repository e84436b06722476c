//! One line about every ten seconds: step, loss, samples per second, time left.

use std::time::{Duration, Instant};

/// How a stage gets on; speaks on stderr.
pub struct Progress {
    name: String,
    total: u64,
    batch: usize,
    first: u64,
    started: Instant,
    spoken: Instant,
    losses: (f64, u64),
}

const INTERVAL: Duration = Duration::from_secs(10);

impl Progress {
    /// `done` of `total` steps lie behind; each is worth `batch` samples.
    pub fn new(name: &str, done: u64, total: u64, batch: usize) -> Self {
        let now = Instant::now();
        Self { name: name.to_owned(), total, batch, first: done, started: now, spoken: now, losses: (0.0, 0) }
    }

    /// Step `done` gave this loss.
    pub fn step(&mut self, done: u64, loss: f64) {
        self.losses = (self.losses.0 + loss, self.losses.1 + 1);
        if self.spoken.elapsed() >= INTERVAL || done == self.total || done == self.first + 1 {
            eprintln!("{}", self.line(done, self.started.elapsed()));
            self.losses = (0.0, 0);
            self.spoken = Instant::now();
        }
    }

    /// `done` units of work without a loss.
    pub fn count(&mut self, done: u64) {
        if self.spoken.elapsed() >= INTERVAL || done == self.total {
            eprintln!("{}", self.line(done, self.started.elapsed()));
            self.spoken = Instant::now();
        }
    }

    /// A remark between two lines; nothing where it is empty.
    pub fn note(&self, text: &str) {
        if !text.is_empty() {
            eprintln!("{}: {text}", self.name);
        }
    }

    fn line(&self, done: u64, elapsed: Duration) -> String {
        let steps_per_second = (done - self.first) as f64 / elapsed.as_secs_f64().max(1e-9);
        let left = ((self.total.saturating_sub(done)) as f64 / steps_per_second.max(1e-9)).min(360_000.0) as u64;
        let loss = match self.losses {
            (_, 0) => String::new(),
            (sum, count) => format!("  loss {:.5}", sum / count as f64),
        };
        format!(
            "{}  {done}/{}{loss}  {:.1} samples/s  left {}:{:02}:{:02}",
            self.name,
            self.total,
            steps_per_second * self.batch as f64,
            left / 3600,
            left / 60 % 60,
            left % 60
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_counts_this_run_alone() {
        let mut progress = Progress::new("base", 100, 200, 32);
        progress.losses = (3.0, 2);
        let line = progress.line(110, Duration::from_secs(20));
        assert_eq!(line, "base  110/200  loss 1.50000  16.0 samples/s  left 0:03:00");
    }
}
