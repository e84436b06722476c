//! A progress bar on stderr for long work, if stderr is a terminal.

use std::io::{self, IsTerminal};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use instaflow_engine::protocol::LoadProgress;

/// Shorter work shows no bar.
const PATIENCE: Duration = Duration::from_millis(500);

const TICK: Duration = Duration::from_millis(100);

/// The bar of one command; it disappears when dropped.
pub(super) struct Progress(ProgressBar);

impl Progress {
    /// Appears after a moment.
    pub fn new() -> Self {
        let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::hidden());
        if io::stderr().is_terminal() {
            let template = "{spinner} {msg} [{bar:30}] {pos}/{len}  {elapsed} elapsed, about {eta} left";
            bar.set_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()));
            let late = bar.clone();
            std::thread::spawn(move || {
                std::thread::sleep(PATIENCE);
                if !late.is_finished() {
                    late.set_draw_target(ProgressDrawTarget::stderr());
                    late.enable_steady_tick(TICK);
                }
            });
        }
        Self(bar)
    }

    /// Starts a new kind of work.
    pub fn begin(&self, what: &str, total: u64) {
        self.0.reset();
        self.0.set_message(what.to_owned());
        self.0.set_length(total);
    }

    /// Starts a kind of work that is counted in bytes. How fast it is and how long it takes is for [`Self::tell`].
    #[cfg(feature = "hub")]
    pub fn begin_bytes(&self, what: &str, total: u64) {
        let template = "{spinner} {msg} [{bar:30}] {decimal_bytes}/{decimal_total_bytes}";
        if let Ok(style) = ProgressStyle::with_template(template) {
            self.0.set_style(style);
        }
        self.begin(what, total);
    }

    /// Says something else of the work.
    #[cfg(feature = "hub")]
    pub fn tell(&self, what: String) {
        self.0.set_message(what);
    }

    /// `done` of the work's total.
    pub fn set(&self, done: u64) {
        self.0.set_position(done);
    }

    /// One more part of the work is done.
    pub fn advance(&self) {
        self.0.inc(1);
    }

    /// A part of a model is being loaded.
    pub fn loading(&self, progress: LoadProgress) {
        self.0.set_message(format!("loading {}", progress.part));
        self.0.set_length(progress.total.into());
        self.0.set_position(progress.done.into());
    }

    /// Runs `print` with the bar out of the way.
    pub fn aside<T>(&self, print: impl FnOnce() -> T) -> T {
        self.0.suspend(print)
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
