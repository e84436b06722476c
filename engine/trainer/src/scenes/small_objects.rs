//! What floats, burns, blooms or flies: large, few parts, steady colours. Sizes are those of a near one.

use super::attributes::{Hue, Time};
use super::canvas::{Canvas, Point};
use super::colours::{mix, paint, rgb, scale, smoothstep};
use super::layout::{CELLS, Layout, cell};
use super::scene_random::SceneRandom;
use super::trees::rectangle;

/// A boat with two sails and its mirror image.
pub(super) fn sailboat(canvas: &mut Canvas, layout: &Layout) {
    let ([x, line], s) = (layout.object_position, layout.scale);
    let cloth = paint(layout.attributes.colour);
    // The mirrored boat first: shorter, and paler.
    for (up, opacity) in [(-0.62, 0.34), (1.0, 1.0)] {
        let at = |dx: f32, dy: f32| [x + dx * s, line - dy * up * s];
        let hull = layout.palette.steady(rgb(122, 66, 44), 0.75);
        let mast = layout.palette.lit(rgb(96, 70, 56), 0.8);
        let (main, jib) = (layout.palette.steady(cloth, 1.0), layout.palette.steady(scale(cloth, 0.86), 0.8));
        canvas.convex(&[at(-0.006, 0.05), at(0.006, 0.05), at(0.006, 0.40), at(-0.006, 0.40)], opacity, |_, _| mast);
        canvas.convex(&[at(0.012, 0.075), at(0.145, 0.075), at(0.012, 0.395)], opacity, |_, _| main);
        canvas.convex(&[at(-0.012, 0.075), at(-0.11, 0.075), at(-0.012, 0.345)], opacity, |_, _| jib);
        canvas.convex(&[at(-0.155, 0.06), at(0.165, 0.06), at(0.11, 0.0), at(-0.105, 0.0)], opacity, |_, _| hull);
        let rail = layout.palette.steady(rgb(250, 244, 232), 0.9);
        canvas
            .convex(&[at(-0.155, 0.062), at(0.165, 0.062), at(0.158, 0.046), at(-0.143, 0.046)], opacity, |_, _| rail);
    }
}

/// A ridge tent, its front to the viewer; by night a lamp burns inside.
pub(super) fn tent(canvas: &mut Canvas, layout: &Layout) {
    let ([x, base], s) = (layout.object_position, layout.scale);
    let at = |dx: f32, up: f32| -> Point { [x + dx * s, base - up * s] };
    let cloth = paint(layout.attributes.colour);
    let lit = lamp_burns(layout);
    let colour = |shade: f32| if lit { scale(cloth, 0.25 + 0.72 * shade) } else { layout.palette.steady(cloth, shade) };
    let (front, flank) = (colour(0.98), colour(0.55));
    canvas.convex(&[at(0.0, 0.20), at(0.10, 0.19), at(0.21, 0.04), at(0.13, 0.0)], 1.0, |_, _| flank);
    canvas.convex(&[at(-0.15, 0.0), at(0.0, 0.21), at(0.15, 0.0)], 1.0, |_, _| front);
    let inside = if lit { rgb(255, 240, 180) } else { layout.palette.lit(scale(cloth, 0.30), 0.7) };
    canvas.convex(&[at(-0.052, 0.0), at(0.0, 0.145), at(0.052, 0.0)], 1.0, |_, _| inside);
    if lit {
        canvas.glow(at(0.0, 0.07), 0.26 * s, rgb(255, 190, 110), 0.42);
    }
}

/// Flames over two logs.
pub(super) fn campfire(canvas: &mut Canvas, layout: &Layout) {
    let ([x, base], s) = (layout.object_position, layout.scale);
    let at = |dx: f32, up: f32| -> Point { [x + dx * s, base - up * s] };
    let strength = if layout.palette.dark { 0.75 } else { 0.40 };
    canvas.glow(at(0.0, 0.08), 0.36 * s, rgb(255, 150, 60), strength);
    let wood = layout.palette.steady(rgb(96, 60, 42), 0.7);
    for side in [-1.0, 1.0] {
        let log =
            [at(-0.115 * side, -0.012), at(-0.115 * side, 0.018), at(0.115 * side, 0.052), at(0.115 * side, 0.022)];
        canvas.convex(&log, 1.0, |_, _| wood);
    }
    let flames = [
        (0.0, 0.105, 0.25, rgb(250, 92, 26)),
        (-0.045, 0.060, 0.17, rgb(255, 128, 30)),
        (0.05, 0.060, 0.19, rgb(255, 128, 30)),
        (0.0, 0.068, 0.17, rgb(255, 186, 50)),
        (0.0, 0.036, 0.09, rgb(255, 244, 180)),
    ];
    for (dx, half, tall, colour) in flames {
        let tip = 0.18 * half;
        let flame = [
            at(dx + tip, 0.02 + tall),
            at(dx + 0.45 * half, 0.02 + 0.62 * tall),
            at(dx + half, 0.02 + 0.30 * tall),
            at(dx + 0.72 * half, 0.02 + 0.06 * tall),
            at(dx - 0.72 * half, 0.02 + 0.06 * tall),
            at(dx - half, 0.02 + 0.30 * tall),
            at(dx - 0.42 * half, 0.02 + 0.62 * tall),
        ];
        canvas.convex(&flame, 1.0, |_, _| colour);
    }
}

/// Blossoms over the meadow, larger towards the viewer.
pub(super) fn flowers(canvas: &mut Canvas, layout: &Layout, random: &mut SceneRandom) {
    let petals = layout.palette.steady(paint(layout.attributes.colour), 1.0);
    let heart = if layout.attributes.colour == Hue::Yellow { rgb(190, 98, 30) } else { rgb(255, 206, 60) };
    let (heart, stem) = (layout.palette.steady(heart, 1.0), layout.palette.lit(rgb(56, 122, 52), 0.6));
    for row in 0..4 {
        let near = row as f32 / 3.0;
        let count = 8 - 2 * row.min(2);
        let shift = random.unit();
        for index in 0..count {
            // Every other row between the cells of the one before.
            let x = cell((index as f32 + shift) / count as f32) + (row % 2) as f32 * 0.5 / CELLS;
            let y = 0.785 + 0.145 * near;
            let radius = 0.019 + 0.022 * near;
            canvas.convex(&rectangle([x - 0.005, y, x + 0.005, y + 2.4 * radius]), 0.9, |_, _| stem);
            for petal in 0..5 {
                let (sin, cos) = (petal as f32 * std::f32::consts::TAU / 5.0 + 0.3).sin_cos();
                canvas.disc([x + 0.58 * radius * sin, y - 0.58 * radius * cos], 0.52 * radius, petals, 1.0);
            }
            canvas.disc([x, y], 0.36 * radius, heart, 1.0);
        }
    }
}

/// A striped balloon with its basket.
pub(super) fn balloon(canvas: &mut Canvas, layout: &Layout) {
    let ([x, y], s) = (layout.object_position, layout.scale);
    let at = |dx: f32, up: f32| -> Point { [x + dx * s, y - up * s] };
    let (radius, tip) = (0.150 * s, 0.215 * s);
    let edge = canvas.edge();
    let side = layout.light_side();
    let rope = layout.palette.lit(rgb(90, 70, 60), 0.7);
    for dx in [-1.0, 1.0] {
        let line = [at(0.030 * dx, -0.19), at(0.036 * dx, -0.19), at(0.030 * dx, -0.27), at(0.022 * dx, -0.27)];
        canvas.convex(&line, 1.0, |_, _| rope);
    }
    let basket = layout.palette.steady(rgb(150, 96, 54), 0.75);
    canvas.convex(&[at(-0.034, -0.262), at(0.034, -0.262), at(0.029, -0.317), at(-0.029, -0.317)], 1.0, |_, _| basket);
    let (cloth, white) = (paint(layout.attributes.colour), paint(Hue::White));
    canvas.shape([x - radius - 0.01, y - radius - 0.01, x + radius + 0.01, y + tip + 0.01], |px, py| {
        let (dx, dy) = (px - x, py - y);
        // A ball above, drawn together to a mouth below.
        let half = if dy < 0.0 {
            (radius * radius - dy * dy).max(0.0).sqrt()
        } else {
            let t = (dy / tip).min(1.0);
            radius * (1.0 - t * t * (1.0 - 0.2 * t) * 0.96)
        };
        let outside = if dy < 0.0 { dx.hypot(dy) - radius } else { (0.86 * (dx.abs() - half)).max(dy - tip) };
        let across = (dx / half.max(1e-4)).clamp(-1.0, 1.0);
        // Five gores, as wide as a ball shows them.
        let gore = across.asin() / std::f32::consts::PI * 5.0 + 0.5;
        let (near, odd) = ((gore - gore.round()).abs(), (gore.floor() as i32).rem_euclid(2) == 1);
        let soft = smoothstep(-0.06, 0.06, near);
        let stripe = if odd { 1.0 - soft } else { soft };
        let shade = layout.tone(0.70 + 0.30 * side * across - 0.25 * (dy / radius).max(0.0));
        let colour = mix(layout.palette.steady(white, shade), layout.palette.steady(cloth, shade), stripe);
        (colour, edge.cover(outside))
    });
}

/// Five birds, each two bent wings.
pub(super) fn birds(canvas: &mut Canvas, layout: &Layout, random: &mut SceneRandom) {
    let [x, y] = layout.object_position;
    let colour = if layout.palette.dark { rgb(226, 232, 250) } else { rgb(38, 42, 58) };
    for (dx, dy, half) in
        [(0.0, 0.0, 0.075), (-0.13, -0.055, 0.060), (0.13, -0.065, 0.062), (-0.10, 0.085, 0.056), (0.12, 0.075, 0.058)]
    {
        let (cx, cy) = (x + dx + random.range(-0.012, 0.012), y + dy + random.range(-0.012, 0.012));
        let thick = 0.17 * half;
        for side in [-1.0, 1.0] {
            let at = |across: f32, up: f32| [cx + side * across * half, cy - up * half];
            let elbow = [at(0.0, 0.0), at(0.48, 0.52), at(0.52, 0.28), [cx, cy + thick]];
            canvas.convex(&elbow, 1.0, |_, _| colour);
            canvas.convex(&[at(0.46, 0.53), at(1.0, 0.20), at(0.52, 0.26)], 1.0, |_, _| colour);
        }
    }
}

/// Whether a lamp burns inside a tent: only by night. Windows are lit earlier.
fn lamp_burns(layout: &Layout) -> bool {
    matches!(layout.attributes.time, Time::Night | Time::Aurora)
}
