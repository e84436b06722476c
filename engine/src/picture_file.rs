//! Saves pictures as PNG, JPEG or WebP, as the name of the file says, with their settings. PNG has them in chunks
//! ([`crate::png`]); the other two in EXIF: the user comment holds A1111's text in UTF-16, which other programs read, and the
//! maker note holds the record from which this program restores every setting. Add another form to [`Format`].

use std::path::Path;

use image::codecs::jpeg::JpegEncoder;
use image::codecs::webp::WebPEncoder;
use image::{ExtendedColorType, ImageEncoder};

use crate::protocol::Picture;
use crate::{Error, Result, atomic, png};

/// The quality of a JPEG if nobody says another one.
pub const DEFAULT_QUALITY: u8 = 95;

/// What a segment of a JPEG holds at most: its length counts itself in 16 bits, and "Exif\0\0" comes first.
const JPEG_EXIF_LIMIT: usize = 0xffff - 2 - 6;

/// How a picture is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Without loss; what this program writes if nothing else is asked for.
    Png,
    /// With loss, and small.
    Jpeg,
    /// Without loss, and smaller than PNG.
    WebP,
}

impl Format {
    /// The endings of all forms, for messages.
    pub const ENDINGS: &'static str = ".png, .jpg or .webp";

    /// The form that a file's name asks for by its ending.
    pub fn of(path: &Path) -> Option<Self> {
        let ending = path.extension()?.to_str()?.to_ascii_lowercase();
        Some(match ending.as_str() {
            "png" => Self::Png,
            "jpg" | "jpeg" => Self::Jpeg,
            "webp" => Self::WebP,
            _ => return None,
        })
    }
}

/// Saves the picture at `path` in the form that its ending asks for, whole or not at all; an existing file is replaced only
/// with `overwrite`. `metadata` adds what says how it was made. `quality` is a JPEG's, 1 to 100.
pub fn save(path: &Path, picture: &Picture, metadata: bool, quality: u8, overwrite: bool) -> Result<()> {
    let format = Format::of(path).ok_or_else(|| {
        Error::Setting(format!("{} does not end in {}: give the file such a name", path.display(), Format::ENDINGS))
    })?;
    atomic::write(path, &encode(format, picture, metadata, quality)?, overwrite)
}

/// The bytes of a file; see [`save`].
pub fn encode(format: Format, picture: &Picture, metadata: bool, quality: u8) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    match format {
        Format::Png => return Ok(png::encode(picture, metadata)),
        Format::Jpeg => {
            if !(1..=100).contains(&quality) {
                return Err(Error::Setting(format!("a JPEG's quality is a number from 1 to 100, and not {quality}")));
            }
            write(JpegEncoder::new_with_quality(&mut bytes, quality), picture, metadata.then_some(JPEG_EXIF_LIMIT))?;
        }
        Format::WebP => write(WebPEncoder::new_lossless(&mut bytes), picture, metadata.then_some(usize::MAX))?,
    }
    Ok(bytes)
}

/// Writes pixels, and EXIF of at most `limit` bytes if there is one.
fn write(mut encoder: impl ImageEncoder, picture: &Picture, limit: Option<usize>) -> Result<()> {
    if let Some(limit) = limit {
        let exif = exif(&png::parameters(picture), &png::record(picture));
        if exif.len() > limit {
            return Err(Error::Setting(format!(
                "the settings take {} bytes, and a JPEG has room for {limit}: save the picture as PNG or WebP, or without \
                 its settings",
                exif.len()
            )));
        }
        encoder.set_exif_metadata(exif).map_err(refused)?;
    }
    let Picture { width, height, rgb, .. } = picture;
    encoder.write_image(rgb, *width, *height, ExtendedColorType::Rgb8).map_err(refused)
}

/// Neither form can hold a picture of every size.
fn refused(error: impl std::fmt::Display) -> Error {
    Error::Setting(format!("the picture cannot be stored in this form ({error}): save it as PNG"))
}

const EXIF_DIRECTORY: u16 = 0x8769;
const MAKER_NOTE: u16 = 0x927c;
const USER_COMMENT: u16 = 0x9286;

/// What a maker note of this program begins with.
pub(crate) const MAKER: &[u8] = b"instaflow\0";

/// A TIFF structure (big-endian) of two directories: the first points to that of EXIF, which has the two texts (EXIF 2.32,
/// 4.6.3 and 4.6.5; both are of the type UNDEFINED).
fn exif(comment: &str, record: &str) -> Vec<u8> {
    const LONG: u16 = 4;
    const UNDEFINED: u16 = 7;
    let comment: Vec<u8> =
        b"UNICODE\0".iter().copied().chain(comment.encode_utf16().flat_map(u16::to_be_bytes)).collect();
    let note = [MAKER, record.as_bytes()].concat();
    let (first, second) = (8_u32, 8 + 2 + 12 + 4);
    let note_at = second + 2 + 2 * 12 + 4;
    // Values begin at even places.
    let comment_at = note_at + (note.len() + note.len() % 2) as u32;
    let mut bytes = b"MM\0*".to_vec();
    bytes.extend(first.to_be_bytes());
    let entry = |bytes: &mut Vec<u8>, tag: u16, kind: u16, count: u32, value: u32| {
        bytes.extend(tag.to_be_bytes());
        bytes.extend(kind.to_be_bytes());
        bytes.extend(count.to_be_bytes());
        bytes.extend(value.to_be_bytes());
    };
    bytes.extend(1_u16.to_be_bytes());
    entry(&mut bytes, EXIF_DIRECTORY, LONG, 1, second);
    bytes.extend(0_u32.to_be_bytes());
    bytes.extend(2_u16.to_be_bytes());
    entry(&mut bytes, MAKER_NOTE, UNDEFINED, note.len() as u32, note_at);
    entry(&mut bytes, USER_COMMENT, UNDEFINED, comment.len() as u32, comment_at);
    bytes.extend(0_u32.to_be_bytes());
    bytes.extend(&note);
    bytes.resize(comment_at as usize, 0);
    bytes.extend(comment);
    bytes
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use instaflow_test_support::assert_error;

    use super::*;
    use crate::metadata::{self, restore};
    use crate::protocol::Settings;

    fn picture(prompt: &str, (width, height): (u32, u32)) -> Picture {
        let rgb: Vec<u8> = (0..width * height * 3).map(|index| (index * 7 % 251) as u8).collect();
        let settings = Settings { seed: u64::MAX, size: Some((width, height)), ..Settings::student(prompt) };
        let mut picture = Picture::new(width, height, Arc::from(rgb), settings);
        (picture.model, picture.model_hash) = ("Pocket".to_owned(), "0123456789".to_owned());
        picture
    }

    #[test]
    fn every_form_gives_its_settings_back() {
        let folder = tempfile::tempdir().unwrap();
        for (name, size) in [("a.png", (3, 5)), ("a.jpg", (17, 1)), ("b.JPEG", (64, 64)), ("a.webp", (1, 9))] {
            let path = folder.path().join(name);
            for prompt in ["", "a \"lake\"\n😀, Steps: 5", "日本の山"] {
                let picture = picture(prompt, size);
                save(&path, &picture, true, DEFAULT_QUALITY, true).unwrap();
                let restored = restore(metadata::read(&path).unwrap());
                assert_eq!(restored.settings, picture.settings, "{name}");
                assert_eq!(restored.model.as_deref(), Some("Pocket"), "{name}");
                assert_eq!(restored.remarks, [""; 0], "{name}");
            }
            save(&path, &picture("secret", size), false, DEFAULT_QUALITY, true).unwrap();
            assert!(metadata::read(&path).is_err(), "{name} was to be without settings");
        }
    }

    /// What A1111's program reads, which knows nothing of maker notes.
    #[test]
    fn the_user_comment_is_a1111s() {
        let picture = picture("a lake 😀", (8, 8));
        let comment = png::parameters(&picture);
        assert!(comment.starts_with("a lake 😀\n") && comment.contains("Seed: 18446744073709551615"), "{comment}");
        let bytes = encode(Format::Jpeg, &picture, true, 90).unwrap();
        let wanted: Vec<u8> =
            b"UNICODE\0".iter().copied().chain(comment.encode_utf16().flat_map(u16::to_be_bytes)).collect();
        assert!(bytes.windows(wanted.len()).any(|window| window == wanted));
    }

    #[test]
    fn what_a_form_cannot_hold_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let long = picture(&"word ".repeat(20_000), (4, 4));
        assert_error(save(&path("a.jpg"), &long, true, 95, false), "save the picture as PNG or WebP");
        save(&path("a.webp"), &long, true, 95, false).unwrap();
        assert_eq!(restore(metadata::read(&path("a.webp")).unwrap()).settings, long.settings);
        let small = picture("x", (4, 4));
        assert_error(save(&path("b.jpg"), &small, true, 0, false), "from 1 to 100");
        assert_error(save(&path("a.gif"), &small, true, 95, false), ".png, .jpg or .webp");
        assert_error(save(&path("wide.webp"), &picture("x", (20_000, 1)), true, 95, false), "save it as PNG");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing else was written");
    }

    #[test]
    fn lossless_forms_keep_every_byte() {
        let picture = picture("x", (13, 7));
        let bytes = encode(Format::WebP, &picture, true, 95).unwrap();
        let decoded = image::load_from_memory(&bytes).unwrap().into_rgb8();
        assert_eq!(decoded.as_raw().as_slice(), &*picture.rgb);
    }
}
