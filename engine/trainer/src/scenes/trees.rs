//! Firs, leafy trees, palms, and woods of them; their shapes are changed here.

use super::attributes::Season;
use super::canvas::{Canvas, Point};
use super::colours::{Colour, SNOW, mix, rgb, scale, smoothstep, trees};
use super::ground::rolling_ground;
use super::layout::Layout;
use super::scene_random::SceneRandom;

/// A fir of three tiers, `height` tall, standing on `foot`; under snow it carries some on each tier.
pub(super) fn pine(canvas: &mut Canvas, layout: &Layout, foot: Point, height: f32, albedo: Colour, haze: f32) {
    let [x, base] = foot;
    let side = layout.light_side();
    let trunk = layout.surface(rgb(104, 72, 54), 0.4, haze);
    let half = 0.024 * height / 0.4;
    canvas.convex(&rectangle([x - half, base - 0.16 * height, x + half, base]), 1.0, |_, _| trunk);
    for (bottom, top, spread) in [(0.12, 0.56, 0.27), (0.34, 0.78, 0.215), (0.56, 1.0, 0.16)] {
        let (bottom, top, spread) = (base - bottom * height, base - top * height, spread * height);
        canvas.convex(&[[x, top], [x + spread, bottom], [x - spread, bottom]], 1.0, |px, _| {
            let bright = smoothstep(-0.25 * spread, 0.25 * spread, (px - x) * side);
            layout.surface(albedo, 0.36 + 0.44 * bright, haze)
        });
        if layout.winter() {
            let snow = mix(layout.palette.snow(0.85), layout.palette.haze(), haze);
            let middle = top + 0.58 * (bottom - top);
            canvas.convex(&[[x, top], [x + 0.58 * spread, middle], [x - 0.58 * spread, middle]], 1.0, |_, _| snow);
        }
    }
}

/// A tree with a round crown, `height` tall, standing on `foot`.
pub(super) fn leafy(canvas: &mut Canvas, layout: &Layout, foot: Point, height: f32, albedo: Colour, haze: f32) {
    let [x, base] = foot;
    let side = layout.light_side();
    let trunk = layout.surface(rgb(96, 68, 56), 0.45, haze);
    let half = 0.034 * height;
    canvas.convex(&rectangle([x - half, base - 0.50 * height, x + half, base]), 1.0, |_, _| trunk);
    // Blossoms and leaves are known for what they are at every hour.
    let crown = |shade: f32| mix(layout.palette.steady(albedo, shade), layout.palette.haze(), haze);
    let (dark, light) = (crown(0.30), crown(0.95));
    for (dx, up, radius) in [(-0.17, 0.52, 0.21), (0.17, 0.52, 0.21), (0.0, 0.66, 0.29)] {
        canvas.disc([x + dx * height, base - up * height], radius * height, dark, 1.0);
    }
    for (dx, up, radius) in [(0.11, 0.56, 0.14), (0.06, 0.73, 0.19)] {
        canvas.disc([x + side * dx * height, base - up * height], radius * height, light, 1.0);
    }
}

/// A palm, `height` tall, leaning to `lean` (-1 … 1).
pub(super) fn palm(canvas: &mut Canvas, layout: &Layout, foot: Point, height: f32, lean: f32) {
    const PARTS: usize = 5;
    let trunk = layout.surface(rgb(150, 108, 70), 0.62, 0.0);
    let along = |t: f32| [foot[0] + 0.20 * lean * height * t * t, foot[1] - 0.86 * height * t];
    for part in 0..PARTS {
        let (low, high) = (part as f32 / PARTS as f32, (part + 1) as f32 / PARTS as f32);
        let ([x, y], [next_x, next_y]) = (along(low), along(high));
        let (thick, thin) = (height * (0.036 - 0.016 * low), height * (0.034 - 0.016 * high));
        canvas.convex(
            &[[x - thick, y + 0.004], [x + thick, y + 0.004], [next_x + thin, next_y], [next_x - thin, next_y]],
            1.0,
            |_, _| trunk,
        );
    }
    let [x, y] = along(1.0);
    // Fronds rise from the crown and droop: direction across and up, length in heights.
    for (across, up, length) in [
        (-0.92, 0.10, 0.42),
        (0.92, 0.10, 0.42),
        (-0.86, 0.55, 0.44),
        (0.86, 0.55, 0.44),
        (-0.45, 0.95, 0.38),
        (0.45, 0.95, 0.38),
    ] {
        let shade = if (across > 0.0) == (layout.light_side() > 0.0) { 0.88 } else { 0.48 };
        let leaf = layout.surface(rgb(52, 146, 68), shade, 0.0);
        let (length, droop) = (length * height, 0.40 * height);
        let rib = |t: f32| [x + across * length * t, y - up * length * t + droop * t * t];
        for part in 0..PARTS {
            let (low, high) = (part as f32 / PARTS as f32, (part + 1) as f32 / PARTS as f32);
            let ([left, top], [right, bottom]) = (rib(low), rib(high));
            let broad = |t: f32| 0.20 * length * (t * (1.0 - t)).sqrt() + 0.012 * height * (1.0 - t);
            let (near, far) = (broad(low), broad(high));
            canvas.convex(
                &[[left, top - 0.5 * near], [right, bottom - 0.5 * far], [right, bottom + far], [left, top + near]],
                1.0,
                |_, _| leaf,
            );
        }
    }
    let nut = layout.surface(rgb(110, 72, 44), 0.6, 0.0);
    canvas.disc([x, y + 0.01 * height], 0.034 * height, nut, 1.0);
}

/// Three rows of trees, the nearest the largest and darkest, and a clearing before them.
pub(super) fn forest(canvas: &mut Canvas, layout: &Layout, random: &mut SceneRandom, grass: Colour) {
    let season = layout.attributes.season;
    let round = matches!(season, Season::Spring | Season::Autumn);
    let wood = trees(season);
    let far = if layout.winter() { mix(wood, SNOW, 0.35) } else { wood };
    rolling_ground(canvas, layout, random, [layout.horizon - 0.12, 0.05], far, 0.6);
    for (drop, height, count, haze) in [(0.02, 0.27, 8, 0.50), (0.08, 0.35, 6, 0.25), (0.15, 0.44, 5, 0.03)] {
        let base = layout.horizon + drop;
        let shift = random.unit();
        for index in 0..count {
            let x = (index as f32 + shift + random.range(-0.2, 0.2)) / count as f32;
            // Lower in the middle, so that the sky comes down between the trees.
            let low = 1.0 - 0.34 * smoothstep(0.35, 0.0, (x - 0.5).abs());
            let tall = height * low * random.range(0.90, 1.06);
            let albedo = scale(wood, random.range(0.90, 1.06));
            if round {
                leafy(canvas, layout, [x, base + 0.02], 0.92 * tall, albedo, haze);
            } else {
                pine(canvas, layout, [x, base + 0.02], tall, albedo, haze);
            }
        }
        rolling_ground(canvas, layout, random, [base, 0.01], grass, haze * 0.7);
    }
}

/// Left, top, right, bottom as corners.
pub(super) fn rectangle([left, top, right, bottom]: [f32; 4]) -> [Point; 4] {
    [[left, top], [right, top], [right, bottom], [left, bottom]]
}
