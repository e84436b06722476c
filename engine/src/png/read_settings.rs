//! Reads back what a picture was drawn with; see [`metadata`](crate::metadata) for what files say.

use std::path::Path;

use crate::Result;
use crate::metadata::{self, Restored};

/// Reads the settings in a picture. One of this program gives exactly the settings that made it. Another program's gives
/// what this program can draw of them.
pub fn read_settings(path: &Path) -> Result<Restored> {
    Ok(metadata::restore(metadata::read(path)?))
}
