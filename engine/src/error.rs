//! The one error type of this crate. Each variant reads as a sentence: what is wrong and what to do about it.

use std::path::PathBuf;

use crate::protocol::Prediction;

/// What went wrong, as a sentence. [`std::error::Error::source`] gives the cause.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file or folder of a model is missing, malformed, or contradicts its config.
    #[error("{}: {message}", path.display())]
    Checkpoint {
        /// The file or folder at fault.
        path: PathBuf,
        /// What is wrong with it and what to do, one sentence.
        message: String,
    },

    /// A setting is not possible: a size, a step count, a precision that the device lacks …
    #[error("{0}")]
    Setting(String),

    /// Nothing says what a model's U-Net predicts, so the person must ([`Error::choices`]).
    #[error(
        "{name} does not say what its U-Net predicts, and it is not a known model: say which of {} it is",
        Prediction::ALL.map(Prediction::option).join(", ")
    )]
    UnknownPrediction {
        /// The file's or folder's name.
        name: String,
    },

    /// A file could not be read or written.
    #[error("{action} {}", path.display())]
    File {
        /// What failed: "cannot read", "cannot write" …
        action: &'static str,
        /// Which file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },

    /// The device is missing or has failed.
    #[error("{0}")]
    Device(String),

    /// The job does not fit into memory. A smaller picture may.
    #[error("{0}")]
    OutOfMemory(String),

    /// A network gave a value that is not a finite number.
    #[error("the {part} gave values that are not numbers (NaN): try f32 precision, or check the weights")]
    NotANumber {
        /// Which network: "U-Net", "decoder" …
        part: &'static str,
    },

    /// The job was stopped on purpose.
    #[error("stopped")]
    Cancelled,

    /// The tensor library refused an operation.
    #[error("the computation failed")]
    Tensor(#[from] candle_core::Error),
}

/// The result of everything in this crate that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// Whether the job was stopped on purpose.
    pub fn is_cancelled(&self) -> bool {
        matches!(self, Self::Cancelled)
    }

    /// What a person can choose from so that this does not happen again: the predictions of a U-Net, one of which belongs
    /// into [`OpenRequest::prediction`](crate::protocol::OpenRequest::prediction). `None` if there is nothing to choose.
    pub fn choices(&self) -> Option<&'static [Prediction]> {
        matches!(self, Self::UnknownPrediction { .. }).then_some(&Prediction::ALL)
    }

    /// Whether memory ran out, on the host or on the GPU. A smaller picture may work.
    pub fn is_out_of_memory(&self) -> bool {
        match self {
            Self::OutOfMemory(_) => true,
            Self::Tensor(error) => is_cuda_out_of_memory(error),
            _ => false,
        }
    }

    /// The causes of this error, outermost first.
    pub fn causes(&self) -> Vec<String> {
        let mut causes = Vec::new();
        let mut next = std::error::Error::source(self);
        while let Some(cause) = next {
            causes.push(cause.to_string());
            next = cause.source();
        }
        causes
    }
}

/// Whether an error of the tensor library is the CUDA driver's refusal of memory.
fn is_cuda_out_of_memory(error: &candle_core::Error) -> bool {
    use candle_core::Error::{Context, Cuda, WithBacktrace, WithPath};
    match error {
        WithBacktrace { inner, .. } | Context { inner, .. } | WithPath { inner, .. } => is_cuda_out_of_memory(inner),
        // The driver's error type exists only in builds with CUDA. Its text names the driver's code.
        Cuda(driver) => driver.to_string().contains("OUT_OF_MEMORY"),
        _ => false,
    }
}

/// The message without the stack trace that candle appends if `RUST_BACKTRACE` is set.
pub(crate) fn without_backtrace(error: &candle_core::Error) -> String {
    match error {
        candle_core::Error::WithBacktrace { inner, .. } => without_backtrace(inner),
        candle_core::Error::Context { inner, context } => format!("{context}: {}", without_backtrace(inner)),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_drivers_refusal_of_memory_is_out_of_memory() {
        let driver = || candle_core::Error::Cuda("DriverError(CUDA_ERROR_OUT_OF_MEMORY, \"out of memory\")".into());
        assert!(Error::Tensor(driver()).is_out_of_memory());
        assert!(Error::Tensor(driver().bt().context("in the U-Net")).is_out_of_memory());
        let other = candle_core::Error::Cuda("DriverError(CUDA_ERROR_INVALID_VALUE, \"invalid argument\")".into());
        assert!(!Error::Tensor(other).is_out_of_memory());
        let named = candle_core::Error::msg("the tensor OUT_OF_MEMORY is missing");
        assert!(!Error::Tensor(named).is_out_of_memory());
        assert!(Error::OutOfMemory("too large".to_owned()).is_out_of_memory());
        assert!(!Error::Cancelled.is_out_of_memory());
    }
}
