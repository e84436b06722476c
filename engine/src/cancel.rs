//! The flag that ends a job between two network blocks, and how far the opening of a model has come.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::{Error, Result};

/// Shared by whoever may stop a job and the networks, which ask it before every block.
#[derive(Clone, Debug, Default)]
pub struct Cancel(Arc<Job>);

#[derive(Debug, Default)]
struct Job {
    stopped: AtomicBool,
    read: AtomicU64,
}

impl Cancel {
    /// Stops the job at its next block.
    pub fn cancel(&self) {
        self.0.stopped.store(true, Ordering::Relaxed);
    }

    /// [`Error::Cancelled`] once the job was stopped.
    pub fn check(&self) -> Result<()> {
        if self.0.stopped.load(Ordering::Relaxed) { Err(Error::Cancelled) } else { Ok(()) }
    }

    /// So many bytes of weights more are in memory.
    pub(crate) fn add_bytes_read(&self, bytes: usize) {
        self.0.read.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Bytes of weights that the opening of a model has brought into memory so far.
    pub fn bytes_read(&self) -> u64 {
        self.0.read.load(Ordering::Relaxed)
    }
}
