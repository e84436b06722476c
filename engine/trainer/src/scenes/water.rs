//! Water that mirrors what stands above it, and the river. How a kind of water looks is data.

use super::attributes::Side;
use super::canvas::{Canvas, stairs};
use super::colours::{Colour, mix, smoothstep};
use super::layout::Layout;
use super::scene_random::SceneRandom;

/// How a kind of water looks.
pub(super) struct Water {
    /// How much of the water's own colour there is at the far shore, and how much more at the lower edge.
    tint: [f32; 2],
    /// How far ripples shift the mirrored picture at the lower edge.
    ripple: f32,
    /// How bright the crests of the waves are.
    crest: f32,
    /// How bright the path of the sun or moon is.
    path: f32,
}

/// Open water.
pub(super) const SEA: Water = Water { tint: [0.45, 0.45], ripple: 0.02, crest: 0.16, path: 0.75 };
/// A still lake.
pub(super) const LAKE: Water = Water { tint: [0.16, 0.36], ripple: 0.014, crest: 0.04, path: 0.35 };
/// A harbour.
pub(super) const CITY: Water = Water { tint: [0.30, 0.35], ripple: 0.008, crest: 0.05, path: 0.35 };

/// Fills everything below `line`.
pub(super) fn paint(canvas: &mut Canvas, layout: &Layout, line: f32, water: &Water) {
    let (palette, light) = (layout.palette, layout.light[0]);
    let path = if layout.light_is_visible() { water.path } else { 0.0 };
    canvas.mirror(line, |x, y, above| {
        let depth = (y - line) / (1.0 - line);
        let wave = waves(layout, x, depth);
        let mirrored = above(x + water.ripple * (0.15 + depth) * wave, line - (y - line) * 0.95);
        let deep = if layout.flat { stairs(depth, 4.0, 0.03) } else { depth };
        let mut colour = mix(mirrored, palette.water, water.tint[0] + water.tint[1] * deep);
        let crest = layout.border(0.2, 1.0, wave) * (0.3 + depth);
        colour = mix(colour, palette.light, water.crest * crest);
        if path > 0.0 {
            let out = (x - light) / (0.035 + 0.11 * depth);
            let near = 1.0 / (1.0 + out * out);
            let sparkle = near * near * (0.55 + 0.45 * wave);
            colour = mix(colour, palette.glow, path * if layout.flat { stairs(sparkle, 2.0, 0.08) } else { sparkle });
        }
        // A bright line where the water begins.
        mix(colour, palette.haze(), 0.35 * smoothstep(0.04, 0.0, depth))
    });
}

/// A river that comes from `line` in two bends and widens to the lower edge.
pub(super) fn river(canvas: &mut Canvas, layout: &Layout, random: &mut SceneRandom, line: f32) {
    let (turn, start) = (random.sign(), random.range(0.42, 0.58));
    // It leaves the picture on the side where nothing stands.
    let standing = layout.attributes.object.stands_on_ground() && layout.attributes.side != Side::Absent;
    let turn = if standing { (0.5 - layout.object_position[0]).signum() } else { turn };
    let (swing, leave) = (random.range(0.16, 0.21), if standing { 0.16 * turn } else { 0.0 });
    let palette = layout.palette;
    let course = move |depth: f32| {
        let bend = (1.15 * std::f32::consts::TAU * depth.powf(0.55)).sin();
        let middle =
            start + turn * swing * bend * (0.30 + 0.55 * depth) + (0.5 - start) * depth + leave * depth * depth;
        (middle, 0.012 + 0.23 * depth.powf(1.35))
    };
    let edge = canvas.edge();
    // The bank first, a little wider, in the colour of wet earth.
    for (wider, bank) in [(1.0, true), (0.0, false)] {
        canvas.shape([0.0, line, 1.0, 1.0], |x, y| {
            let depth = (y - line) / (1.0 - line);
            let (middle, half) = course(depth);
            let half = half + wider * (0.004 + 0.018 * depth);
            // Across a bend the distance is shorter than along the row.
            let cover = edge.cover(0.75 * ((x - middle).abs() - half)) * edge.cover(line - y);
            if cover <= 0.0 {
                return (palette.water, 0.0);
            }
            if bank {
                return (palette.lit([0.52, 0.44, 0.34], 0.55), 0.75 * cover);
            }
            (flowing(layout, x, depth), cover)
        });
    }
}

/// What a river shows of the sky.
fn flowing(layout: &Layout, x: f32, depth: f32) -> Colour {
    let palette = layout.palette;
    let deep = if layout.flat { stairs(depth, 3.0, 0.03) } else { depth };
    let sky = mix(mix(palette.sky[2], palette.sky[1], smoothstep(0.0, 0.5, deep)), palette.sky[0], 0.55 * deep);
    let wave = waves(layout, x, depth);
    let water = mix(sky, palette.water, 0.30 + 0.20 * deep);
    mix(water, palette.light, 0.22 * layout.border(0.35, 1.0, wave) * (0.4 + depth))
}

/// -1 … 1: waves that come closer together towards the horizon.
fn waves(layout: &Layout, x: f32, depth: f32) -> f32 {
    let phase = 26.0 * depth.sqrt() + 1.6 * layout.detail * layout.noise.at(0.5 * x, 0.8 * depth);
    (phase + 5.0 * x).sin() * 0.6 + (0.7 * phase - 9.0 * x).sin() * 0.4
}
