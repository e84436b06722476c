//! Reads settings back from the text chunks of a PNG. The file may come from anywhere, so nothing in it is trusted.

use std::fs::File;
use std::io::{self, BufReader};
use std::path::Path;

use ::png::{Decoder, DecodingError, Info, Limits};

use super::{PARAMETERS_KEYWORD, RECORD_KEYWORD, Record, a1111};
use crate::protocol::{Bf16Products, Settings};
use crate::{Error, Result};

/// Most bytes that reading may allocate for the file's chunks and for the inflated text of one chunk. Prompts take a
/// thousandth of this.
const LIMIT: usize = 8 << 20;

/// What a PNG says about how it was made.
#[derive(Clone, Debug, PartialEq)]
pub struct Restored {
    /// Ready to draw with.
    pub settings: Settings,
    /// The model's name, if the file gives it.
    pub model: Option<String>,
    /// The first ten hex digits of its weights' digest, if the file gives them.
    pub model_hash: Option<String>,
    /// How its numbers were multiplied, if it was drawn in bf16 on a CPU.
    pub bf16_products: Option<Bf16Products>,
}

/// Reads the settings in a PNG. A picture of this program gives exactly the settings that made it. Another program's picture
/// gives those of its `parameters` chunk (A1111's format) that this program has, too.
pub fn read_settings(path: &Path) -> Result<Restored> {
    read(path).map_err(|source| Error::File { action: "cannot read the settings of", path: path.to_owned(), source })
}

fn read(path: &Path) -> io::Result<Restored> {
    // Opening a pipe would wait for its other end.
    if !path.metadata()?.is_file() {
        return Err(invalid("it is not a file"));
    }
    let mut decoder = Decoder::new_with_limits(BufReader::new(File::open(path)?), Limits { bytes: LIMIT });
    decoder.set_ignore_iccp_chunk(true);
    let mut reader = decoder.read_info().map_err(unreadable)?;
    if let Some(restored) = find(reader.info()) {
        return Ok(restored);
    }
    // Text may also come after the pixels.
    reader.finish().map_err(unreadable)?;
    find(reader.info()).ok_or_else(|| {
        invalid(
            "it has none: only pictures that InstaFlow or a similar program saved with their settings can be restored",
        )
    })
}

fn find(info: &Info) -> Option<Restored> {
    // A damaged record of this program is ignored: the other chunk may be whole.
    let record = text(info, RECORD_KEYWORD).and_then(|json| serde_json::from_str::<Record>(&json).ok());
    if let Some(record) = record.filter(|record| drawable(&record.settings)) {
        let model = Some(record.model).filter(|model| !model.is_empty());
        let model_hash = Some(record.model_hash).filter(|hash| !hash.is_empty());
        return Some(Restored { settings: record.settings, model, model_hash, bf16_products: record.bf16_products });
    }
    a1111::parse(&text(info, PARAMETERS_KEYWORD)?)
}

/// Whether this program could have written these numbers. Sizes are checked against the model later.
fn drawable(settings: &Settings) -> bool {
    (1..=50).contains(&settings.steps) && settings.guidance.is_finite() && settings.guidance >= 0.0
}

/// The first readable text with this keyword, in any of the three kinds of chunk.
fn text(info: &Info, keyword: &str) -> Option<String> {
    let plain = info.uncompressed_latin1_text.iter().find(|chunk| chunk.keyword == keyword).map(|c| c.text.clone());
    plain
        .or_else(|| {
            let mut chunk = info.utf8_text.iter().find(|chunk| chunk.keyword == keyword)?.clone();
            chunk.decompress_text_with_limit(LIMIT).ok()?;
            chunk.get_text().ok()
        })
        .or_else(|| {
            let mut chunk = info.compressed_latin1_text.iter().find(|chunk| chunk.keyword == keyword)?.clone();
            chunk.decompress_text_with_limit(LIMIT).ok()?;
            chunk.get_text().ok()
        })
}

fn unreadable(error: DecodingError) -> io::Error {
    match error {
        DecodingError::IoError(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            invalid("it is cut short: fetch or save it again")
        }
        DecodingError::IoError(error) => error,
        DecodingError::LimitsExceeded => invalid("its text chunks are too large"),
        _ => invalid("it is damaged, or not a PNG"),
    }
}

fn invalid(message: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message)
}
