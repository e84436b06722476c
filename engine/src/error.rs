//! The one error of this crate: each variant is a sentence that says what was wrong and what to do.

use std::path::PathBuf;

/// What went wrong, as a sentence; [`std::error::Error::source`] gives the cause under it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file or folder of a model is missing, malformed or contradicts its config.
    #[error("{}: {message}", path.display())]
    Checkpoint {
        /// The file or folder that is at fault.
        path: PathBuf,
        /// What is wrong with it and what to do, one sentence.
        message: String,
    },

    /// A setting that cannot be drawn (a size, a step count, a precision the device lacks …).
    #[error("{0}")]
    Setting(String),

    /// A file could not be read or written.
    #[error("{action} {}", path.display())]
    File {
        /// What was tried: "cannot read", "cannot write" …
        action: &'static str,
        /// Which file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },

    /// The asked-for device is not there or has failed.
    #[error("{0}")]
    Device(String),

    /// The job does not fit into memory; drawn smaller it may.
    #[error("{0}")]
    OutOfMemory(String),

    /// The network gave a value that is no number.
    #[error("the {part} gave values that are not numbers (NaN): try f32 precision, or check the weights")]
    NotANumber {
        /// Which network: "U-Net", "decoder" …
        part: &'static str,
    },

    /// The job was stopped; nothing is wrong.
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

    /// Whether memory ran out, on the host or on the GPU: a smaller picture may work.
    pub fn is_out_of_memory(&self) -> bool {
        match self {
            Self::OutOfMemory(_) => true,
            Self::Tensor(error) => error.to_string().to_ascii_uppercase().contains("OUT_OF_MEMORY"),
            _ => false,
        }
    }

    /// The causes under this error, outermost first.
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

/// candle appends the stack where RUST_BACKTRACE is set, which makes no sentence.
pub(crate) fn without_backtrace(error: &candle_core::Error) -> String {
    match error {
        candle_core::Error::WithBacktrace { inner, .. } => without_backtrace(inner),
        candle_core::Error::Context { inner, context } => format!("{context}: {}", without_backtrace(inner)),
        other => other.to_string(),
    }
}
