//! The land under the sky, one composition for each kind. A new kind gets its arm in `paint`.

use super::attributes::{Land, Object, Season};
use super::canvas::{Canvas, Curve};
use super::palette::{Colour, SAND, SNOW, ground, mix, rgb, trees};
use super::random::Random;
use super::view::View;
use super::{desert, peaks, town, trees as woods, water};

/// Paints land and water.
pub(super) fn paint(canvas: &mut Canvas, view: &View, random: &mut Random) {
    let (grass, wood) = (ground(view.attributes.season), far_woods(view));
    let horizon = view.horizon;
    match view.attributes.land {
        Land::Mountains => {
            let height = random.range(0.37, 0.42);
            peaks::mountains(canvas, view, random, horizon + 0.04, height);
            rise(canvas, view, random, [horizon + 0.01, 0.02], wood, 0.22);
            rise(canvas, view, random, [horizon + 0.08, 0.02], grass, 0.0);
        }
        Land::Hills => hills(canvas, view, random, grass, wood),
        Land::Dunes => desert::dunes(canvas, view, random),
        Land::Sea => sea(canvas, view, random),
        Land::Lake => {
            let height = random.range(0.34, 0.40);
            peaks::mountains(canvas, view, random, horizon + 0.01, height);
            // The far shore with its woods.
            rise(canvas, view, random, [horizon - 0.035, 0.012], wood, 0.12);
            water::paint(canvas, view, horizon, &water::LAKE);
            if view.attributes.object.stands() {
                rise(canvas, view, random, [0.81, 0.02], grass, 0.0);
            }
        }
        Land::River => {
            peaks::mountains(canvas, view, random, horizon + 0.03, 0.26);
            rise(canvas, view, random, [horizon, 0.02], wood, 0.30);
            rise(canvas, view, random, [horizon + 0.05, 0.012], grass, 0.0);
            water::river(canvas, view, random, horizon + 0.055);
        }
        Land::Forest => woods::forest(canvas, view, random, grass),
        Land::City => {
            town::city(canvas, view, random);
            water::paint(canvas, view, horizon, &water::CITY);
        }
        Land::Village => town::village(canvas, view, random, grass, wood),
        Land::Canyon => desert::canyon(canvas, view, random),
        Land::Volcano => peaks::volcano(canvas, view, random),
    }
}

/// A rolling layer from about `y` down, brightest along its crest; `[y, amplitude]`.
pub(super) fn rise(
    canvas: &mut Canvas,
    view: &View,
    random: &mut Random,
    [y, amplitude]: [f32; 2],
    albedo: Colour,
    haze: f32,
) {
    let curve = Curve::new(random, 2, 3);
    let tops: Vec<f32> = canvas.centres().map(|x| y + amplitude * curve.at(x)).collect();
    let side = view.side();
    canvas.below(&tops, 1.0, |x, y, top| {
        // Blades and drifts lie flatter the farther they are.
        let grain = view.detail * view.noise.at(0.5 * x, 1.4 * y);
        let shade = 0.84 + 0.20 * side * (x - 0.5) - 0.9 * (y - top).min(0.35) + 0.13 * grain;
        view.surface(albedo, shade, haze)
    });
}

/// Woods far away: what is seen of trees, or of trees under snow.
fn far_woods(view: &View) -> Colour {
    match view.attributes.season {
        Season::Winter => mix(trees(Season::Winter), SNOW, 0.35),
        Season::Spring => mix(trees(Season::Spring), rgb(120, 176, 92), 0.55),
        season => trees(season),
    }
}

/// Three rows of hills.
fn hills(canvas: &mut Canvas, view: &View, random: &mut Random, grass: Colour, wood: Colour) {
    let woody = if view.winter() { 0.22 } else { 0.30 };
    for (drop, amplitude, woody, haze) in
        [(0.0, 0.075, 1.6 * woody, 0.50), (0.10, 0.075, woody, 0.24), (0.24, 0.055, 0.0, 0.0)]
    {
        rise(canvas, view, random, [view.horizon + drop, amplitude], mix(grass, wood, woody), haze);
    }
}

/// Open water, and a beach for what stands on one.
fn sea(canvas: &mut Canvas, view: &View, random: &mut Random) {
    water::paint(canvas, view, view.horizon, &water::SEA);
    let empty = matches!(view.attributes.object, Object::Absent | Object::Birds | Object::Balloon);
    let beach = random.chance(0.5);
    if view.attributes.object.stands() || (empty && beach) {
        let shore = Curve::new(random, 2, 2);
        for (drop, colour) in [(0.0, rgb(255, 255, 255)), (0.022, SAND)] {
            let line: Vec<f32> = canvas.centres().map(|x| 0.80 + drop + 0.028 * shore.at(x)).collect();
            canvas.below(&line, 1.0, |x, y, top| {
                let grain = view.detail * view.noise.slope(0.8 * x, 2.0 * y);
                view.surface(colour, 0.95 - 0.8 * (y - top) + 0.16 * grain, 0.0)
            });
        }
    }
}
