//! Captioned landscapes, drawn on the spot: the world that the Pocket pair learns.
//!
//! A scene is a seed. From it come its [`Attributes`], its layout and its captions, so that a training set of any size
//! is a range of numbers. Pictures are painted back to front (sky, land, water, the object in front) in coordinates of
//! 0 … 1, so that a scene is the same at every size.
//!
//! The world is made to be learnt by a small model: each time of day has a palette of its own, each terrain a
//! composition of its own, objects are large and of steady colours, and there is no fine texture.

mod attributes;
mod canvas;
mod caption;
mod city;
mod land;
mod lexicon;
mod objects;
mod palette;
mod peaks;
mod random;
mod sky;
#[cfg(test)]
mod tests;
mod water;

pub use attributes::{Attributes, Foreground, Season, SkyObject, Terrain, Time};
pub use lexicon::words;

use canvas::Canvas;
use palette::Palette;
use random::Random;

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

impl Scene {
    /// Paints it: `size * size * 3` RGB bytes, rows from the top. Nothing for a size of 0.
    pub fn render(&self, size: u32) -> Vec<u8> {
        if size == 0 {
            return Vec::new();
        }
        let view = View::new(self);
        let mut canvas = Canvas::new(size);
        sky::paint(&mut canvas, &view, &mut Random::new(self.seed, 3));
        land::paint(&mut canvas, &view, &mut Random::new(self.seed, 4));
        objects::paint(&mut canvas, &view, &mut Random::new(self.seed, 5));
        canvas.into_rgb()
    }

    /// Says what it shows, in lower case. `variant` chooses the words, their order and what is left out.
    pub fn caption(&self, variant: u64) -> String {
        caption::write(&self.attributes, &mut Random::new(self.seed, variant.wrapping_add(16)))
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

/// What all painters need to know of a scene: its attributes, its colours and where the large things are.
struct View<'a> {
    attributes: &'a Attributes,
    palette: Palette,
    /// Where the land begins, from the top.
    horizon: f32,
    /// Where the sun or the moon stands; where neither does, the light still comes from there.
    light: [f32; 2],
}

impl<'a> View<'a> {
    /// Draws the layout of a scene.
    fn new(scene: &'a Scene) -> Self {
        let attributes = &scene.attributes;
        let mut random = Random::new(scene.seed, 2);
        let horizon = random.range(-0.02, 0.02)
            + match attributes.terrain {
                Terrain::Mountains => 0.64,
                Terrain::Hills | Terrain::Dunes => 0.56,
                Terrain::Sea => 0.55,
                Terrain::Lake => 0.60,
                Terrain::Forest => 0.62,
                Terrain::City => 0.70,
            };
        // A low sun needs an open horizon; elsewhere it would be hidden.
        let open = matches!(attributes.terrain, Terrain::Sea | Terrain::Hills | Terrain::Dunes);
        let low = matches!(attributes.time, Time::Dawn | Time::Sunset) && attributes.has(SkyObject::Sun);
        let height = if low && open { horizon - random.range(0.08, 0.20) } else { random.range(0.14, 0.21) };
        Self { attributes, palette: Palette::of(attributes.time), horizon, light: [random.range(0.2, 0.8), height] }
    }

    /// 1 where the light comes from the right, -1 from the left.
    fn side(&self) -> f32 {
        if self.light[0] > 0.5 { 1.0 } else { -1.0 }
    }

    /// Whether the sun or a moon is to be seen.
    fn shines(&self) -> bool {
        [SkyObject::Sun, SkyObject::FullMoon, SkyObject::CrescentMoon]
            .into_iter()
            .any(|object| self.attributes.has(object))
    }
}
