//! A skyline and a village: lands that were built.

use super::attributes::Time;
use super::canvas::{Canvas, Point};
use super::colours::{Colour, LAMP, mix, rgb, scale};
use super::ground::rolling_ground;
use super::layout::{CELLS, Layout};
use super::scene_random::SceneRandom;
use super::trees::rectangle;

/// Width and height of the towers' windows: few and large, so that they can be learnt.
const WINDOW: [f32; 2] = [0.028, 0.034];

/// A pale row of towers and a near one with windows, highest in the middle; both stand on the horizon.
pub(super) fn city(canvas: &mut Canvas, layout: &Layout, random: &mut SceneRandom) {
    let peak = random.range(0.38, 0.62);
    for index in 0..7 {
        let x = (index as f32 + random.range(0.2, 0.8)) / 7.0;
        let height = random.range(0.27, 0.36) * crown(x, peak) + 0.06;
        let half = random.range(0.045, 0.065);
        tower(canvas, layout, random, [x, height, half], 0.55);
    }
    // Near towers are whole cells wide and high, a window in each.
    let mut left = random.pick(&[-2.0, -1.0, 0.0]);
    while left < CELLS {
        let cells = random.pick(&[2.0, 2.0, 3.0]);
        let half = 0.5 * cells / CELLS;
        let x = left / CELLS + half;
        let height = random.range(0.24, 0.38) * crown(x, peak) + 0.04;
        let top = ((layout.horizon - height) * CELLS).round() / CELLS;
        tower(canvas, layout, random, [x, layout.horizon - top, half - 0.003], 0.0);
        left += cells;
    }
}

/// 1 in the middle of town, less outside.
fn crown(x: f32, peak: f32) -> f32 {
    1.12 - 1.1 * (x - peak).abs()
}

/// One tower `[x, height, half width]`; only near ones (`haze` 0) have windows.
fn tower(canvas: &mut Canvas, layout: &Layout, random: &mut SceneRandom, [x, height, half]: [f32; 3], haze: f32) {
    let (top, bottom) = (layout.horizon - height, layout.horizon + 0.01);
    let wall = mix(rgb(132, 142, 176), rgb(198, 160, 142), random.unit());
    let side = layout.light_side();
    let darker = if layout.palette.dark { 0.12 } else { 0.38 };
    canvas.convex(&rectangle([x - half, top, x + half, bottom]), 1.0, |px, _| {
        layout.surface(wall, darker + 0.24 * side * (px - x) / half, haze)
    });
    let roof = layout.surface(wall, darker + 0.1, haze);
    // A flat roof, a spire or a slanted one.
    match random.pick(&[0, 0, 1, 2]) {
        1 => canvas.convex(&[[x - 0.6 * half, top], [x, top - 1.3 * half], [x + 0.6 * half, top]], 1.0, |_, _| roof),
        2 => canvas.convex(&[[x - half, top], [x + half * side, top - 0.7 * half], [x + half, top]], 1.0, |_, _| roof),
        _ => {}
    }
    if layout.winter() {
        let snow = mix(layout.palette.snow(0.85), layout.palette.haze(), haze * 0.6);
        canvas.convex(&rectangle([x - half, top - 0.018, x + half, top + 0.006]), 1.0, |_, _| snow);
    }
    if haze > 0.0 {
        return;
    }
    let columns = (2.0 * half * CELLS).round() as u32;
    let rows = (height * CELLS) as u32;
    let share = match layout.attributes.time {
        Time::Noon | Time::Golden => 1.0,
        Time::Dawn => 0.5,
        Time::Sunset => 0.65,
        Time::Night | Time::Aurora => 0.75,
    };
    let glass = if layout.palette.lamps { LAMP } else { layout.palette.lit(rgb(206, 232, 252), 0.95) };
    let blind = layout.palette.lit(rgb(90, 96, 120), darker);
    for row in 0..rows {
        for column in 0..columns {
            let colour = if random.chance(share) { glass } else { blind };
            let wx = x + (column as f32 + 0.5 - columns as f32 / 2.0) / CELLS;
            let wy = top + (row as f32 + 0.5) / CELLS;
            let [w, h] = [WINDOW[0] / 2.0, WINDOW[1] / 2.0];
            canvas.convex(&rectangle([wx - w, wy - h, wx + w, wy + h]), 1.0, |_, _| colour);
        }
    }
}

/// Two rows of houses on a slope around a church, before wooded hills.
pub(super) fn village(canvas: &mut Canvas, layout: &Layout, random: &mut SceneRandom, grass: Colour, wood: Colour) {
    let line = layout.horizon;
    rolling_ground(canvas, layout, random, [line - 0.14, 0.06], mix(grass, wood, 0.5), 0.50);
    rolling_ground(canvas, layout, random, [line - 0.04, 0.03], mix(grass, wood, 0.35), 0.25);
    let church = random.range(0.40, 0.60);
    let shift = random.range(0.0, 0.06);
    for index in 0..5 {
        let x = 0.04 + 0.22 * index as f32 + shift + random.range(-0.02, 0.02);
        house(canvas, layout, random, [x, line + 0.035], 0.078);
    }
    steeple(canvas, layout, [church, line + 0.06]);
    rolling_ground(canvas, layout, random, [line + 0.035, 0.01], grass, 0.10);
    for index in 0..4 {
        let x = -0.02 + 0.29 * index as f32 + shift + random.range(-0.02, 0.02);
        house(canvas, layout, random, [x, line + 0.15], 0.105);
    }
    rolling_ground(canvas, layout, random, [line + 0.145, 0.012], grass, 0.0);
}

/// A house with a pitched roof, half as wide as `half` twice.
fn house(canvas: &mut Canvas, layout: &Layout, random: &mut SceneRandom, [x, base]: Point, half: f32) {
    let wall = random.pick(&[rgb(250, 240, 220), rgb(244, 214, 160), rgb(232, 224, 226)]);
    let tile = random.pick(&[rgb(196, 80, 56), rgb(172, 64, 56), rgb(206, 112, 66)]);
    let side = layout.light_side();
    let eaves = base - 0.95 * half;
    canvas.convex(&rectangle([x - half, eaves, x + half, base]), 1.0, |px, _| {
        layout.surface(wall, 0.66 + 0.3 * side * (px - x) / half, 0.06)
    });
    let roof = [
        [x - 1.18 * half, eaves],
        [x - 0.62 * half, eaves - 0.72 * half],
        [x + 0.62 * half, eaves - 0.72 * half],
        [x + 1.18 * half, eaves],
    ];
    canvas.convex(&roof, 1.0, |px, _| {
        let shade = 0.70 + 0.24 * side * (px - x) / half;
        if layout.winter() { layout.palette.snow(layout.tone(shade)) } else { layout.surface(tile, shade, 0.06) }
    });
    let pane = if layout.palette.lamps { LAMP } else { layout.palette.lit(rgb(112, 150, 190), 0.9) };
    for offset in [-0.48, 0.48] {
        let (wx, wy) = (x + offset * half, base - 0.52 * half);
        canvas.convex(
            &rectangle([wx - 0.19 * half, wy - 0.22 * half, wx + 0.19 * half, wy + 0.22 * half]),
            1.0,
            |_, _| pane,
        );
    }
}

/// A church tower with a pointed roof.
fn steeple(canvas: &mut Canvas, layout: &Layout, [x, base]: Point) {
    let side = layout.light_side();
    let (half, top) = (0.046, base - 0.23);
    canvas.convex(&rectangle([x - half, top, x + half, base]), 1.0, |px, _| {
        layout.surface(rgb(250, 244, 232), 0.66 + 0.3 * side * (px - x) / half, 0.04)
    });
    canvas.convex(&[[x - 1.3 * half, top], [x, top - 0.15], [x + 1.3 * half, top]], 1.0, |px, _| {
        layout.surface(rgb(92, 104, 132), 0.6 + 0.35 * side * (px - x) / half, 0.04)
    });
    let pane = if layout.palette.lamps { LAMP } else { scale(layout.palette.lit(rgb(90, 96, 120), 0.7), 0.9) };
    canvas.convex(&rectangle([x - 0.014, top + 0.035, x + 0.014, top + 0.085]), 1.0, |_, _| pane);
}
