//! Rolling ground, which every land and what stands in it is painted on. Change here how ground is shaded.

use super::canvas::{Canvas, Curve};
use super::colours::Colour;
use super::layout::Layout;
use super::scene_random::SceneRandom;

/// A layer from about `y` down with a rolling crest, along which it is brightest; the numbers are `[y, amplitude]`.
pub(super) fn rolling_ground(
    canvas: &mut Canvas,
    layout: &Layout,
    random: &mut SceneRandom,
    [y, amplitude]: [f32; 2],
    albedo: Colour,
    haze: f32,
) {
    let curve = Curve::new(random, 2, 3);
    let tops: Vec<f32> = canvas.centres().map(|x| y + amplitude * curve.at(x)).collect();
    let side = layout.light_side();
    canvas.below(&tops, 1.0, |x, y, top| {
        // Blades and drifts lie flatter the farther they are.
        let grain = layout.detail * layout.noise.at(0.5 * x, 1.4 * y);
        let shade = 0.84 + 0.20 * side * (x - 0.5) - 0.9 * (y - top).min(0.35) + 0.13 * grain;
        layout.surface(albedo, shade, haze)
    });
}
