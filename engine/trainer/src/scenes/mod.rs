//! Captioned landscapes, drawn on the spot: the world that the Pocket pair learns.
//!
//! A scene is a seed. From it come its [`Attributes`], its layout and its captions, so that a training set of any size
//! is a range of numbers. Pictures are painted back to front (sky, land, water, the object in front, rain or snow) in
//! coordinates of 0 … 1, so that a scene is the same at every size; then `style` makes of it what its means would.
//!
//! The world is made to be learnt by a small model: each time of day has a palette of its own, each land a composition
//! of its own, objects are large and of steady colours, placements are few and narrow.

pub mod attributes;
mod buildings;
mod canvas;
mod caption;
#[cfg(test)]
mod caption_tests;
mod choices;
mod desert;
mod land;
mod lexicon;
mod noise;
mod objects;
mod palette;
mod peaks;
mod random;
mod sampling;
mod sky;
mod style;
#[cfg(test)]
mod tests;
mod things;
mod town;
mod trees;
mod view;
mod water;
mod weather;
pub mod world;

pub use choices::Choice;
pub use lexicon::words;

use attributes::Attributes;
use canvas::Canvas;
use caption::{Caption, Telling};
use random::Random;
use view::View;

/// One landscape.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Scene {
    /// What it shows. May be changed: the layout stays, as far as it can.
    pub attributes: Attributes,
    /// Where everything stands.
    pub seed: u64,
}

/// The scene of a seed. Attributes that occur at all occur often enough to be learnt from some ten thousand scenes.
pub fn sample(seed: u64) -> Scene {
    Scene { attributes: Attributes::sample(&mut Random::new(seed, 1)), seed }
}

/// A short name for exactly these scenes at this size: what is computed from them does not fit others.
pub fn fingerprint(size: u32) -> String {
    let shown = |seed| {
        let scene = sample(seed);
        let words = scene.describe_fully(0).text.into_bytes();
        words.into_iter().chain(scene.render(size))
    };
    crate::random::fingerprint((0..16).flat_map(shown))
}

impl Scene {
    /// Paints it: `size * size * 3` RGB bytes, rows from the top. Nothing for a size of 0.
    pub fn render(&self, size: u32) -> Vec<u8> {
        if size == 0 {
            return Vec::new();
        }
        let view = View::new(self);
        let mut canvas = Canvas::new(size, view.flat);
        sky::paint(&mut canvas, &view, &mut Random::new(self.seed, 3));
        land::paint(&mut canvas, &view, &mut Random::new(self.seed, 4));
        weather::haze(&mut canvas, &view, &mut Random::new(self.seed, 6));
        objects::paint(&mut canvas, &view, &mut Random::new(self.seed, 5));
        weather::fall(&mut canvas, &view, &mut Random::new(self.seed, 7));
        style::finish(&canvas, self.attributes.style, view.noise)
    }

    /// Says what it shows, in lower case. `variant` chooses the words, their order and what is left out.
    pub fn caption(&self, variant: u64) -> String {
        self.describe(variant).text
    }

    /// The same, with what it tells.
    pub fn describe(&self, variant: u64) -> Caption {
        caption::write(&self.attributes, Telling::Some, &mut Random::new(self.seed, variant.wrapping_add(16)))
    }

    /// A sentence that leaves nothing out for which there is a word: a prompt whose picture can be held to the scene.
    #[allow(dead_code, reason = "for evaluation")]
    pub fn describe_fully(&self, variant: u64) -> Caption {
        caption::write(&self.attributes, Telling::All, &mut Random::new(self.seed, variant.wrapping_add(16)))
    }

    /// [`Scene::caption`] for training: one in sixteen has a word in it that means nothing, so that words which the
    /// world does not know change little in what is drawn.
    #[allow(dead_code, reason = "for training")]
    pub fn training_caption(&self, variant: u64) -> Caption {
        let random = &mut Random::new(self.seed ^ variant.rotate_left(32), 8);
        let mut caption = self.describe(variant);
        if random.chance(1.0 / 16.0) {
            caption.text = caption::distract(&caption.text, random);
            caption.side_left_open = None;
        }
        caption
    }
}

/// Lays pictures of `size * size * 3` RGB bytes out in rows of `columns`, 2 dark pixels between them. The place of a
/// picture of another length stays dark.
pub fn contact_sheet(pictures: &[Vec<u8>], size: u32, columns: u32) -> image::RgbImage {
    const GAP: u32 = 2;
    let columns = columns.clamp(1, (pictures.len() as u32).max(1));
    let rows = (pictures.len() as u32).div_ceil(columns).max(1);
    let length = |count: u32| count * (size + GAP) - GAP;
    let mut sheet = image::RgbImage::from_pixel(length(columns), length(rows), image::Rgb([24, 24, 28]));
    for (index, picture) in (0..).zip(pictures) {
        if let Some(tile) = image::RgbImage::from_raw(size, size, picture.clone()) {
            let (column, row) = (index % columns, index / columns);
            image::imageops::replace(&mut sheet, &tile, (column * (size + GAP)).into(), (row * (size + GAP)).into());
        }
    }
    sheet
}
