//! What all painters need to know of a scene: its attributes, its colours and where the large things are. Change here
//! where things are placed.

use super::Scene;
use super::attributes::{Attributes, Distance, Land, Light, Object, Season, Side, Style, Time};
use super::canvas::{Point, stairs};
use super::colours::{Colour, Palette, SNOW, mix, smoothstep};
use super::scene_random::SceneRandom;
use super::texture::Texture;

/// A scene's layout.
pub(super) struct Layout<'a> {
    pub attributes: &'a Attributes,
    pub palette: Palette,
    /// Where the land begins, from the top.
    pub horizon: f32,
    /// Where the sun or the moon is. If there is neither, the light still comes from there.
    pub light: Point,
    /// Where the object stands or floats.
    pub object_position: Point,
    /// How large it is: 1 when near.
    pub scale: f32,
    /// Texture, the same for the whole picture.
    pub noise: Texture,
    /// How much texture there is, 0 … 1.
    pub detail: f32,
    /// Whether colours come in flat steps.
    pub flat: bool,
}

/// The middle of the cell that a place is in, of 16 to a side: those of the latents. What is strewn over a picture (stars,
/// flakes, drops, windows) falls on one, so that a latent has to say which of a few things is there, not where exactly.
pub(super) fn cell(place: f32) -> f32 {
    ((place * CELLS).floor() + 0.5) / CELLS
}

/// Cells along a side.
pub(super) const CELLS: f32 = 16.0;

impl<'a> Layout<'a> {
    /// Draws the layout of a scene.
    pub fn new(scene: &'a Scene) -> Self {
        let attributes = &scene.attributes;
        let mut random = SceneRandom::new(scene.seed, 2);
        let horizon = random.range(-0.015, 0.015) + horizon(attributes.land);
        let x = match attributes.side {
            Side::Absent => 0.5 + 0.24 * random.sign(),
            side => across(side),
        } + random.range(-0.025, 0.025);
        let far = attributes.distance == Distance::Far;
        let y = foot(attributes, horizon, far) + random.range(-0.01, 0.01);
        let away = random.range(0.26, 0.33);
        let turn = random.sign();
        // The light keeps clear of the object: across from it where that stands to one side, else to either side.
        let across = match attributes.side {
            Side::Left => 1.0,
            Side::Right => -1.0,
            Side::Centre | Side::Absent => turn,
        };
        // A low sun needs an open horizon; elsewhere it would be hidden.
        let open = matches!(attributes.land, Land::Sea | Land::Hills | Land::Dunes);
        let low = matches!(attributes.time, Time::Dawn | Time::Sunset) && attributes.light == Light::Sun;
        let height = if low && open { horizon - random.range(0.10, 0.18) } else { random.range(0.15, 0.19) };
        let (detail, flat) = match attributes.style {
            Style::Photograph => (1.0, false),
            Style::Watercolour => (0.6, false),
            Style::Poster => (0.0, true),
            Style::Sketch => (0.5, false),
        };
        Self {
            attributes,
            palette: Palette::of(attributes.time, attributes.weather),
            horizon,
            light: [0.5 + across * away, height],
            object_position: [x, y],
            scale: if far { 0.54 } else { 1.0 },
            noise: Texture::new(&mut random),
            detail,
            flat,
        }
    }

    /// 1 if the light comes from the right, -1 if from the left.
    pub fn light_side(&self) -> f32 {
        if self.light[0] > 0.5 { 1.0 } else { -1.0 }
    }

    /// Whether the sun or a moon is visible.
    pub fn light_is_visible(&self) -> bool {
        self.attributes.light != Light::Absent
    }

    /// Whether there is snow.
    pub fn winter(&self) -> bool {
        self.attributes.season == Season::Winter
    }

    /// A brightness of 0 … 1: as it is, or in three steps.
    pub fn tone(&self, shade: f32) -> f32 {
        if self.flat { stairs(shade.clamp(0.0, 1.0), 3.0, 0.03) } else { shade.clamp(0.0, 1.0) }
    }

    /// The ground or a wall: `albedo` in light or shadow, behind `haze` (0 … 1).
    pub fn surface(&self, albedo: Colour, shade: f32, haze: f32) -> Colour {
        let shade = self.tone(shade);
        let near = if albedo == SNOW { self.palette.snow(shade) } else { self.palette.lit(albedo, shade) };
        mix(near, self.palette.haze(), haze)
    }

    /// A soft border at `low` … `high`; a hard one on flat pictures.
    pub fn border(&self, low: f32, high: f32, value: f32) -> f32 {
        if self.flat {
            let (middle, half) = (0.5 * (low + high), 0.004 * (high - low).signum());
            smoothstep(middle - half, middle + half, value)
        } else {
            smoothstep(low, high, value)
        }
    }
}

/// Where across the picture the sides are.
pub(super) fn across(side: Side) -> f32 {
    match side {
        Side::Left => 0.26,
        Side::Centre | Side::Absent => 0.5,
        Side::Right => 0.74,
    }
}

fn horizon(land: Land) -> f32 {
    match land {
        Land::Mountains | Land::Canyon => 0.66,
        Land::Hills | Land::Dunes => 0.56,
        Land::Sea => 0.55,
        Land::Lake | Land::Village => 0.60,
        Land::River => 0.50,
        Land::Forest => 0.62,
        Land::City => 0.68,
        Land::Volcano => 0.72,
    }
}

/// The height at which an object stands, or floats.
fn foot(attributes: &Attributes, horizon: f32, far: bool) -> f32 {
    match (attributes.object, attributes.land) {
        (Object::Balloon, _) if far => 0.24,
        (Object::Balloon, _) => 0.34,
        (Object::Birds, _) => 0.27,
        (Object::Sailboat, Land::City) => horizon + if far { 0.09 } else { 0.22 },
        (Object::Sailboat, _) => horizon + if far { 0.09 } else { 0.27 },
        (Object::Lighthouse, Land::Sea) => horizon + if far { 0.06 } else { 0.21 },
        (_, Land::Hills | Land::Dunes) if far => 0.73,
        (_, Land::River) if far => 0.66,
        (_, Land::Volcano) if far => 0.82,
        _ if far => 0.78,
        _ => 0.90,
    }
}
