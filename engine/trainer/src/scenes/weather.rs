//! Clouds, rainbow, fog, rain and snow: what a new weather paints, before the land or over everything.

use super::attributes::{Land, Weather};
use super::canvas::{Canvas, Edge, Point};
use super::colours::{Colour, grey, mix, rgb, scale, smoothstep};
use super::layout::{CELLS, Layout, cell};
use super::scene_random::SceneRandom;

/// Banks of fog before the land and behind the object; nothing in other weather.
pub(super) fn haze(canvas: &mut Canvas, layout: &Layout, random: &mut SceneRandom) {
    if layout.attributes.weather != Weather::Fog {
        return;
    }
    let fog = mix(layout.palette.haze(), grey(layout.palette.sky[2]), 0.25);
    let shift = random.unit();
    let line = layout.horizon;
    canvas.tint([0.0, 0.0, 1.0, 1.0], |x, y| {
        // Thickest where the land begins, thinning to the viewer; above, the peaks look out.
        let rise = smoothstep(line - 0.30, line + 0.02, y);
        let fall = 1.0 - 0.75 * smoothstep(line + 0.05, 1.0, y);
        let bank = 0.16 * layout.detail * layout.noise.at(0.35 * x + shift, 1.4 * y);
        let veil = 0.56 * rise * fall + bank * rise;
        let veil = if layout.flat { super::canvas::stairs(veil, 4.0, 0.05) } else { veil };
        (fog, veil.clamp(0.0, 0.8))
    });
}

/// Rain or snow over everything; nothing in other weather.
pub(super) fn fall(canvas: &mut Canvas, layout: &Layout, random: &mut SceneRandom) {
    match layout.attributes.weather {
        Weather::Rain => rain(canvas, layout, random),
        Weather::Snowfall => flakes(canvas, layout, random),
        _ => {}
    }
}

/// Slanting streaks, one in each field of a loose grid; all alike, so that they are quickly learnt.
fn rain(canvas: &mut Canvas, layout: &Layout, random: &mut SceneRandom) {
    let bright = mix(layout.palette.sky[2], [1.0; 3], if layout.palette.dark { 0.35 } else { 0.70 });
    for field in 0..64 {
        let x = cell(((field % 8) as f32 + random.unit()) / 8.0);
        let y = cell(((field / 8) as f32 + random.unit()) / 8.0);
        let (length, half) = (0.09, 0.0038);
        let foot = [x - 0.30 * length, y + length];
        let corners = [[x - half, y], [x + half, y], [foot[0] + half, foot[1]], [foot[0] - half, foot[1]]];
        canvas.streak(&corners, 0.55, bright);
    }
}

/// Large soft flakes.
fn flakes(canvas: &mut Canvas, layout: &Layout, random: &mut SceneRandom) {
    let white = if layout.palette.dark { rgb(222, 230, 250) } else { rgb(255, 255, 255) };
    let side = CELLS as u32;
    for place in 0..side * side {
        let [x, y] = [place % side, place / side].map(|index| (index as f32 + 0.5) / CELLS);
        if random.chance(0.70) {
            continue;
        }
        let radius = random.pick(&[0.010, 0.014]);
        canvas.spark([x, y], radius, white);
    }
}

/// A bow that stands on the land, red outside.
pub(super) fn rainbow(canvas: &mut Canvas, layout: &Layout, random: &mut SceneRandom) {
    const BANDS: [Colour; 6] = [
        rgb(150, 90, 220),
        rgb(70, 130, 240),
        rgb(80, 210, 120),
        rgb(250, 230, 80),
        rgb(255, 160, 60),
        rgb(240, 70, 70),
    ];
    let (cx, cy) = (random.range(0.42, 0.58), layout.horizon + 0.04);
    // High enough to be seen over the roofs, low enough to end in the picture.
    let over = if layout.attributes.land == Land::City { 0.07 } else { 0.2 * (layout.horizon - 0.6).min(0.0) };
    let (radius, width) = (random.range(0.36, 0.40) + over, 0.10);
    let edge: Edge = canvas.edge();
    canvas.tint([0.0, 0.0, 1.0, layout.horizon + 0.05], |x, y| {
        let distance = (x - cx).hypot(y - cy) - radius;
        let across = distance / width;
        if !(-0.15..=1.15).contains(&across) {
            return (BANDS[0], 0.0);
        }
        let band = (across * 6.0 - 0.5).clamp(0.0, 4.999);
        let (index, part) = (band as usize, band.fract());
        if layout.flat {
            let cover = edge.cover(-distance) * edge.cover(distance - width);
            return (mix(BANDS[index], BANDS[index + 1], smoothstep(0.4, 0.6, part)), 0.85 * cover);
        }
        let soft = smoothstep(-0.15, 0.1, across) * smoothstep(1.15, 0.9, across);
        (mix(BANDS[index], BANDS[index + 1], part), 0.80 * soft)
    });
}

/// A grey deck along the top.
pub(super) fn overcast(canvas: &mut Canvas, layout: &Layout, random: &mut SceneRandom) {
    let wet = layout.attributes.weather == Weather::Rain;
    for (row, count, half) in [(0.15, 4, 0.22), (0.08, 4, 0.24)] {
        let shift = random.unit();
        for index in 0..count {
            let x = (index as f32 + shift) / count as f32 * 1.2 - 0.1;
            let y = row + random.range(-0.02, 0.03);
            let dim = if wet { 0.80 } else { 1.02 };
            let colours = [
                scale(layout.palette.cloud_under, dim),
                mix(layout.palette.cloud_under, layout.palette.cloud_top, 0.4),
            ];
            cloud(canvas, layout, random, [x, y], half, colours);
        }
    }
}

/// A cloud on either side of the light, so that neither hides it, and a small one.
pub(super) fn clouds(canvas: &mut Canvas, layout: &Layout, random: &mut SceneRandom) {
    let colours = [layout.palette.cloud_under, layout.palette.cloud_top];
    for (away, height, half) in [(0.40, 0.24, 0.20), (-0.34, 0.46, 0.17), (0.04, 0.62, 0.12)] {
        let x = (layout.light[0] + away + random.range(-0.04, 0.04)).rem_euclid(1.0);
        let y = layout.horizon.min(0.62) * height + random.range(-0.02, 0.02);
        cloud(canvas, layout, random, [x, y], half, colours);
    }
}

/// A heap of soft balls with a flat underside; `half` is half its width, `colours` those of its lower and upper side.
pub(super) fn cloud(
    canvas: &mut Canvas,
    layout: &Layout,
    random: &mut SceneRandom,
    [cx, bottom]: Point,
    half: f32,
    [under, top]: [Colour; 2],
) {
    let balls: Vec<[f32; 3]> = [-0.75, -0.38, 0.0, 0.36, 0.72]
        .into_iter()
        .zip([0.24, 0.36, 0.44, 0.38, 0.26])
        .map(|(along, radius)| {
            let radius = radius * half * random.range(1.15, 1.45);
            [cx + along * half, bottom - radius * random.range(0.35, 0.6), 1.0 / (radius * radius)]
        })
        .collect();
    let edge = canvas.edge();
    canvas.shape([cx - 1.3 * half, bottom - half, cx + 1.3 * half, bottom + 0.03], |x, y| {
        let mut field: f32 = balls
            .iter()
            .map(|[ball_x, ball_y, falloff]| {
                let near = (1.0 - ((x - ball_x) * (x - ball_x) + (y - ball_y) * (y - ball_y)) * falloff).max(0.0);
                near * near
            })
            .sum();
        if field <= 0.0 {
            return (under, 0.0);
        }
        if layout.flat {
            let opacity = smoothstep(0.10, 0.16, field) * edge.cover(y - bottom);
            return (mix(under, top, edge.cover(y - bottom + 0.22 * half)), opacity);
        }
        let rough = layout.detail * layout.noise.at(1.3 * x, 1.5 * y);
        field += 0.10 * rough;
        let opacity = smoothstep(0.04, 0.26, field) * smoothstep(bottom + 0.025, bottom - 0.012, y);
        (mix(under, top, smoothstep(-0.02, 0.55 * half, bottom - y + 0.05 * rough)), 0.96 * opacity)
    });
}
