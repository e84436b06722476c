//! The flag that stops a job between two network blocks, and the count of bytes read while a model is opened.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::{Error, Result};

/// Shared between whoever may stop a job and the networks, which check it before every block.
#[derive(Clone, Debug, Default)]
pub struct Cancel(Arc<Job>);

#[derive(Debug, Default)]
struct Job {
    stopped: AtomicBool,
    read: AtomicU64,
}

impl Cancel {
    /// Stops the job at the next block.
    pub fn cancel(&self) {
        self.0.stopped.store(true, Ordering::Relaxed);
    }

    /// [`Error::Cancelled`] once the job has been stopped.
    pub fn check(&self) -> Result<()> {
        if self.0.stopped.load(Ordering::Relaxed) { Err(Error::Cancelled) } else { Ok(()) }
    }

    /// Adds to the count of weight bytes in memory.
    pub(crate) fn add_bytes_read(&self, bytes: usize) {
        self.0.read.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// How many bytes of weights have been read into memory so far.
    pub fn bytes_read(&self) -> u64 {
        self.0.read.load(Ordering::Relaxed)
    }
}
