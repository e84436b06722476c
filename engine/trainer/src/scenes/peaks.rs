//! Mountains and dunes: heaps with a bright and a dark side.

use super::canvas::{Canvas, Curve, Point};
use super::palette::{Colour, mix, rgb, smoothstep, trees};
use super::random::Random;
use super::{Season, View, palette};

/// One heap.
struct Heap {
    apex: Point,
    /// Where it meets the ground.
    base: f32,
    /// Half its width at the base.
    half: f32,
    /// How much it fades into the haze, 0 … 1.
    haze: f32,
}

/// A range of two or three peaks that stand on `base`, before a paler range.
pub(super) fn mountains(canvas: &mut Canvas, view: &View, random: &mut Random, base: f32, height: f32) {
    let far = random.range(-0.05, 0.05);
    for x in [0.12, 0.5, 0.88] {
        let apex = [x + far + random.range(-0.04, 0.04), base - height * random.range(0.55, 0.68)];
        mountain(canvas, view, random, &Heap { apex, base, half: 0.34, haze: 0.62 });
    }
    // The highest first: the others stand before it.
    let main = random.range(0.36, 0.64);
    let side = random.sign();
    let peaks =
        [(main, 1.0, 0.42, 0.18), (main + side * 0.34, 0.74, 0.34, 0.12), (main - side * 0.36, 0.64, 0.32, 0.08)];
    for (x, tall, half, haze) in peaks {
        let apex = [x + random.range(-0.03, 0.03), base - height * tall * random.range(0.93, 1.05)];
        mountain(canvas, view, random, &Heap { apex, base, half, haze });
    }
}

/// Three rows of dunes, the nearest the largest, down to the lower edge.
pub(super) fn dunes(canvas: &mut Canvas, view: &View, random: &mut Random) {
    let sand = palette::ground(Season::Sand);
    let start = random.range(0.25, 0.75);
    for (row, (drop, height, haze)) in
        [(0.06, 0.10, 0.35), (0.18, 0.17, 0.15), (0.42, 0.25, 0.0)].into_iter().enumerate()
    {
        let base = view.horizon + drop;
        let x = (start + 0.42 * row as f32).rem_euclid(1.0) * 0.7 + 0.15;
        let apex = [x, base - height];
        dune(canvas, view, random, &Heap { apex, base, half: 0.75, haze }, sand);
    }
}

/// A pointed peak with a snow cap and, in the green seasons, woods at its foot.
fn mountain(canvas: &mut Canvas, view: &View, random: &mut Random, heap: &Heap) {
    let height = heap.base - heap.apex[1];
    let rough = Curve::new(random, 7, 6);
    let tops: Vec<f32> = canvas
        .centres()
        .map(|x| {
            let out = ((x - heap.apex[0]).abs() / heap.half).min(1.0);
            // Steeper at the top than at the foot.
            let fall = 1.0 - (1.0 - out).powf(1.25);
            heap.apex[1] + height * fall + 0.045 * rough.at(x) * smoothstep(0.02, 0.3, out) * (1.0 - out)
        })
        .collect();
    let snowy = view.attributes.season == Season::Snow;
    let cap = heap.apex[1] + height * if snowy { 0.70 } else { 0.32 };
    let rock = rgb(132, 122, 130);
    let wood = palette::scale(trees(view.attributes.season), 0.95);
    let (haze, side, palette) = (view.palette.haze(), view.side(), view.palette);
    let (lean, phase) = (random.range(-0.12, 0.12), random.range(0.0, 6.0));
    let [cx, apex] = heap.apex;
    canvas.below(&tops, heap.base, |x, y, _| {
        let down = y - apex;
        // The edge between the two sides runs down from the apex in a zigzag.
        let edge = cx + lean * down + 0.05 * triangle(down * 9.0 + phase) * (down * 6.0).min(1.0);
        let bright = smoothstep(-0.012, 0.012, (x - edge) * side);
        let spur = triangle((x - cx) * 7.0 * side + down * 2.5 + phase);
        let shade = 0.16 + 0.62 * bright + 0.13 * spur;
        let line = cap + 0.035 * triangle(x * 9.0 + phase) + 0.02 * triangle(x * 21.0);
        let mut surface = rock;
        if !snowy {
            surface = mix(surface, wood, smoothstep(0.5, 0.85, down / height));
        }
        let snow = smoothstep(0.012, -0.012, y - line);
        let colour = mix(palette.lit(surface, shade), palette.snow(shade), snow);
        let fade = heap.haze + (1.0 - heap.haze) * 0.30 * (down / height).clamp(0.0, 1.0);
        mix(colour, haze, fade)
    });
}

/// A wide smooth dune with a dark lee side.
fn dune(canvas: &mut Canvas, view: &View, random: &mut Random, heap: &Heap, sand: Colour) {
    let [cx, apex] = heap.apex;
    let height = heap.base - apex;
    let rough = Curve::new(random, 2, 3);
    let tops: Vec<f32> = canvas
        .centres()
        .map(|x| {
            let out = ((x - cx).abs() / heap.half).min(1.0);
            let fall = out * (1.6 - 0.6 * out);
            apex + height * fall + 0.02 * rough.at(x) * out
        })
        .collect();
    let (haze, side, palette) = (view.palette.haze(), view.side(), view.palette);
    let (lean, bend) = (random.range(0.5, 0.9) * -side, random.range(0.03, 0.06));
    canvas.below(&tops, 1.0, |x, y, top| {
        let down = y - apex;
        // The crest comes towards the viewer in an S.
        let crest = cx + lean * down + bend * (down * 17.0).sin();
        let bright = smoothstep(-0.01, 0.01, (x - crest) * side);
        let shade = 0.15 + 0.75 * bright - (y - top) * 0.35;
        mix(palette.lit(sand, shade.max(0.0)), haze, heap.haze)
    });
}

/// A wave of straight lines between -1 and 1, of period 1.
fn triangle(phase: f32) -> f32 {
    4.0 * (phase - (phase + 0.5).floor()).abs() - 1.0
}
