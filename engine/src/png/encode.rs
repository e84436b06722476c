//! From a picture to the bytes of a PNG.

use ::png::text_metadata::{ITXtChunk, TEXtChunk};
use ::png::{BitDepth, ColorType, Encoder, EncodingError, Writer};

use super::{PARAMETERS_KEYWORD, RECORD_KEYWORD, Record, XMP_KEYWORD, a1111};
use crate::protocol::Picture;

/// Encodes the picture as an 8-bit RGB PNG. `metadata` adds the chunks that say how it was made.
///
/// # Panics
///
/// If `rgb` does not hold `width * height * 3` bytes.
pub fn encode(picture: &Picture, metadata: bool) -> Vec<u8> {
    let mut bytes = Vec::new();
    write(&mut bytes, picture, metadata).expect("a picture has at least one pixel, three bytes each");
    bytes
}

fn write(bytes: &mut Vec<u8>, picture: &Picture, metadata: bool) -> Result<(), EncodingError> {
    let mut encoder = Encoder::new(bytes, picture.width, picture.height);
    encoder.set_color(ColorType::Rgb);
    encoder.set_depth(BitDepth::Eight);
    let mut writer = encoder.write_header()?;
    if metadata {
        // Before the pixels: every reader looks there, and a file that is cut short still has them.
        write_metadata(&mut writer, picture)?;
    }
    writer.write_image_data(&picture.rgb)?;
    writer.finish()
}

/// Writes the three chunks that say how a picture was made.
pub(super) fn write_metadata(writer: &mut Writer<&mut Vec<u8>>, picture: &Picture) -> Result<(), EncodingError> {
    write_text(writer, PARAMETERS_KEYWORD, parameters(picture))?;
    write_text(writer, RECORD_KEYWORD, record(picture))?;
    writer.write_text_chunk(&ITXtChunk::new(XMP_KEYWORD, xmp()))
}

/// Writes a `tEXt` chunk, which every reader knows, if the text is Latin-1, else `iTXt`, which is UTF-8.
fn write_text(writer: &mut Writer<&mut Vec<u8>>, keyword: &str, text: String) -> Result<(), EncodingError> {
    // Neither kind of chunk may hold a NUL (PNG specification, 11.3.3).
    let text = if text.contains('\0') { text.replace('\0', "") } else { text };
    if text.chars().all(|c| u32::from(c) <= 0xff) {
        writer.write_text_chunk(&TEXtChunk::new(keyword, text))
    } else {
        writer.write_text_chunk(&ITXtChunk::new(keyword, text))
    }
}

/// The text that other programs read.
pub(crate) fn parameters(picture: &Picture) -> String {
    a1111::format(picture)
}

/// What this program restores every setting from.
pub(crate) fn record(picture: &Picture) -> String {
    let record = Record {
        version: env!("CARGO_PKG_VERSION").into(),
        model: picture.model.clone(),
        model_hash: picture.model_hash.clone(),
        bf16_products: picture.bf16_products,
        settings: picture.settings.clone(),
    };
    // A NUL in the prompt survives as `\u0000`.
    serde_json::to_string(&record).expect("plain data with string keys is always JSON")
}

/// The packet that marks a picture as generated (IPTC, "Digital Source Type").
fn xmp() -> String {
    let version = env!("CARGO_PKG_VERSION");
    format!(
        r#"<?xpacket begin="{bom}" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description rdf:about=""
    xmlns:xmp="http://ns.adobe.com/xap/1.0/"
    xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
    xmp:CreatorTool="InstaFlow {version}"
    Iptc4xmpExt:DigitalSourceType="http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"/>
 </rdf:RDF>
</x:xmpmeta>
<?xpacket end="r"?>"#,
        bom = '\u{feff}'
    )
}
