//! The texts of EXIF that programs write settings into (TIFF 6.0; EXIF 2.32).

use super::container;
use crate::picture_file::MAKER;

/// Most entries of a directory that are looked at.
const MOST_ENTRIES: u16 = 512;

const USER_COMMENT: u16 = 0x9286;
const EXIF_DIRECTORY: u16 = 0x8769;
const MAKER_NOTE: u16 = 0x927c;
/// Image description, make and model, which some programs use.
const OTHERS: [u16; 3] = [0x010e, 0x010f, 0x0110];

/// The user comment first, then the other texts.
pub(super) fn texts(bytes: &[u8]) -> Vec<String> {
    let bytes = bytes.strip_prefix(b"Exif\0\0").unwrap_or(bytes);
    let Some(tiff) = Tiff::new(bytes) else { return Vec::new() };
    let mut found = Found { texts: Vec::new(), left: bytes.len() };
    // Two directories, and no more: nothing here is worth following links for.
    if let Some(first) = tiff.u32(4) {
        tiff.directory(first as usize, true, &mut found);
    }
    found.texts.sort_by_key(|(tag, _)| *tag != USER_COMMENT);
    found.texts.into_iter().map(|(_, text)| text).collect()
}

/// The record in this program's own maker note.
pub(super) fn own_record(bytes: &[u8]) -> Option<String> {
    let bytes = bytes.strip_prefix(b"Exif\0\0").unwrap_or(bytes);
    let tiff = Tiff::new(bytes)?;
    let exif = tiff.find(tiff.u32(4)? as usize, EXIF_DIRECTORY)?;
    let note = tiff.find(tiff.u32(exif + 8)? as usize, MAKER_NOTE)?;
    let record = tiff.value(note, tiff.u16(note + 2)?)?.strip_prefix(MAKER)?;
    Some(String::from_utf8_lossy(record).into_owned())
}

/// The texts so far, with their tags.
struct Found {
    texts: Vec<(u16, String)>,
    /// How many bytes further texts may have. Together they have no more than the file, unless many entries share one.
    left: usize,
}

struct Tiff<'a> {
    bytes: &'a [u8],
    little: bool,
}

impl<'a> Tiff<'a> {
    fn new(bytes: &'a [u8]) -> Option<Self> {
        match bytes.get(..2)? {
            b"II" => Some(Self { bytes, little: true }),
            b"MM" => Some(Self { bytes, little: false }),
            _ => None,
        }
    }

    fn u16(&self, at: usize) -> Option<u16> {
        let bytes = self.bytes.get(at..at.checked_add(2)?)?.try_into().ok()?;
        Some(if self.little { u16::from_le_bytes(bytes) } else { u16::from_be_bytes(bytes) })
    }

    fn u32(&self, at: usize) -> Option<u32> {
        let bytes = self.bytes.get(at..at.checked_add(4)?)?.try_into().ok()?;
        Some(if self.little { u32::from_le_bytes(bytes) } else { u32::from_be_bytes(bytes) })
    }

    fn directory(&self, at: usize, first: bool, found: &mut Found) {
        let count = self.u16(at).unwrap_or(0).min(MOST_ENTRIES);
        for entry in 0..usize::from(count) {
            let Some(at) = at.checked_add(2 + 12 * entry) else { return };
            let (Some(tag), Some(kind)) = (self.u16(at), self.u16(at + 2)) else { return };
            if tag == EXIF_DIRECTORY && first {
                if let Some(next) = self.u32(at + 8) {
                    self.directory(next as usize, false, found);
                }
            } else if tag == USER_COMMENT || OTHERS.contains(&tag) {
                let Some(bytes) = self.value(at, kind) else { continue };
                let Some(left) = found.left.checked_sub(bytes.len()) else { return };
                found.left = left;
                found.texts.push((tag, self.decoded(tag, bytes)));
            }
        }
    }

    /// Where a directory has its entry of this tag.
    fn find(&self, directory: usize, tag: u16) -> Option<usize> {
        let count = self.u16(directory)?.min(MOST_ENTRIES);
        let places = (0..usize::from(count)).map_while(|entry| directory.checked_add(2 + 12 * entry));
        places.into_iter().find(|at| self.u16(*at) == Some(tag))
    }

    /// The bytes of an entry of single bytes.
    fn value(&self, at: usize, kind: u16) -> Option<&'a [u8]> {
        if !matches!(kind, 1 | 2 | 7) {
            return None;
        }
        let count = self.u32(at + 4)? as usize;
        let start = if count <= 4 { at + 8 } else { self.u32(at + 8)? as usize };
        self.bytes.get(start..start.checked_add(count)?)
    }

    fn decoded(&self, tag: u16, bytes: &[u8]) -> String {
        if tag == USER_COMMENT && bytes.starts_with(b"UNICODE\0") {
            return self.utf16(&bytes[8..]);
        }
        let bytes = if tag == USER_COMMENT { bytes.strip_prefix(b"ASCII\0\0\0").unwrap_or(bytes) } else { bytes };
        container::text(bytes.to_vec())
    }

    /// A zero byte tells the order of the bytes, else that of the file does.
    fn utf16(&self, bytes: &[u8]) -> String {
        let little = match bytes.iter().position(|byte| *byte == 0) {
            Some(zero) => zero % 2 == 1,
            None => self.little,
        };
        let units: Vec<u16> =
            bytes
                .chunks_exact(2)
                .map(|pair| {
                    if little { u16::from_le_bytes([pair[0], pair[1]]) } else { u16::from_be_bytes([pair[0], pair[1]]) }
                })
                .collect();
        String::from_utf16_lossy(&units)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_that_share_a_text_give_no_more_than_the_file_has() {
        let text = "a".repeat(1 << 16);
        let mut tiff = b"II*\0\x08\0\0\0".to_vec();
        tiff.extend(500_u16.to_le_bytes());
        for _ in 0..500 {
            tiff.extend(USER_COMMENT.to_le_bytes());
            tiff.extend(7_u16.to_le_bytes());
            tiff.extend((1_u32 << 16).to_le_bytes());
            tiff.extend((8 + 2 + 12 * 500_u32).to_le_bytes());
        }
        tiff.extend(text.bytes());
        assert!(texts(&tiff) == [text], "once");
    }
}
