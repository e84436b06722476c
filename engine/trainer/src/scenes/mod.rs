//! Captioned landscapes, rendered on the spot: the training data of the Pocket pair.
//!
//! A scene is a seed. Its [`Attributes`], its layout and its captions follow from it, so that a training set of any size
//! is a range of numbers. Pictures are painted back to front (sky, land, water, the object in front, rain or snow) in
//! coordinates of 0 … 1, so that a scene looks the same at every size. Then `style` turns the picture into a photograph,
//! a watercolour, a poster or a sketch.
//!
//! The scenes are made so that a small model can learn them: each time of day has its own palette and each land its own
//! composition, objects are large and keep their colours, and placements are few and narrow.
//!
//! Change here what a scene is and which parts it is painted from.

pub mod attributes;
mod buildings;
mod canvas;
mod caption;
#[cfg(test)]
mod caption_tests;
mod colours;
mod desert;
mod ground;
mod land;
mod layout;
mod lexicon;
mod objects;
mod peaks;
mod placement;
mod sampling;
mod scene_random;
#[cfg(test)]
mod scene_tests;
mod sky;
mod small_objects;
mod style;
mod synonyms;
mod texture;
mod town;
mod trees;
pub mod vocabulary_json;
mod water;
mod weather;

pub use lexicon::words;
pub use placement::OpenPlacement;

use attributes::Attributes;
use canvas::Canvas;
use caption::{Caption, Detail};
use layout::Layout;
use scene_random::SceneRandom;

/// One landscape.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Scene {
    /// What it shows. May be changed: the layout stays, as far as it can.
    pub attributes: Attributes,
    /// Where everything stands.
    pub seed: u64,
}

/// The scene of a seed. Every attribute occurs often enough to be learnt from some ten thousand scenes.
pub fn sample(seed: u64) -> Scene {
    Scene { attributes: Attributes::sample(&mut SceneRandom::new(seed, 1)), seed }
}

/// A short name for exactly these scenes at this size. What is computed from them is kept under it.
pub fn fingerprint(size: u32) -> String {
    let shown = |seed| {
        let scene = sample(seed);
        let words = scene.describe_fully(0).text.into_bytes();
        words.into_iter().chain(scene.render(size))
    };
    crate::seeded_random::fingerprint((0..16).flat_map(shown))
}

impl Scene {
    /// Paints it: `size * size * 3` RGB bytes, rows from the top. Nothing for a size of 0.
    pub fn render(&self, size: u32) -> Vec<u8> {
        if size == 0 {
            return Vec::new();
        }
        let layout = Layout::new(self);
        let mut canvas = Canvas::new(size, layout.flat);
        sky::paint(&mut canvas, &layout, &mut SceneRandom::new(self.seed, 3));
        land::paint(&mut canvas, &layout, &mut SceneRandom::new(self.seed, 4));
        weather::haze(&mut canvas, &layout, &mut SceneRandom::new(self.seed, 6));
        objects::paint(&mut canvas, &layout, &mut SceneRandom::new(self.seed, 5));
        weather::fall(&mut canvas, &layout, &mut SceneRandom::new(self.seed, 7));
        style::finish(&canvas, self.attributes.style, layout.noise)
    }

    /// A caption in lower case. `variant` chooses the words, their order and what is left out.
    pub fn caption(&self, variant: u64) -> String {
        self.describe(variant).text
    }

    /// The same caption, with what it mentions.
    pub fn describe(&self, variant: u64) -> Caption {
        caption::write(&self.attributes, Detail::Sampled, &mut SceneRandom::new(self.seed, variant.wrapping_add(16)))
    }

    /// A caption that leaves out nothing for which there is a word, so that a picture of it can be compared with the scene.
    pub fn describe_fully(&self, variant: u64) -> Caption {
        caption::write(&self.attributes, Detail::Full, &mut SceneRandom::new(self.seed, variant.wrapping_add(16)))
    }

    /// [`Scene::describe`] for training. One caption in sixteen contains a made-up word, so that unknown words in prompts
    /// change little in what is drawn.
    pub fn training_caption(&self, variant: u64) -> Caption {
        let random = &mut SceneRandom::new(self.seed ^ variant.rotate_left(32), 8);
        let mut caption = self.describe(variant);
        if random.chance(1.0 / 16.0) {
            caption.text = caption::insert_made_up_word(&caption.text, random);
            caption.side_left_open = None;
        }
        caption
    }
}

/// Lays out pictures of `size * size * 3` RGB bytes in rows of `columns`, with 2 dark pixels between them. The place of a
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
