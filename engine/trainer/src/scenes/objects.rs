//! What stands in front: large, few parts, steady colours.

use super::canvas::{Canvas, Curve, Point};
use super::palette::{Colour, LAMP, mix, rgb, scale, smoothstep};
use super::random::Random;
use super::{Foreground, Season, Terrain, View, palette};

/// Paints the scene's one object.
pub(super) fn paint(canvas: &mut Canvas, view: &View, random: &mut Random) {
    // Beside the middle, on the side away from the light as often as not.
    let x = 0.5 + random.sign() * random.range(0.06, 0.22);
    let base = random.range(0.86, 0.90);
    match view.attributes.foreground {
        Foreground::Cabin => cabin(canvas, view, [x, base]),
        Foreground::Lighthouse => lighthouse(canvas, view, random, [x, base]),
        Foreground::Sailboat => {
            let water = if view.attributes.terrain == Terrain::City { 0.84 } else { 0.76 };
            sailboat(canvas, view, [x, water + random.range(-0.02, 0.04)]);
        }
        Foreground::Pines => pines(canvas, view, random),
        Foreground::Tent => tent(canvas, view, [x, base]),
        Foreground::Flowers => flowers(canvas, view, random),
        Foreground::None => {}
    }
}

/// A fir of three tiers, `height` tall, standing on `foot`; under snow it carries some on each tier.
pub(super) fn pine(canvas: &mut Canvas, view: &View, foot: Point, height: f32, albedo: Colour, haze: f32) {
    let [x, base] = foot;
    let (palette, side, far) = (view.palette, view.side(), view.palette.haze());
    let trunk = mix(palette.lit(rgb(104, 72, 54), 0.4), far, haze);
    let half = 0.022 * height / 0.4;
    canvas.convex(&rectangle([x - half, base - 0.16 * height, x + half, base]), 1.0, |_, _| trunk);
    let snowy = view.attributes.season == Season::Snow;
    for (bottom, top, spread) in [(0.12, 0.56, 0.26), (0.34, 0.78, 0.21), (0.56, 1.0, 0.155)] {
        let (bottom, top, spread) = (base - bottom * height, base - top * height, spread * height);
        let colour = |px: f32| {
            let shade = 0.42 + 0.34 * smoothstep(-0.25 * spread, 0.25 * spread, (px - x) * side);
            mix(palette.lit(albedo, shade), far, haze)
        };
        canvas.convex(&[[x, top], [x + spread, bottom], [x - spread, bottom]], 1.0, |px, _| colour(px));
        if snowy {
            let snow = mix(palette.snow(0.85), far, haze);
            let middle = top + 0.58 * (bottom - top);
            canvas.convex(&[[x, top], [x + 0.58 * spread, middle], [x - 0.58 * spread, middle]], 1.0, |_, _| snow);
        }
    }
}

/// Left, top, right, bottom as corners.
fn rectangle([left, top, right, bottom]: [f32; 4]) -> [Point; 4] {
    [[left, top], [right, top], [right, bottom], [left, bottom]]
}

fn cabin(canvas: &mut Canvas, view: &View, [x, base]: Point) {
    let palette = view.palette;
    let side = view.side();
    let (half, wall) = (0.125, 0.12);
    let wood = rgb(164, 98, 56);
    let eaves = base - wall;
    let snowy = view.attributes.season == Season::Snow;
    let chimney = palette.lit(rgb(130, 104, 98), 0.7);
    canvas.convex(&rectangle([x + 0.05, eaves - 0.125, x + 0.085, eaves - 0.03]), 1.0, |_, _| chimney);
    canvas.convex(&rectangle([x - half, eaves - 0.005, x + half, base]), 1.0, |px, _| {
        palette.lit(wood, 0.62 + 0.25 * side * (px - x) / half)
    });
    let peak = [[x - half - 0.035, eaves + 0.005], [x, eaves - 0.10], [x + half + 0.035, eaves + 0.005]];
    canvas.convex(&peak, 1.0, |px, _| {
        let shade = 0.72 + 0.22 * side * (px - x) / half;
        if snowy { palette.snow(shade) } else { palette.lit(rgb(158, 56, 48), shade) }
    });
    let door = palette.lit(scale(wood, 0.5), 0.6);
    canvas.convex(&rectangle([x - 0.024, base - 0.085, x + 0.024, base]), 1.0, |_, _| door);
    let pane = if palette.lamps { LAMP } else { rgb(150, 196, 226) };
    for offset in [-0.075, 0.075] {
        let window = [x + offset - 0.026, base - 0.088, x + offset + 0.026, base - 0.036];
        canvas.convex(&rectangle(window), 1.0, |_, _| pane);
    }
    if palette.lamps {
        canvas.glow([x, base - 0.05], 0.22, rgb(255, 190, 90), 0.34);
    }
}

fn lighthouse(canvas: &mut Canvas, view: &View, random: &mut Random, [x, meadow]: Point) {
    let palette = view.palette;
    let side = view.side();
    let mut base = meadow - 0.04;
    if view.attributes.terrain == Terrain::Sea {
        base = view.horizon + 0.20;
        rock(canvas, view, random, [x, base - 0.02]);
    }
    let height = 0.44;
    let top = base - height;
    let (wide, narrow) = (0.058, 0.036);
    let tower = [[x - narrow, top], [x + narrow, top], [x + wide, base], [x - wide, base]];
    let edge = canvas.edge();
    canvas.convex(&tower, 1.0, |px, py| {
        // Five bands; their edges are smoothed like any other.
        let band = (base - py) / height * 5.0;
        let from_edge = (band - band.round()) * height / 5.0;
        let red_above = (band.round() as i32) % 2 == 1;
        let red = if red_above { edge.cover(-from_edge) } else { edge.cover(from_edge) };
        let paint = mix(rgb(252, 250, 246), rgb(216, 48, 44), red);
        palette.lit(paint, (0.66 + 0.34 * side * (px - x) / wide).clamp(0.0, 1.0))
    });
    let iron = palette.lit(rgb(70, 70, 84), 0.7);
    canvas.convex(&rectangle([x - 0.05, top - 0.014, x + 0.05, top]), 1.0, |_, _| iron);
    let lantern = if palette.lamps { rgb(255, 244, 170) } else { rgb(206, 228, 240) };
    canvas.convex(&rectangle([x - 0.027, top - 0.068, x + 0.027, top - 0.014]), 1.0, |_, _| lantern);
    let cap = palette.lit(rgb(206, 44, 40), 0.75);
    canvas.convex(&[[x - 0.042, top - 0.066], [x, top - 0.125], [x + 0.042, top - 0.066]], 1.0, |_, _| cap);
    if palette.lamps {
        let lamp = [x, top - 0.04];
        let towards = if x > 0.5 { -1.0 } else { 1.0 };
        canvas.screen([0.0, 0.0, 1.0, 1.0], rgb(255, 244, 190), |px, py| {
            let along = (px - lamp[0]) * towards;
            if along <= 0.0 {
                return 0.0;
            }
            let across = (py - lamp[1] + 0.12 * along).abs() / (0.012 + 0.13 * along);
            0.55 * (1.0 - across).max(0.0) * (1.0 - along / 0.7).max(0.0)
        });
        canvas.glow(lamp, 0.13, rgb(255, 244, 190), 0.8);
    }
}

/// A rocky islet with its top at `y`.
fn rock(canvas: &mut Canvas, view: &View, random: &mut Random, [cx, y]: Point) {
    let rough = Curve::new(random, 8, 5);
    let bottom = y + 0.13;
    let tops: Vec<f32> = canvas
        .centres()
        .map(|x| {
            let out = (x - cx).abs() / 0.24;
            y + 0.13 * out * out * (1.0 + 0.25 * rough.at(x)) + 0.012 * rough.at(x) * out.min(1.0)
        })
        .collect();
    let (palette, side) = (view.palette, view.side());
    canvas.below(&tops, bottom, |x, py, _| {
        let shade = 0.5 + 1.3 * side * (x - cx) - 1.2 * (py - y);
        palette.lit(rgb(136, 122, 116), shade.clamp(0.0, 1.0))
    });
}

fn sailboat(canvas: &mut Canvas, view: &View, [x, line]: Point) {
    let palette = view.palette;
    // The mirrored boat first: shorter, and paler.
    for (up, opacity) in [(-0.75, 0.38), (1.0, 1.0)] {
        let at = |dx: f32, dy: f32| [x + dx, line - dy * up];
        let hull = palette.lit(rgb(176, 60, 44), 0.75);
        let mast = palette.lit(rgb(110, 80, 62), 0.8);
        let (main, jib) = (palette.lit(rgb(255, 252, 246), 1.0), palette.lit(rgb(255, 252, 246), 0.72));
        canvas.convex(&[at(-0.005, 0.05), at(0.005, 0.05), at(0.005, 0.34), at(-0.005, 0.34)], opacity, |_, _| mast);
        canvas.convex(&[at(0.012, 0.065), at(0.115, 0.065), at(0.012, 0.335)], opacity, |_, _| main);
        canvas.convex(&[at(-0.012, 0.065), at(-0.085, 0.065), at(-0.012, 0.29)], opacity, |_, _| jib);
        canvas.convex(&[at(-0.125, 0.05), at(0.135, 0.05), at(0.09, 0.0), at(-0.085, 0.0)], opacity, |_, _| hull);
    }
}

/// Two or three pines on one side, and one on the other.
fn pines(canvas: &mut Canvas, view: &View, random: &mut Random) {
    let wood = palette::trees(view.attributes.season);
    let side = random.sign();
    let third = random.chance(0.5);
    let places = [(-0.28, 0.44, 0.86), (0.36, 0.36, 0.88), (-0.40, 0.38, 0.90), (-0.14, 0.32, 0.92)];
    for &(x, height, base) in &places[..if third { 4 } else { 3 }] {
        let foot = [0.5 + side * (x + random.range(-0.03, 0.03)), base + random.range(-0.01, 0.02)];
        pine(canvas, view, foot, height * random.range(0.92, 1.08), wood, 0.0);
    }
}

fn tent(canvas: &mut Canvas, view: &View, [x, base]: Point) {
    let palette = view.palette;
    let dark = matches!(view.attributes.time, super::Time::Night | super::Time::Aurora);
    let (half, height) = (0.125, 0.17);
    let cloth = rgb(244, 124, 44);
    // By night a lamp burns inside.
    let colour = |brightness: f32| if dark { scale(cloth, brightness) } else { palette.lit(cloth, brightness) };
    let (front, flank) = (colour(0.95), colour(0.55));
    canvas.convex(&[[x, base - height], [x + half, base], [x + 1.6 * half, base - 0.05]], 1.0, |_, _| flank);
    canvas.convex(&[[x - half, base], [x, base - height], [x + half, base]], 1.0, |_, _| front);
    let inside = if dark { rgb(255, 240, 180) } else { palette.lit(scale(cloth, 0.35), 0.7) };
    canvas.convex(&[[x - 0.042, base], [x, base - 0.7 * height], [x + 0.042, base]], 1.0, |_, _| inside);
    if dark {
        canvas.glow([x, base - 0.07], 0.24, rgb(255, 170, 80), 0.45);
    }
}

/// Blossoms over the meadow, larger towards the viewer.
fn flowers(canvas: &mut Canvas, view: &View, random: &mut Random) {
    let palette = view.palette;
    let colours = random.pick(&[[rgb(236, 62, 70), rgb(255, 214, 72)], [rgb(250, 120, 180), rgb(250, 246, 255)]]);
    let top = 0.80;
    for row in 0..5 {
        let near = row as f32 / 4.0;
        let count = 9 - row;
        let shift = random.unit();
        for index in 0..count {
            let x = (index as f32 + shift + random.range(-0.3, 0.3)) / count as f32;
            let y = top + 0.16 * near + random.range(-0.012, 0.012);
            let radius = 0.016 + 0.014 * near;
            let stem = palette.lit(rgb(60, 120, 50), 0.5);
            canvas.convex(&rectangle([x - 0.004, y, x + 0.004, y + 2.2 * radius]), 0.8, |_, _| stem);
            let petals = mix(palette.lit(colours[(index + row) % 2], 0.95), colours[(index + row) % 2], 0.3);
            canvas.disc([x, y], radius, petals, 1.0);
            canvas.disc([x, y], 0.38 * radius, palette.lit(rgb(255, 190, 60), 1.0), 1.0);
        }
    }
}
