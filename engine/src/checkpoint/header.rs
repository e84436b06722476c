//! The header of a safetensors file: names, types, shapes and remarks, checked against the file's length before anything
//! else is believed.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use safetensors::tensor::Metadata;

use super::text_file;
use crate::{Error, Result};

/// Largest header in bytes. That of Stable Diffusion's U-Net has about 80 kilobytes; a thumbnail may be in it.
const LIMIT: u64 = 16 << 20;

/// A file begins with the length of its header, a little-endian u64.
const LENGTH_BYTES: usize = 8;

/// Files such as web pages are known by their beginning.
const BEGINNING: usize = 512;

/// Checks the header of a whole file and gives the offset at which its tensors begin. The error is a sentence whose
/// subject, the file, is left out.
pub(super) fn parse(bytes: &[u8]) -> Result<(usize, Metadata), String> {
    let length = length(bytes, bytes.len() as u64)?;
    let Some(header) = bytes.get(LENGTH_BYTES..LENGTH_BYTES + length) else { return Err(ends_within(length)) };
    let data = bytes.len() - LENGTH_BYTES - length;
    Ok((LENGTH_BYTES + length, check(header, data as u64)?))
}

/// Reads the header of a file on disk and nothing else of it; also gives the length of the whole file in bytes.
pub(crate) fn read(path: &Path) -> Result<(Metadata, u64)> {
    let unreadable = |source| Error::File { action: "cannot read", path: path.to_owned(), source };
    let fault = |message: String| Error::Checkpoint { path: path.to_owned(), message };
    // A pipe by that name would block.
    let metadata = path.metadata().map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(fault("is not a regular file".into()));
    }
    let mut file = File::open(path).map_err(unreadable)?;
    let mut bytes = Vec::new();
    file.by_ref().take(BEGINNING as u64).read_to_end(&mut bytes).map_err(unreadable)?;
    let length = length(&bytes, metadata.len()).map_err(fault)?;
    let Some(data) = metadata.len().checked_sub((LENGTH_BYTES + length) as u64) else {
        return Err(fault(ends_within(length)));
    };
    let rest = (LENGTH_BYTES + length).saturating_sub(bytes.len());
    file.take(rest as u64).read_to_end(&mut bytes).map_err(unreadable)?;
    let Some(header) = bytes.get(LENGTH_BYTES..LENGTH_BYTES + length) else { return Err(fault(ends_within(length))) };
    Ok((check(header, data).map_err(fault)?, metadata.len()))
}

/// The length of the header, from a file's first bytes.
fn length(bytes: &[u8], file: u64) -> Result<usize, String> {
    if let Some(instead) = text_file::instead(bytes) {
        return Err(instead.into());
    }
    let Some((length, _)) = bytes.split_first_chunk::<LENGTH_BYTES>() else {
        return Err(format!("is not a safetensors file: it has only {file} bytes; fetch it again"));
    };
    match u64::from_le_bytes(*length) {
        length if length > LIMIT => {
            Err(format!("is damaged, or not a safetensors file: it claims a header of {length} bytes"))
        }
        length => Ok(length as usize),
    }
}

fn ends_within(length: usize) -> String {
    format!("ends within its header of {length} bytes: fetch it again")
}

/// Reads a header in front of `data` bytes. Deserializing [`Metadata`] checks that the tensors leave no gaps and that their
/// shapes fit their bytes; this function checks the lengths. The crate's `read_metadata` does so too, but it allows a
/// header of 100 MB and its errors do not say how many bytes are missing.
fn check(header: &[u8], data: u64) -> Result<Metadata, String> {
    let metadata: Metadata = serde_json::from_slice(header)
        .map_err(|error| format!("has a header that is not valid ({error}): fetch it again"))?;
    match metadata.data_len() as u64 {
        wanted if wanted > data => {
            Err(format!("is cut short: its header announces {wanted} bytes, but only {data} are there; fetch it again"))
        }
        wanted if wanted < data => {
            Err(format!("has {} bytes that its header does not list: fetch it again", data - wanted))
        }
        _ => Ok(metadata),
    }
}
