//! The texts in a file: chunks of PNG, EXIF and XMP of all three kinds. Only texts are read; pixels are passed over.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use flate2::read::ZlibDecoder;

use super::{LIMIT, exif};
use crate::png::RECORD_KEYWORD;

/// What a file holds besides pixels.
#[derive(Debug, Default)]
pub(super) struct Texts {
    /// Text chunks of a PNG: keyword and text, in order.
    chunks: Vec<(String, String)>,
    /// Texts of EXIF that programs write settings into, the likeliest first.
    pub exif: Vec<String>,
    /// The XMP packet.
    pub xmp: Option<String>,
    /// Whether it is a PNG with alpha, in which text may be hidden.
    pub has_alpha: bool,
    /// What is wrong with the file.
    pub fault: Option<&'static str>,
}

impl Texts {
    fn add_exif(&mut self, bytes: &[u8]) {
        self.exif.extend(exif::texts(bytes));
        if let Some(record) = exif::own_record(bytes) {
            self.chunks.push((RECORD_KEYWORD.to_owned(), record));
        }
    }

    /// The last chunk with this keyword.
    pub fn chunk(&self, keyword: &str) -> Option<&str> {
        self.chunks.iter().rev().find(|(name, _)| name == keyword).map(|(_, text)| text.as_str())
    }
}

/// Reads all texts of a file. The error is one of the system's, or says that this is no picture of a kind that is read.
pub(super) fn read(path: &Path) -> io::Result<Texts> {
    // Opening a pipe would wait for its other end.
    let metadata = path.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "it is not a file"));
    }
    let mut file =
        Source { length: metadata.len(), reader: BufReader::new(File::open(path)?), read: 0, inflate: 4 * LIMIT };
    let mut start = Vec::new();
    file.reader.by_ref().take(12).read_to_end(&mut start)?;
    let mut texts = Texts::default();
    if start.starts_with(b"\x89PNG\r\n\x1a\n") {
        file.seek(8)?;
        png(&mut file, &mut texts)?;
    } else if start.starts_with(b"\xff\xd8") {
        file.seek(2)?;
        jpeg(&mut file, &mut texts)?;
    } else if start.starts_with(b"RIFF") && start.get(8..12) == Some(b"WEBP") {
        file.seek(12)?;
        webp(&mut file, &mut texts)?;
    } else if start.is_empty() {
        return Err(io::Error::new(io::ErrorKind::InvalidData, CUT_SHORT));
    } else {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "it is not a PNG, JPEG or WebP, or a damaged one"));
    }
    Ok(texts)
}

const CUT_SHORT: &str = "it is cut short: fetch or save it again";

/// A file that gives no more than it has, and no more text than is allowed.
struct Source {
    length: u64,
    reader: BufReader<File>,
    /// Bytes of text so far.
    read: usize,
    /// How many bytes may still be inflated, over all chunks: each alone may be small.
    inflate: usize,
}

impl Source {
    fn seek(&mut self, to: u64) -> io::Result<()> {
        self.reader.seek(SeekFrom::Start(to)).map(|_| ())
    }

    fn at(&mut self) -> io::Result<u64> {
        self.reader.stream_position()
    }

    /// The next bytes; `None` at the file's end.
    fn take<const N: usize>(&mut self) -> io::Result<Option<[u8; N]>> {
        let mut bytes = [0; N];
        match self.reader.read_exact(&mut bytes) {
            Ok(()) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// A text of this many bytes; `None` if the file has fewer, or if that is more than is read.
    fn text(&mut self, length: u64) -> io::Result<Option<Vec<u8>>> {
        let here = self.at()?;
        if length > self.length.saturating_sub(here) || length > (LIMIT - self.read.min(LIMIT)) as u64 {
            return Ok(None);
        }
        let mut bytes = vec![0; length as usize];
        self.reader.read_exact(&mut bytes)?;
        self.read += bytes.len();
        Ok(Some(bytes))
    }
}

fn png(file: &mut Source, texts: &mut Texts) -> io::Result<()> {
    while let Some([a, b, c, d, kind @ ..]) = file.take::<8>()? {
        let length = u64::from(u32::from_be_bytes([a, b, c, d]));
        let next = file.at()? + length + 4;
        if next > file.length {
            texts.fault = Some(CUT_SHORT);
            return Ok(());
        }
        match &kind {
            b"IHDR" => {
                let header = file.text(length)?.unwrap_or_default();
                texts.has_alpha = matches!(header.get(9), Some(4 | 6));
            }
            b"tEXt" | b"zTXt" | b"iTXt" => {
                let bytes = file.text(length)?;
                if bytes.is_none() {
                    texts.fault = Some("its text chunks are too large");
                }
                if let Some((keyword, text)) = bytes.and_then(|bytes| chunk(kind, &bytes, &mut file.inflate)) {
                    if keyword == "XML:com.adobe.xmp" {
                        texts.xmp = Some(text);
                    } else {
                        texts.chunks.push((keyword, text));
                    }
                }
            }
            b"eXIf" => texts.add_exif(&file.text(length)?.unwrap_or_default()),
            b"IEND" => return Ok(()),
            _ => {}
        }
        file.seek(next)?;
    }
    texts.fault = Some(CUT_SHORT);
    Ok(())
}

/// Keyword and text of a chunk.
fn chunk(kind: [u8; 4], bytes: &[u8], left: &mut usize) -> Option<(String, String)> {
    let (keyword, rest) = split(bytes)?;
    let keyword = latin1(keyword);
    let text = match &kind {
        b"tEXt" => text(rest.to_vec()),
        b"zTXt" => text(inflated(rest.get(1..)?, left)?),
        _ => {
            let (flags, rest) = rest.split_at_checked(2)?;
            let (_, rest) = split(rest)?;
            let (_, rest) = split(rest)?;
            let bytes = if flags[0] == 1 { inflated(rest, left)? } else { rest.to_vec() };
            String::from_utf8(bytes).ok()?
        }
    };
    Some((keyword, text))
}

fn split(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().position(|byte| *byte == 0)?;
    Some((&bytes[..end], &bytes[end + 1..]))
}

fn inflated(bytes: &[u8], left: &mut usize) -> Option<Vec<u8>> {
    let limit = LIMIT.min(*left);
    let mut inflated = Vec::new();
    let result = ZlibDecoder::new(bytes).take(limit as u64 + 1).read_to_end(&mut inflated);
    *left -= inflated.len().min(limit);
    result.ok().filter(|_| inflated.len() <= limit)?;
    Some(inflated)
}

/// UTF-8 if it is that, else Latin-1 as the standard has it.
pub(super) fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_else(|error| latin1(error.as_bytes()))
}

fn latin1(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| char::from(*byte)).collect()
}

fn jpeg(file: &mut Source, texts: &mut Texts) -> io::Result<()> {
    while let Some([mark, kind]) = file.take::<2>()? {
        if mark != 0xff {
            texts.fault = Some("it is damaged: fetch or save it again");
            return Ok(());
        }
        match kind {
            // Fill bytes.
            0xff => {
                let here = file.at()?;
                file.seek(here - 1)?;
                continue;
            }
            0x01 | 0xd0..=0xd8 => continue,
            // The pixels begin, or the picture ends.
            0xda | 0xd9 => return Ok(()),
            _ => {}
        }
        let Some(length) = file.take::<2>()?.map(u16::from_be_bytes).filter(|length| *length >= 2) else { break };
        let next = file.at()? + u64::from(length) - 2;
        if next > file.length {
            break;
        }
        if kind == 0xe1 {
            let bytes = file.text(u64::from(length) - 2)?.unwrap_or_default();
            if let Some(packet) = bytes.strip_prefix(b"http://ns.adobe.com/xap/1.0/\0") {
                texts.xmp = Some(text(packet.to_vec()));
            } else if bytes.starts_with(b"Exif\0") {
                texts.add_exif(&bytes);
            }
        }
        file.seek(next)?;
    }
    texts.fault = Some(CUT_SHORT);
    Ok(())
}

fn webp(file: &mut Source, texts: &mut Texts) -> io::Result<()> {
    while let Some([a, b, c, d, size @ ..]) = file.take::<8>()? {
        let length = u64::from(u32::from_le_bytes(size));
        let next = file.at()? + length + length % 2;
        if file.at()? + length > file.length {
            texts.fault = Some(CUT_SHORT);
            return Ok(());
        }
        match &[a, b, c, d] {
            b"EXIF" => texts.add_exif(&file.text(length)?.unwrap_or_default()),
            b"XMP " => texts.xmp = file.text(length)?.map(text),
            _ => {}
        }
        file.seek(next)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_small_chunks_do_not_inflate_without_end() {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let path = folder.path().join("many.png");
        let file = File::create(&path).expect("a file");
        let mut encoder = png::Encoder::new(file, 1, 1);
        for _ in 0..12 {
            encoder.add_ztxt_chunk("parameters".to_owned(), "a".repeat(LIMIT / 2)).expect("a chunk");
        }
        let mut writer = encoder.write_header().expect("a header");
        writer.write_image_data(&[0]).expect("pixels");
        writer.finish().expect("an end");
        let texts = read(&path).expect("a picture");
        let total: usize = texts.chunks.iter().map(|(_, text)| text.len()).sum();
        assert_eq!(total, 4 * LIMIT);
    }
}
