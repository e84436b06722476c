//! Pictures out, settings back in.
//!
//! A saved picture carries what made it, three times over: a `parameters` chunk in the form that AUTOMATIC1111's
//! program began and others read, an `instaflow` chunk from which this program restores every setting exactly, and an
//! XMP packet that names the picture as the work of a trained model. One switch leaves all three out.

mod encode;

mod animation;

mod save;

mod frames;

mod read_settings;

mod a1111;

mod filename_pattern;

pub use animation::encode_animation;
pub use encode::encode;
pub use filename_pattern::{DEFAULT_PATTERN, Pattern, TOKENS};
pub use frames::save_frames;
pub use read_settings::{Restored, read_settings};
pub use save::{save, save_animation, save_animation_quick, save_quick};

use serde::{Deserialize, Serialize};

use crate::protocol::Settings;

/// Keyword of the chunk that other programs read.
const PARAMETERS_KEYWORD: &str = "parameters";

/// Keyword of the chunk that holds a [`Record`] as JSON.
const RECORD_KEYWORD: &str = "instaflow";

/// Keyword under which XMP stands in a PNG (XMP Specification, part 3, 1.1.5).
const XMP_KEYWORD: &str = "XML:com.adobe.xmp";

/// What the `instaflow` chunk holds.
#[derive(Serialize, Deserialize)]
struct Record {
    /// Of the program that wrote it.
    version: String,
    model: String,
    model_hash: String,
    settings: Settings,
}
