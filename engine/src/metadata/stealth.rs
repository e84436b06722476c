//! Text that is hidden in the lowest bits of a PNG's alpha, column by column, as NovelAI and an extension of A1111 do.

use std::io::Read;
use std::path::Path;

use flate2::read::GzDecoder;

use super::LIMIT;
use super::container::{Texts, text};

/// Most pixels of a picture that is searched.
const MOST_PIXELS: u64 = 64 << 20;

/// The hidden text, if there is one.
pub(super) fn read(path: &Path, texts: &Texts) -> Option<String> {
    if !texts.has_alpha || texts.fault.is_some() {
        return None;
    }
    let mut reader = image::ImageReader::open(path).ok()?.with_guessed_format().ok()?;
    let mut limits = image::Limits::default();
    limits.max_alloc = Some(8 * MOST_PIXELS);
    reader.limits(limits);
    let picture = reader.decode().ok()?.into_rgba8();
    let (width, height) = picture.dimensions();
    let bits = u64::from(width) * u64::from(height);
    let bit = |at: u64| picture.get_pixel((at / u64::from(height)) as u32, (at % u64::from(height)) as u32)[3] & 1;
    let byte = |at: u64| (0..8).fold(0_u8, |byte, offset| byte << 1 | bit(at + offset));
    let header = 15 * 8;
    if bits < header + 32 {
        return None;
    }
    let signature: Vec<u8> = (0..15).map(|index| byte(8 * index)).collect();
    let compressed = match signature.as_slice() {
        b"stealth_pngcomp" => true,
        b"stealth_pnginfo" => false,
        _ => return None,
    };
    let length = (0..4).fold(0_u64, |length, index| length << 8 | u64::from(byte(header + 8 * index)));
    let start = header + 32;
    if length % 8 != 0 || length > bits - start || length / 8 > LIMIT as u64 {
        return None;
    }
    let bytes: Vec<u8> = (0..length / 8).map(|index| byte(start + 8 * index)).collect();
    if !compressed {
        return Some(text(bytes));
    }
    let mut inflated = Vec::new();
    GzDecoder::new(bytes.as_slice()).take(LIMIT as u64 + 1).read_to_end(&mut inflated).ok()?;
    (inflated.len() <= LIMIT).then(|| text(inflated))
}
