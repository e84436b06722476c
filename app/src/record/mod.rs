//! What the program writes down of itself: a log, for whoever asks what happened, and with `--trace` a trace, for
//! whoever asks where the time went. The rest of the program only says `tracing::info!` and `info_span!`; without a
//! recording each of those costs one read of an atomic number. Change what is recorded in [`recorder`].

mod log;

mod panics;

mod recorder;

mod trace;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;

use self::log::Log;
use recorder::Recorder;
use trace::Trace;

pub use self::log::tail;
pub use trace::mark;

/// What is being recorded; everything is on disk once this is dropped.
#[must_use = "dropping it ends the recording"]
#[derive(Default)]
pub struct Recording {
    log: Option<Arc<Log>>,
    trace: Option<Arc<Trace>>,
}

impl Recording {
    /// Records into these files for the rest of the program. A log that cannot be written is no reason not to work; a
    /// trace that was asked for is.
    pub fn start(log: Option<&Path>, trace: Option<&Path>) -> anyhow::Result<Self> {
        let trace = trace.map(Trace::create).transpose()?.map(Arc::new);
        let log = log.and_then(|path| Log::open(path).ok()).map(Arc::new);
        let recording = Self { log, trace };
        if recording.log.is_none() && recording.trace.is_none() {
            return Ok(recording);
        }
        let recorder = Recorder { log: recording.log.clone(), trace: recording.trace.clone() };
        tracing::subscriber::set_global_default(recorder).context("another recording is under way in this program")?;
        if let Some(log) = &recording.log {
            recorder::forward_other_crates(log.clone());
            panics::record(log.clone());
        }
        Ok(recording)
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        if let Some(log) = &self.log {
            log.finish();
        }
        if let Some(trace) = &self.trace {
            trace.finish();
        }
    }
}

/// Where the window's log is: beside its state.
pub fn log_file(state: &Path) -> PathBuf {
    state.with_file_name("instaflow.log")
}
