//! The land under the sky, one composition for each terrain.

use super::canvas::{Canvas, Curve};
use super::objects::pine;
use super::palette::{Colour, mix, scale, smoothstep};
use super::random::Random;
use super::{Foreground, Season, Terrain, View, city, palette, peaks, water};

/// Paints land and water.
pub(super) fn paint(canvas: &mut Canvas, view: &View, random: &mut Random) {
    let season = view.attributes.season;
    let (grass, wood) = (palette::ground(season), palette::trees(season));
    let horizon = view.horizon;
    match view.attributes.terrain {
        Terrain::Mountains => {
            let height = random.range(0.38, 0.43);
            peaks::mountains(canvas, view, random, horizon + 0.04, height);
            rise(canvas, view, random, horizon + 0.01, 0.02, wood_or_snow(view, wood), 0.22);
            rise(canvas, view, random, horizon + 0.08, 0.02, grass, 0.0);
        }
        Terrain::Hills => {
            let far_woods = if season == Season::Snow { 0.06 } else { 0.22 };
            rise(canvas, view, random, horizon, 0.075, mix(grass, wood, 2.0 * far_woods), 0.50);
            rise(canvas, view, random, horizon + 0.10, 0.075, mix(grass, wood, far_woods), 0.25);
            rise(canvas, view, random, horizon + 0.24, 0.055, grass, 0.0);
        }
        Terrain::Dunes => peaks::dunes(canvas, view, random),
        Terrain::Sea => water::paint(canvas, view, horizon, &water::SEA),
        Terrain::Lake => {
            let height = random.range(0.34, 0.40);
            peaks::mountains(canvas, view, random, horizon + 0.01, height);
            // The far shore with its woods.
            rise(canvas, view, random, horizon - 0.035, 0.012, wood_or_snow(view, wood), 0.12);
            water::paint(canvas, view, horizon, &water::LAKE);
            if matches!(view.attributes.foreground, Foreground::Cabin | Foreground::Pines | Foreground::Tent) {
                rise(canvas, view, random, 0.82, 0.02, grass, 0.0);
            }
        }
        Terrain::Forest => forest(canvas, view, random, grass),
        Terrain::City => {
            city::paint(canvas, view, random);
            water::paint(canvas, view, horizon, &water::CITY);
        }
    }
}

/// Woods, or woods under snow.
fn wood_or_snow(view: &View, wood: Colour) -> Colour {
    if view.attributes.season == Season::Snow { mix(wood, palette::SNOW, 0.35) } else { wood }
}

/// A rolling layer from about `y` down, brightest along its crest.
fn rise(canvas: &mut Canvas, view: &View, random: &mut Random, y: f32, amplitude: f32, albedo: Colour, haze: f32) {
    let curve = Curve::new(random, 2, 3);
    let tops: Vec<f32> = canvas.centres().map(|x| y + amplitude * curve.at(x)).collect();
    let (palette, side, far) = (view.palette, view.side(), view.palette.haze());
    canvas.below(&tops, 1.0, |x, y, top| {
        let shade = 0.82 + 0.20 * side * (x - 0.5) - 0.9 * (y - top).min(0.35);
        let colour = if albedo == palette::SNOW { palette.snow(shade) } else { palette.lit(albedo, shade) };
        mix(colour, far, haze)
    });
}

/// Three rows of firs, the nearest the largest and darkest, and a clearing before them.
fn forest(canvas: &mut Canvas, view: &View, random: &mut Random, grass: Colour) {
    let wood = palette::trees(view.attributes.season);
    rise(canvas, view, random, view.horizon - 0.12, 0.05, wood_or_snow(view, wood), 0.6);
    for (drop, height, count, haze) in [(0.02, 0.26, 11, 0.50), (0.08, 0.34, 9, 0.25), (0.14, 0.42, 7, 0.04)] {
        let base = view.horizon + drop;
        let shift = random.unit();
        for index in 0..count {
            let x = (index as f32 + shift + random.range(-0.2, 0.2)) / count as f32;
            // Lower in the middle, so that the sky comes down between the trees.
            let low = 1.0 - 0.30 * smoothstep(0.35, 0.0, (x - 0.5).abs());
            let tall = height * low * random.range(0.88, 1.08);
            pine(canvas, view, [x, base + 0.02], tall, scale(wood, random.range(0.9, 1.1)), haze);
        }
        rise(canvas, view, random, base, 0.01, grass, haze * 0.7);
    }
}
