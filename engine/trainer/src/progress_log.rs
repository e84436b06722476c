//! One line about every ten seconds, for people on stderr and for `plot` in the stage's log: step, loss, samples per
//! second, time left. Change here what is reported while a stage runs.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::file_io;

/// The log of a stage, in its folder: one [`Report`] or [`HeldOut`] a line, as JSON.
pub const LOG: &str = "log.jsonl";

/// One line of a log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Steps done, over all runs of the stage.
    pub step: u64,
    /// Mean loss since the last report.
    pub loss: f64,
    /// Mean since the last report.
    pub samples_per_second: f64,
    /// Learning rate of the step.
    pub rate: f64,
    /// Seconds since this run of the stage began.
    pub seconds: f64,
}

/// Another line of a log: the loss on held-out pairs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeldOut {
    /// Steps done, over all runs of the stage.
    pub step: u64,
    /// Mean loss of the averaged weights.
    pub held_out: f64,
}

/// Adds such a line to the log in a stage's folder.
pub fn log_held_out(folder: &Path, step: u64, loss: f64) -> Result<()> {
    file_io::append_line(&folder.join(LOG), &serde_json::to_string(&HeldOut { step, held_out: loss })?)
}

/// How a stage gets on; speaks on stderr.
pub struct Progress {
    name: String,
    log: Option<PathBuf>,
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
        let (log, losses) = (None, (0.0, 0));
        Self { name: name.to_owned(), log, total, batch, first: done, started: now, spoken: now, losses }
    }

    /// The same, with a log in a stage's folder.
    pub fn logged(self, folder: &Path) -> Self {
        Self { log: Some(folder.join(LOG)), ..self }
    }

    /// Step `done`, at this learning rate, gave this loss.
    pub fn step(&mut self, done: u64, rate: f64, loss: f64) -> Result<()> {
        self.losses = (self.losses.0 + loss, self.losses.1 + 1);
        if self.spoken.elapsed() < INTERVAL && done != self.total && done != self.first + 1 {
            return Ok(());
        }
        eprintln!("{}", self.line(done, self.started.elapsed()));
        if let Some(log) = &self.log {
            let steps = self.losses.1 as f64;
            let report = Report {
                step: done,
                loss: self.losses.0 / steps,
                samples_per_second: steps * self.batch as f64 / self.spoken.elapsed().as_secs_f64().max(1e-9),
                rate,
                seconds: self.started.elapsed().as_secs_f64(),
            };
            file_io::append_line(log, &serde_json::to_string(&report)?)?;
        }
        self.losses = (0.0, 0);
        self.spoken = Instant::now();
        Ok(())
    }

    /// `done` units of work without a loss.
    pub fn count(&mut self, done: u64) {
        if self.spoken.elapsed() >= INTERVAL || done == self.total {
            eprintln!("{}", self.line(done, self.started.elapsed()));
            self.spoken = Instant::now();
        }
    }

    /// A remark between two lines; nothing if it is empty.
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
    use instaflow_test_support::{Tolerance, assert_close};

    #[test]
    fn the_line_counts_this_run_alone() {
        let mut progress = Progress::new("base", 100, 200, 32);
        progress.losses = (3.0, 2);
        let line = progress.line(110, Duration::from_secs(20));
        assert_eq!(line, "base  110/200  loss 1.50000  16.0 samples/s  left 0:03:00");
    }

    #[test]
    fn the_log_holds_one_report_a_line() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let mut progress = Progress::new("base", 0, 3, 32).logged(folder.path());
        for (done, loss) in [(1, 4.0), (2, 2.0), (3, 1.0)] {
            progress.step(done, 0.1, loss)?;
        }
        let text = file_io::read_text(&folder.path().join(LOG))?;
        let reports: Vec<Report> = text.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
        assert_eq!(reports.iter().map(|report| (report.step, report.loss)).collect::<Vec<_>>(), [(1, 4.0), (3, 1.5)]);
        let rates: Vec<f64> = reports.iter().map(|report| report.rate).collect();
        assert_close(rates, [0.1; 2], Tolerance::absolute(1e-12));
        assert!(reports.iter().all(|report| report.samples_per_second > 0.0));
        Ok(())
    }
}
