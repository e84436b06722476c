//! The scene's one object. Change here which painter draws it; where it stands is in `layout`.

use super::attributes::{Land, Object, Season};
use super::canvas::Canvas;
use super::colours::trees as tree_colour;
use super::layout::Layout;
use super::scene_random::SceneRandom;
use super::{buildings, small_objects, trees};

/// Paints it.
pub(super) fn paint(canvas: &mut Canvas, layout: &Layout, random: &mut SceneRandom) {
    let ([x, y], scale) = (layout.object_position, layout.scale);
    match layout.attributes.object {
        Object::Absent => {}
        Object::Cabin => buildings::cabin(canvas, layout),
        Object::Lighthouse => {
            if layout.attributes.land == Land::Sea {
                buildings::islet(canvas, layout, random);
            }
            buildings::lighthouse(canvas, layout);
        }
        Object::Windmill => buildings::windmill(canvas, layout, random),
        Object::Bridge => buildings::bridge(canvas, layout),
        Object::Sailboat => small_objects::sailboat(canvas, layout),
        Object::Tent => small_objects::tent(canvas, layout),
        Object::Campfire => small_objects::campfire(canvas, layout),
        Object::Flowers => small_objects::flowers(canvas, layout, random),
        Object::Balloon => small_objects::balloon(canvas, layout),
        Object::Birds => small_objects::birds(canvas, layout, random),
        Object::Palm => {
            let lean = random.sign();
            trees::palm(canvas, layout, [x - 0.13 * lean * scale, y + 0.01], 0.34 * scale, -lean);
            trees::palm(canvas, layout, [x, y + 0.02], 0.56 * scale, lean);
        }
        Object::Pines => {
            let turn = random.sign();
            // Firs stay green under blossoms and among yellow leaves.
            let season = if layout.winter() { Season::Winter } else { Season::Summer };
            for (dx, height, drop) in [(0.15, 0.36, -0.02), (-0.15, 0.40, 0.0), (0.01, 0.54, 0.03)] {
                let foot = [x + turn * dx * scale, y + drop * scale];
                let height = height * scale * random.range(0.95, 1.05);
                trees::pine(canvas, layout, foot, height, tree_colour(season), 0.0);
            }
        }
    }
}
