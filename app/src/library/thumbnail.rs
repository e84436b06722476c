//! Small pictures, made once when a picture is kept, so that the filmstrip never decodes a large one. Change their size
//! here; existing ones stay as they are.

use image::codecs::jpeg::{JpegDecoder, JpegEncoder};
use image::{DynamicImage, RgbImage, imageops};

/// The longer side, in pixels: the filmstrip's height on a display at 200 %.
const SIDE: u32 = 168;

/// JPEG's own scale, 1 … 100.
const QUALITY: u8 = 88;

/// A picture's thumbnail as JPEG, which takes a sixth of a PNG's bytes and looks the same at this size.
pub fn encode(width: u32, height: u32, rgb: &[u8]) -> Option<Vec<u8>> {
    let picture = RgbImage::from_raw(width, height, rgb.to_vec())?;
    let longer = width.max(height);
    let small = if longer <= SIDE {
        picture
    } else {
        let side = |side: u32| (u64::from(side) * u64::from(SIDE) / u64::from(longer)).max(1) as u32;
        imageops::thumbnail(&picture, side(width), side(height))
    };
    let mut bytes = Vec::new();
    small.write_with_encoder(JpegEncoder::new_with_quality(&mut bytes, QUALITY)).ok()?;
    Some(bytes)
}

/// A thumbnail's pixels; `None` if the bytes are not a JPEG.
pub fn decode(bytes: &[u8]) -> Option<egui::ColorImage> {
    let decoder = JpegDecoder::new(std::io::Cursor::new(bytes)).ok()?;
    let pixels = DynamicImage::from_decoder(decoder).ok()?.into_rgb8();
    Some(egui::ColorImage::from_rgb([pixels.width() as usize, pixels.height() as usize], pixels.as_raw()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thumbnail_keeps_shape_and_colour_and_never_grows() {
        for ((width, height), expected) in [((512, 256), [168, 84]), ((64, 128), [64, 128]), ((4000, 2), [168, 1])] {
            let rgb = [200, 30, 90].repeat((width * height) as usize);
            let small = decode(&encode(width, height, &rgb).expect("pixels")).expect("a JPEG");
            assert_eq!(small.size, expected);
            let pixel = small.pixels[small.pixels.len() / 2];
            let off = [pixel.r().abs_diff(200), pixel.g().abs_diff(30), pixel.b().abs_diff(90)];
            assert!(off.iter().all(|off| *off < 6), "{pixel:?}");
        }
    }

    #[test]
    fn what_is_no_picture_is_none() {
        assert!(encode(4, 4, &[0; 5]).is_none());
        assert!(decode(b"not a JPEG").is_none());
    }
}
