//! The land under the sky, one composition for each kind. A new kind gets its arm in `paint`.

use super::attributes::{Land, Object, Season};
use super::canvas::{Canvas, Curve};
use super::colours::{Colour, SAND, SNOW, ground, mix, rgb, trees};
use super::ground::rolling_ground;
use super::layout::Layout;
use super::scene_random::SceneRandom;
use super::{desert, peaks, town, trees as woods, water};

/// Paints land and water.
pub(super) fn paint(canvas: &mut Canvas, layout: &Layout, random: &mut SceneRandom) {
    let (grass, wood) = (ground(layout.attributes.season), far_woods(layout));
    let horizon = layout.horizon;
    match layout.attributes.land {
        Land::Mountains => {
            let height = random.range(0.37, 0.42);
            peaks::mountains(canvas, layout, random, horizon + 0.04, height);
            rolling_ground(canvas, layout, random, [horizon + 0.01, 0.02], wood, 0.22);
            rolling_ground(canvas, layout, random, [horizon + 0.08, 0.02], grass, 0.0);
        }
        Land::Hills => hills(canvas, layout, random, grass, wood),
        Land::Dunes => desert::dunes(canvas, layout, random),
        Land::Sea => sea(canvas, layout, random),
        Land::Lake => {
            let height = random.range(0.34, 0.40);
            peaks::mountains(canvas, layout, random, horizon + 0.01, height);
            // The far shore with its woods.
            rolling_ground(canvas, layout, random, [horizon - 0.035, 0.012], wood, 0.12);
            water::paint(canvas, layout, horizon, &water::LAKE);
            if layout.attributes.object.stands_on_ground() {
                rolling_ground(canvas, layout, random, [0.81, 0.02], grass, 0.0);
            }
        }
        Land::River => {
            peaks::mountains(canvas, layout, random, horizon + 0.03, 0.26);
            rolling_ground(canvas, layout, random, [horizon, 0.02], wood, 0.30);
            rolling_ground(canvas, layout, random, [horizon + 0.05, 0.012], grass, 0.0);
            water::river(canvas, layout, random, horizon + 0.055);
        }
        Land::Forest => woods::forest(canvas, layout, random, grass),
        Land::City => {
            town::city(canvas, layout, random);
            water::paint(canvas, layout, horizon, &water::CITY);
        }
        Land::Village => town::village(canvas, layout, random, grass, wood),
        Land::Canyon => desert::canyon(canvas, layout, random),
        Land::Volcano => peaks::volcano(canvas, layout, random),
    }
}

/// Woods far away: what is seen of trees, or of trees under snow.
fn far_woods(layout: &Layout) -> Colour {
    match layout.attributes.season {
        Season::Winter => mix(trees(Season::Winter), SNOW, 0.35),
        Season::Spring => mix(trees(Season::Spring), rgb(120, 176, 92), 0.55),
        season => trees(season),
    }
}

/// Three rows of hills.
fn hills(canvas: &mut Canvas, layout: &Layout, random: &mut SceneRandom, grass: Colour, wood: Colour) {
    let woody = if layout.winter() { 0.22 } else { 0.30 };
    for (drop, amplitude, woody, haze) in
        [(0.0, 0.075, 1.6 * woody, 0.50), (0.10, 0.075, woody, 0.24), (0.24, 0.055, 0.0, 0.0)]
    {
        rolling_ground(canvas, layout, random, [layout.horizon + drop, amplitude], mix(grass, wood, woody), haze);
    }
}

/// Open water, and a beach for what stands on one.
fn sea(canvas: &mut Canvas, layout: &Layout, random: &mut SceneRandom) {
    water::paint(canvas, layout, layout.horizon, &water::SEA);
    let empty = matches!(layout.attributes.object, Object::Absent | Object::Birds | Object::Balloon);
    let beach = random.chance(0.5);
    if layout.attributes.object.stands_on_ground() || (empty && beach) {
        let shore = Curve::new(random, 2, 2);
        for (drop, colour) in [(0.0, rgb(255, 255, 255)), (0.022, SAND)] {
            let line: Vec<f32> = canvas.centres().map(|x| 0.80 + drop + 0.028 * shore.at(x)).collect();
            canvas.below(&line, 1.0, |x, y, top| {
                let grain = layout.detail * layout.noise.slope(0.8 * x, 2.0 * y);
                layout.surface(colour, 0.95 - 0.8 * (y - top) + 0.16 * grain, 0.0)
            });
        }
    }
}
