//! From a PNG's text chunks back to settings; the file may come from anywhere and is trusted in nothing.

use std::fs::File;
use std::io::{self, BufReader};
use std::path::Path;

use ::png::{Decoder, DecodingError, Info, Limits};

use super::{PARAMETERS_KEYWORD, RECORD_KEYWORD, Record, a1111};
use crate::protocol::Settings;
use crate::{Error, Result};

/// Bytes that reading may allocate for the file's chunks, and for the text of one chunk once inflated: prompts are a
/// thousandth of this.
const LIMIT: usize = 8 << 20;

/// What a PNG says about its making.
#[derive(Clone, Debug, PartialEq)]
pub struct Restored {
    /// Ready to draw with.
    pub settings: Settings,
    /// The model's name, where the file gives it.
    pub model: Option<String>,
    /// First ten hex digits of its weights' digest, where the file gives them.
    pub model_hash: Option<String>,
}

/// Reads the settings that a PNG carries: exactly those of a picture of this program; of another program's picture
/// those that its `parameters` chunk (A1111's form) names and that mean something here.
pub fn read_settings(path: &Path) -> Result<Restored> {
    read(path).map_err(|source| Error::File { action: "cannot read the settings of", path: path.to_owned(), source })
}

fn read(path: &Path) -> io::Result<Restored> {
    // A pipe would make opening wait for its other end.
    if !path.metadata()?.is_file() {
        return Err(invalid("it is no file"));
    }
    let mut decoder = Decoder::new_with_limits(BufReader::new(File::open(path)?), Limits { bytes: LIMIT });
    decoder.set_ignore_iccp_chunk(true);
    let mut reader = decoder.read_info().map_err(unreadable)?;
    if let Some(restored) = find(reader.info()) {
        return Ok(restored);
    }
    // Text may also stand behind the pixels.
    reader.finish().map_err(unreadable)?;
    find(reader.info()).ok_or_else(|| {
        invalid("it carries none; only pictures saved with their settings by InstaFlow or a program like it can be restored")
    })
}

fn find(info: &Info) -> Option<Restored> {
    // A record of this program that is damaged is passed over: the other chunk may still be whole.
    let record = text(info, RECORD_KEYWORD).and_then(|json| serde_json::from_str::<Record>(&json).ok());
    if let Some(record) = record.filter(|record| drawable(&record.settings)) {
        let model = Some(record.model).filter(|model| !model.is_empty());
        let model_hash = Some(record.model_hash).filter(|hash| !hash.is_empty());
        return Some(Restored { settings: record.settings, model, model_hash });
    }
    a1111::parse(&text(info, PARAMETERS_KEYWORD)?)
}

/// Whether the numbers are such as this program writes; sizes are the model's business.
fn drawable(settings: &Settings) -> bool {
    (1..=50).contains(&settings.steps) && settings.guidance.is_finite() && settings.guidance >= 0.0
}

/// The first readable text under `keyword`, in any of the three kinds of chunk.
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
        DecodingError::LimitsExceeded => invalid("its chunks are larger than those of any picture with settings"),
        _ => invalid("it is no PNG, or a damaged one"),
    }
}

fn invalid(message: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message)
}
