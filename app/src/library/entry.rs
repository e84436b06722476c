//! A kept picture as the index knows it. A new field needs `#[serde(default)]`, because rows of older versions lack it.

use instaflow_engine::protocol::{Picture, Settings, Timings};
use serde::{Deserialize, Serialize};

/// A kept picture, without its pixels.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Its number, after which its files are named; later pictures have higher numbers.
    #[serde(skip)]
    pub id: u64,
    /// When it was kept, in milliseconds since 1970.
    #[serde(default)]
    pub kept_at: u64,
    /// Pixels across.
    pub width: u32,
    /// Pixels down.
    pub height: u32,
    /// The settings that made it.
    pub settings: Settings,
    /// The model's name.
    #[serde(default)]
    pub model: String,
    /// First ten hex digits of the weights' digest; empty if unknown.
    #[serde(default)]
    pub model_hash: String,
    /// How long it took.
    #[serde(default)]
    pub timings: Timings,
    /// How straight its path from noise was.
    #[serde(default)]
    pub straightness: Option<f64>,
    /// Whether the person likes it.
    #[serde(default)]
    pub starred: bool,
    /// Whether it is marked as deleted, which can be undone until it is purged.
    #[serde(default)]
    pub deleted: bool,
    /// Whether there is a file with its latents. Looked up, not stored.
    #[serde(skip)]
    pub has_latents: bool,
}

impl Entry {
    /// The entry of a picture that is kept now.
    pub fn new(id: u64, kept_at: u64, picture: &Picture) -> Self {
        Self {
            id,
            kept_at,
            width: picture.width,
            height: picture.height,
            settings: picture.settings.clone(),
            model: picture.model.clone(),
            model_hash: picture.model_hash.clone(),
            timings: picture.timings,
            straightness: picture.straightness,
            starred: false,
            deleted: false,
            has_latents: picture.latents.is_some(),
        }
    }

    /// Whether it is this picture, as far as model and settings tell.
    pub fn is_of(&self, picture: &Picture) -> bool {
        self.settings.seed == picture.settings.seed
            && self.model_hash == picture.model_hash
            && self.settings == picture.settings
    }

    /// The text that a search looks at, in lower case.
    pub fn words(&self) -> String {
        let second = self.settings.blend.prompt.as_ref().map_or("", |toward| toward.to.as_str());
        let Settings { prompt, negative_prompt, seed, .. } = &self.settings;
        format!("{prompt}\n{second}\n{negative_prompt}\n{seed}\n{}", self.model).to_lowercase()
    }
}
