//! The Pocket pair inside the binary.

/// Every file of the pair by its path, for example `teacher/unet/config.json`.
#[cfg(feature = "embed-pocket")]
pub const FILES: &[(&str, &[u8])] = &[];

/// This build was asked to carry no pair.
#[cfg(not(feature = "embed-pocket"))]
pub const FILES: &[(&str, &[u8])] = &[];
