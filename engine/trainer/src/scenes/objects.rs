//! The scene's one object. Which painter draws it is decided here; where it stands, in `view`.

use super::attributes::{Land, Object, Season, Time};
use super::canvas::Canvas;
use super::palette::trees as tree_colour;
use super::random::Random;
use super::view::View;
use super::{buildings, things, trees};

/// Paints it.
pub(super) fn paint(canvas: &mut Canvas, view: &View, random: &mut Random) {
    let ([x, y], scale) = (view.spot, view.scale);
    match view.attributes.object {
        Object::Absent => {}
        Object::Cabin => buildings::cabin(canvas, view),
        Object::Lighthouse => {
            if view.attributes.land == Land::Sea {
                buildings::islet(canvas, view, random);
            }
            buildings::lighthouse(canvas, view);
        }
        Object::Windmill => buildings::windmill(canvas, view, random),
        Object::Bridge => buildings::bridge(canvas, view),
        Object::Sailboat => things::sailboat(canvas, view),
        Object::Tent => things::tent(canvas, view),
        Object::Campfire => things::campfire(canvas, view),
        Object::Flowers => things::flowers(canvas, view, random),
        Object::Balloon => things::balloon(canvas, view),
        Object::Birds => things::birds(canvas, view, random),
        Object::Palm => {
            let lean = random.sign();
            trees::palm(canvas, view, [x - 0.13 * lean * scale, y + 0.01], 0.34 * scale, -lean);
            trees::palm(canvas, view, [x, y + 0.02], 0.56 * scale, lean);
        }
        Object::Pines => {
            let turn = random.sign();
            // Firs stay green under blossoms and among yellow leaves.
            let season = if view.winter() { Season::Winter } else { Season::Summer };
            for (dx, height, drop) in [(0.15, 0.36, -0.02), (-0.15, 0.40, 0.0), (0.01, 0.54, 0.03)] {
                let foot = [x + turn * dx * scale, y + drop * scale];
                let height = height * scale * random.range(0.95, 1.05);
                trees::pine(canvas, view, foot, height, tree_colour(season), 0.0);
            }
        }
    }
}

/// Whether lamps burn inside tents: only by night, when windows are already lit.
pub(super) fn lantern(view: &View) -> bool {
    matches!(view.attributes.time, Time::Night | Time::Aurora)
}
