//! A skyline.

use super::canvas::Canvas;
use super::palette::{LAMP, mix, rgb};
use super::random::Random;
use super::{Season, Time, View};

/// Height and pitch of the windows: few and large, so that they can be learnt.
const WINDOW: [f32; 2] = [0.026, 0.030];
const STOREY: f32 = 0.056;

/// A pale row of towers and a near one with windows, highest in the middle; both stand on the horizon.
pub(super) fn paint(canvas: &mut Canvas, view: &View, random: &mut Random) {
    let peak = random.range(0.35, 0.65);
    for _ in 0..7 {
        let (x, half) = (random.range(0.02, 0.98), random.range(0.045, 0.07));
        let height = random.range(0.26, 0.36) * crown(x, peak) + 0.06;
        tower(canvas, view, random, [x, height, half], 0.55);
    }
    let mut left = random.range(-0.08, 0.0);
    while left < 1.0 {
        let half = random.pick(&[0.055, 0.068, 0.081]);
        let x = left + half;
        let height = random.range(0.22, 0.36) * crown(x, peak) + 0.04;
        tower(canvas, view, random, [x, height, half], 0.0);
        left += 2.0 * half + random.range(0.0, 0.015);
    }
}

/// 1 in the middle of town, less outside.
fn crown(x: f32, peak: f32) -> f32 {
    1.12 - 1.1 * (x - peak).abs()
}

/// One tower `[x, height, half width]`; only near ones (`haze` 0) have windows.
fn tower(canvas: &mut Canvas, view: &View, random: &mut Random, [x, height, half]: [f32; 3], haze: f32) {
    let (top, bottom) = (view.horizon - height, view.horizon + 0.01);
    let wall = mix(rgb(140, 146, 170), rgb(190, 160, 146), random.unit());
    let (palette, side, far) = (view.palette, view.side(), view.palette.haze());
    let night = matches!(view.attributes.time, Time::Night | Time::Aurora);
    let darker = if night { 0.15 } else { 0.35 };
    canvas.convex(&[[x - half, top], [x + half, top], [x + half, bottom], [x - half, bottom]], 1.0, |px, _| {
        let shade = darker + 0.22 * side * (px - x) / half;
        mix(palette.lit(wall, shade), far, haze)
    });
    if view.attributes.season == Season::Snow {
        let snow = mix(palette.snow(0.85), far, haze * 0.6);
        let thick = 0.018;
        let roof = [[x - half, top - thick], [x + half, top - thick], [x + half, top + 0.006], [x - half, top + 0.006]];
        canvas.convex(&roof, 1.0, |_, _| snow);
    }
    if haze > 0.0 {
        return;
    }
    let columns = if half > 0.06 { 3 } else { 2 };
    let rows = ((height - 0.03) / STOREY) as u32;
    let share = match view.attributes.time {
        Time::Noon => 1.0,
        Time::Dawn => 0.5,
        Time::Sunset => 0.65,
        Time::Night | Time::Aurora => 0.75,
    };
    let glass = if view.palette.lamps { LAMP } else { rgb(196, 228, 250) };
    for row in 0..rows {
        for column in 0..columns {
            let lit = random.chance(share);
            let colour = if lit { glass } else { palette.lit(rgb(90, 96, 120), darker) };
            let wx = x + (column as f32 + 0.5 - columns as f32 / 2.0) * 2.0 * half / columns as f32 * 0.92;
            let wy = top + 0.034 + row as f32 * STOREY;
            let [w, h] = [WINDOW[0] / 2.0, WINDOW[1] / 2.0];
            canvas
                .convex(&[[wx - w, wy - h], [wx + w, wy - h], [wx + w, wy + h], [wx - w, wy + h]], 1.0, |_, _| colour);
        }
    }
}
