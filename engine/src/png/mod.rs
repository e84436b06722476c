//! Writes pictures as PNG files with their settings, and reads the settings back.
//!
//! A saved picture has three chunks that say how it was made: `parameters`, in the format of AUTOMATIC1111's program, which
//! others read; `instaflow`, from which this program restores every setting exactly; and an XMP packet that marks the
//! picture as made by a trained model. The argument `metadata` leaves out all three.

mod encode;

mod animation;

mod save;

mod frames;

mod read_settings;

mod a1111;

mod filename_pattern;

pub use crate::metadata::Restored;
pub use animation::encode_animation;
pub use encode::encode;
pub(crate) use encode::{parameters, record};
pub use filename_pattern::{DEFAULT_PATTERN, Pattern, TOKENS};
pub use frames::save_frames;
pub use read_settings::read_settings;
pub use save::{save, save_animation, save_animation_quick, save_quick};

use serde::{Deserialize, Serialize};

use crate::protocol::{Bf16Products, Settings};

/// Keyword of the chunk that other programs read.
const PARAMETERS_KEYWORD: &str = "parameters";

/// Keyword of the chunk that holds a [`Record`] as JSON.
pub(crate) const RECORD_KEYWORD: &str = "instaflow";

/// Keyword of the XMP chunk in a PNG (XMP Specification, part 3, 1.1.5).
const XMP_KEYWORD: &str = "XML:com.adobe.xmp";

/// What the `instaflow` chunk holds.
#[derive(Serialize, Deserialize)]
pub(crate) struct Record {
    /// The version of the program that wrote it.
    pub version: String,
    pub model: String,
    pub model_hash: String,
    /// Absent in files of earlier versions, and wherever bf16 on a CPU was not the arithmetic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bf16_products: Option<Bf16Products>,
    pub settings: Settings,
}
