//! Cabin, lighthouse, windmill and bridge: large, few parts, steady colours. Sizes are those of a near one.

use super::attributes::{Hue, Land};
use super::canvas::{Canvas, Curve, Point};
use super::colours::{LAMP, SNOW, mix, paint, rgb, scale, smoothstep};
use super::layout::Layout;
use super::scene_random::SceneRandom;

/// A cabin seen from a corner: gable with a door to the left, a long wall to the right.
pub(super) fn cabin(canvas: &mut Canvas, layout: &Layout) {
    let ([x, base], s) = (layout.object_position, layout.scale);
    let at = |dx: f32, up: f32| -> Point { [x + dx * s, base - up * s] };
    let wall =
        if layout.attributes.colour == Hue::Absent { rgb(172, 106, 60) } else { paint(layout.attributes.colour) };
    let roof = rgb(112, 62, 54);
    let (gable, flank) = if layout.light_side() < 0.0 { (0.92, 0.50) } else { (0.50, 0.92) };
    let cover = |shade: f32| {
        if layout.winter() { layout.palette.snow(layout.tone(shade)) } else { layout.palette.steady(roof, shade) }
    };
    let stone = layout.palette.lit(rgb(140, 116, 110), 0.7);
    canvas.convex(&[at(0.07, 0.20), at(0.115, 0.20), at(0.115, 0.335), at(0.07, 0.335)], 1.0, |_, _| stone);
    let logs = |shade: f32, y: f32| {
        let seam = smoothstep(0.25, 0.0, (((base - y) / s / 0.034).fract() - 0.5).abs() - 0.25);
        layout.palette.steady(wall, shade - 0.14 * layout.detail * (1.0 - seam))
    };
    canvas.convex(&[at(-0.02, 0.0), at(0.19, 0.025), at(0.19, 0.15), at(-0.02, 0.14)], 1.0, |_, y| logs(flank, y));
    canvas.convex(
        &[at(-0.18, 0.0), at(-0.02, 0.0), at(-0.02, 0.14), at(-0.10, 0.265), at(-0.18, 0.14)],
        1.0,
        |_, y| logs(gable, y),
    );
    let long = [at(-0.105, 0.295), at(0.12, 0.275), at(0.215, 0.135), at(0.0, 0.115)];
    canvas.convex(&long, 1.0, |_, _| cover(flank));
    let eaves = [at(-0.21, 0.115), at(-0.105, 0.295), at(-0.105, 0.250), at(-0.185, 0.105)];
    canvas.convex(&eaves, 1.0, |_, _| cover(gable));
    let door = layout.palette.steady(rgb(88, 52, 38), 0.6);
    canvas.convex(&[at(-0.13, 0.0), at(-0.075, 0.0), at(-0.075, 0.10), at(-0.13, 0.10)], 1.0, |_, _| door);
    let pane = if layout.palette.lamps { LAMP } else { rgb(164, 208, 236) };
    for left in [0.035, 0.115] {
        let window = [at(left, 0.058), at(left + 0.046, 0.062), at(left + 0.046, 0.108), at(left, 0.104)];
        canvas.convex(&window, 1.0, |_, _| pane);
    }
    if layout.palette.lamps {
        canvas.glow(at(0.06, 0.07), 0.24 * s, rgb(255, 190, 90), 0.34);
    }
}

/// A tower with five bands.
pub(super) fn lighthouse(canvas: &mut Canvas, layout: &Layout) {
    let ([x, base], s) = (layout.object_position, layout.scale);
    let at = |dx: f32, up: f32| -> Point { [x + dx * s, base - up * s] };
    let side = layout.light_side();
    let (height, wide, narrow) = (0.42, 0.064, 0.042);
    let hue = if layout.attributes.colour == Hue::Absent { Hue::Red } else { layout.attributes.colour };
    let edge = canvas.edge();
    let tower = [at(-narrow, height), at(narrow, height), at(wide, 0.0), at(-wide, 0.0)];
    canvas.convex(&tower, 1.0, |px, py| {
        // The bands' edges are smoothed like any other.
        let band = (base - py) / (height * s) * 5.0;
        let from_edge = (band - band.round()) * height * s / 5.0;
        let above = (band.round() as i32) % 2 == 1;
        let coloured = edge.cover(if above { -from_edge } else { from_edge });
        let shade = layout.tone(0.66 + 0.34 * side * (px - x) / (wide * s));
        mix(layout.palette.steady(paint(Hue::White), shade), layout.palette.steady(paint(hue), shade), coloured)
    });
    let top = height;
    let iron = layout.palette.lit(rgb(70, 70, 84), 0.7);
    canvas
        .convex(&[at(-0.058, top + 0.016), at(0.058, top + 0.016), at(0.058, top), at(-0.058, top)], 1.0, |_, _| iron);
    let lantern = if layout.palette.lamps { rgb(255, 244, 170) } else { rgb(206, 228, 240) };
    let glass = [at(-0.031, top + 0.072), at(0.031, top + 0.072), at(0.031, top + 0.016), at(-0.031, top + 0.016)];
    canvas.convex(&glass, 1.0, |_, _| lantern);
    let cap = layout.palette.steady(paint(hue), 0.75);
    canvas.convex(&[at(-0.05, top + 0.07), at(0.0, top + 0.135), at(0.05, top + 0.07)], 1.0, |_, _| cap);
    if !layout.palette.lamps {
        return;
    }
    let lamp = at(0.0, top + 0.042);
    let towards = if x > 0.5 { -1.0 } else { 1.0 };
    let (dark, flat) = (if layout.palette.dark { 1.0 } else { 0.6 }, layout.flat);
    canvas.screen([0.0, 0.0, 1.0, 1.0], rgb(255, 244, 190), |px, py| {
        let along = (px - lamp[0]) * towards;
        if along <= 0.0 {
            return 0.0;
        }
        let out = (py - lamp[1] + 0.10 * along).abs() - (0.012 + 0.13 * along);
        let beam = if flat { 0.7 * edge.cover(out) } else { (-out / (0.012 + 0.13 * along)).clamp(0.0, 1.0) };
        0.60 * dark * beam * (1.0 - along / 0.75).max(0.0)
    });
    canvas.glow(lamp, 0.13 * s, rgb(255, 244, 190), 0.8);
}

/// Rock under a lighthouse at sea.
pub(super) fn islet(canvas: &mut Canvas, layout: &Layout, random: &mut SceneRandom) {
    let ([cx, foot], s) = (layout.object_position, layout.scale);
    let rough = Curve::new(random, 8, 5);
    let y = foot - 0.012 * s;
    let bottom = y + 0.12 * s;
    let tops: Vec<f32> = canvas
        .centres()
        .map(|x| {
            let out = (x - cx).abs() / (0.21 * s);
            y + s * (0.12 * out * out * (1.0 + 0.25 * rough.at(x)) + 0.012 * rough.at(x) * out.min(1.0))
        })
        .collect();
    canvas.below(&tops, bottom, |x, py, _| {
        let relief = layout.detail * layout.noise.slope(1.2 * x, 1.2 * py);
        let shade = 0.55 + 1.2 * layout.light_side() * (x - cx) / s - 1.2 * (py - y) / s + 0.4 * relief;
        layout.surface(rgb(140, 124, 116), shade, 0.0)
    });
}

/// A white tower with four sails, turned as the wind left them.
pub(super) fn windmill(canvas: &mut Canvas, layout: &Layout, random: &mut SceneRandom) {
    let ([x, base], s) = (layout.object_position, layout.scale);
    let at = |dx: f32, up: f32| -> Point { [x + dx * s, base - up * s] };
    let side = layout.light_side();
    canvas.convex(&[at(-0.090, 0.0), at(0.090, 0.0), at(0.056, 0.29), at(-0.056, 0.29)], 1.0, |px, _| {
        layout.palette.steady(rgb(246, 240, 226), layout.tone(0.62 + 0.34 * side * (px - x) / (0.09 * s)))
    });
    let cap = [at(-0.068, 0.285), at(-0.045, 0.345), at(0.0, 0.372), at(0.045, 0.345), at(0.068, 0.285)];
    let roof = if layout.winter() { SNOW } else { rgb(150, 62, 50) };
    canvas
        .convex(&cap, 1.0, |px, _| layout.palette.steady(roof, layout.tone(0.62 + 0.3 * side * (px - x) / (0.07 * s))));
    let door = layout.palette.steady(rgb(104, 62, 44), 0.6);
    canvas.convex(&[at(-0.024, 0.0), at(0.024, 0.0), at(0.024, 0.075), at(-0.024, 0.075)], 1.0, |_, _| door);
    let pane = if layout.palette.lamps { LAMP } else { rgb(120, 150, 180) };
    canvas.convex(&[at(-0.020, 0.15), at(0.020, 0.15), at(0.020, 0.195), at(-0.020, 0.195)], 1.0, |_, _| pane);
    let hub = at(0.0, 0.315);
    let turn = random.range(0.45, 1.1);
    let spar = layout.palette.steady(rgb(84, 58, 48), 0.6);
    let cloth = layout.palette.steady(rgb(176, 70, 54), 0.9);
    for quarter in 0..4 {
        let (sin, cos) = (turn + quarter as f32 * std::f32::consts::FRAC_PI_2).sin_cos();
        let along = |r: f32, out: f32| [hub[0] + s * (r * cos - out * sin), hub[1] + s * (r * sin + out * cos)];
        let sail = [along(0.060, 0.0), along(0.235, 0.0), along(0.235, 0.062), along(0.060, 0.054)];
        canvas.convex(&sail, 1.0, |_, _| cloth);
        canvas.convex(
            &[along(0.0, -0.008), along(0.245, -0.008), along(0.245, 0.008), along(0.0, 0.008)],
            1.0,
            |_, _| spar,
        );
    }
    canvas.disc(hub, 0.022 * s, spar, 1.0);
}

/// Three arches of stone from edge to edge.
pub(super) fn bridge(canvas: &mut Canvas, layout: &Layout) {
    let (deck, depth) = match layout.attributes.land {
        Land::Canyon => (0.60, 0.24),
        Land::City => (layout.horizon + 0.04, 0.17),
        _ => (0.66, 0.17),
    };
    let foot = deck + depth;
    let edge = canvas.edge();
    let stone = rgb(206, 186, 162);
    canvas.shape([0.0, deck - 0.08, 1.0, foot + 0.01], |x, y| {
        let hump = 0.035 * (2.0 * x - 1.0) * (2.0 * x - 1.0);
        let top = deck - 0.035 + hump;
        let bay = (x * 3.0).fract() - 0.5;
        // The arch is an ellipse; its distance is that of the circle it is drawn from.
        let (rx, ry) = (0.40 / 3.0, depth - 0.055);
        let opening = ((bay / 3.0 / rx).hypot((y - foot) / ry) - 1.0) * rx.min(ry);
        let cover = edge.cover(top - y) * edge.cover(y - foot) * (1.0 - edge.cover(opening));
        let rail = smoothstep(0.022, 0.018, y - top);
        let ring = smoothstep(0.026, 0.020, opening);
        let block = layout.detail * 0.22 * layout.noise.slope(1.4 * x, 1.4 * y);
        let shade = 0.52 + 0.22 * rail + 0.16 * ring + block + 0.10 * layout.light_side() * (x - 0.5);
        (layout.palette.steady(stone, layout.tone(shade)), cover)
    });
    if layout.winter() {
        let snow = scale(layout.palette.snow(0.9), 1.0);
        canvas.shape([0.0, deck - 0.08, 1.0, foot], |x, y| {
            let top = deck - 0.035 + 0.035 * (2.0 * x - 1.0) * (2.0 * x - 1.0);
            (snow, edge.cover(top - 0.012 - y) * edge.cover(y - top - 0.006))
        });
    }
}
