//! Water that mirrors what stands above it.

use super::View;
use super::canvas::Canvas;
use super::palette::{mix, smoothstep};

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
pub(super) const SEA: Water = Water { tint: [0.45, 0.45], ripple: 0.02, crest: 0.12, path: 0.75 };
/// A still lake.
pub(super) const LAKE: Water = Water { tint: [0.18, 0.40], ripple: 0.014, crest: 0.03, path: 0.35 };
/// A river through a town.
pub(super) const CITY: Water = Water { tint: [0.35, 0.35], ripple: 0.008, crest: 0.04, path: 0.35 };

/// Fills everything below `line`.
pub(super) fn paint(canvas: &mut Canvas, view: &View, line: f32, water: &Water) {
    let (palette, light) = (view.palette, view.light[0]);
    let path = if view.shines() { water.path } else { 0.0 };
    canvas.mirror(line, |x, y, above| {
        let depth = (y - line) / (1.0 - line);
        // Waves come closer together towards the horizon.
        let phase = 34.0 * depth.sqrt();
        let wave = (phase + 5.0 * x).sin() * 0.6 + (0.7 * phase - 9.0 * x).sin() * 0.4;
        let mirrored = above(x + water.ripple * (0.15 + depth) * wave, line - (y - line) * 0.95);
        let mut colour = mix(mirrored, palette.water, water.tint[0] + water.tint[1] * depth);
        colour = mix(colour, palette.light, water.crest * smoothstep(0.2, 1.0, wave) * (0.3 + depth));
        if path > 0.0 {
            let out = (x - light) / (0.035 + 0.11 * depth);
            let near = 1.0 / (1.0 + out * out);
            colour = mix(colour, palette.glow, path * near * near * (0.55 + 0.45 * wave));
        }
        // A bright line where the water begins.
        mix(colour, palette.haze(), 0.35 * smoothstep(0.04, 0.0, depth))
    });
}
