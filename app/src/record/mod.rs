//! What the program records of itself: a log, to find out what happened, and with `--trace` a trace, to find out where
//! the time went. The rest of the program calls `tracing::info!` and `info_span!`, which cost one atomic read as long as
//! nothing is recorded. What is recorded follows from the `wants` of `log` and `trace`.

mod log;

mod panics;

mod queue;

mod trace;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use tracing_log::LogTracer;
use tracing_log::log::LevelFilter;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::registry::Registry;

use self::log::Log;
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
    /// Records into these files for the rest of the program. If the log cannot be written, the program works without;
    /// if the trace cannot, that is an error, because someone asked for it.
    pub fn start(log: Option<&Path>, trace: Option<&Path>) -> anyhow::Result<Self> {
        let trace = trace.map(Trace::create).transpose()?.map(Arc::new);
        let log = log.and_then(|path| Log::open(path).ok()).map(Arc::new);
        let mut layers: Vec<Box<dyn Layer<Registry> + Send + Sync>> = Vec::new();
        layers.extend(log.clone().map(|log| log::layer(log).boxed()));
        layers.extend(trace.clone().map(|trace| trace::layer(trace).boxed()));
        if !layers.is_empty() {
            let recorder = tracing_subscriber::registry().with(layers);
            tracing::subscriber::set_global_default(recorder).context("this program is already being recorded")?;
        }
        if let Some(log) = &log {
            // Graphics drivers and the window system report through the crate `log`. If it already has a listener, that
            // one keeps them.
            LogTracer::builder().with_max_level(LevelFilter::Warn).init().ok();
            panics::record(log.clone());
        }
        Ok(Self { log, trace })
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        if let Some(trace) = &self.trace {
            trace.finish();
        }
        if let Some(log) = &self.log {
            log.finish();
        }
    }
}

/// Where the window's log is: beside its state.
pub fn log_file(state: &Path) -> PathBuf {
    state.with_file_name("instaflow.log")
}

/// Whether this program says it, and not a crate that it uses.
fn is_ours(target: &str) -> bool {
    target.starts_with("instaflow")
}
