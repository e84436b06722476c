//! From pictures to the bytes of an animated PNG (PNG specification, third edition: acTL, fcTL, fdAT). Readers without
//! support for animations show the first picture. Change here how frames are packed.

use ::png::{BitDepth, ColorType, Encoder, EncodingError};

use super::encode::write_metadata;
use crate::protocol::Picture;
use crate::{Error, Result};

/// Encodes the pictures as an animated PNG that loops for ever at `rate` frames per second. `metadata` adds the chunks that
/// say how the first picture was made. All pictures must have the same size.
pub fn encode_animation(frames: &[&Picture], rate: u32, metadata: bool) -> Result<Vec<u8>> {
    let Some(first) = frames.first() else {
        return Err(Error::Setting("an animation needs at least one picture: draw some first".to_owned()));
    };
    let size = (first.width, first.height);
    if let Some(other) = frames.iter().find(|frame| (frame.width, frame.height) != size) {
        let (width, height) = size;
        return Err(Error::Setting(format!(
            "an animation cannot hold pictures of {width}x{height} and of {}x{}: draw all of them in one size",
            other.width, other.height
        )));
    }
    let mut bytes = Vec::new();
    let rate = u16::try_from(rate.max(1)).unwrap_or(u16::MAX);
    write(&mut bytes, frames, rate, metadata).expect("every picture has at least one pixel, three bytes each");
    Ok(bytes)
}

fn write(bytes: &mut Vec<u8>, frames: &[&Picture], rate: u16, metadata: bool) -> Result<(), EncodingError> {
    let mut encoder = Encoder::new(bytes, frames[0].width, frames[0].height);
    encoder.set_color(ColorType::Rgb);
    encoder.set_depth(BitDepth::Eight);
    // 0 plays mean an endless loop.
    encoder.set_animated(frames.len() as u32, 0)?;
    encoder.set_frame_delay(1, rate)?;
    let mut writer = encoder.write_header()?;
    if metadata {
        write_metadata(&mut writer, frames[0])?;
    }
    for frame in frames {
        writer.write_image_data(&frame.rgb)?;
    }
    writer.finish()
}
