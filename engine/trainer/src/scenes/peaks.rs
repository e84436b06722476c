//! Mountains and the volcano: heaps with a bright and a dark side. Their shapes and rock are changed here.

use super::attributes::Season;
use super::canvas::{Canvas, Curve, Point};
use super::colours::{Colour, mix, rgb, scale, smoothstep, trees};
use super::layout::Layout;
use super::scene_random::SceneRandom;
use super::weather;

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

/// A range of three peaks that stand on `base`, before a paler range.
pub(super) fn mountains(canvas: &mut Canvas, layout: &Layout, random: &mut SceneRandom, base: f32, height: f32) {
    let far = random.range(-0.05, 0.05);
    for x in [0.12, 0.5, 0.88] {
        let apex = [x + far + random.range(-0.04, 0.04), base - height * random.range(0.55, 0.68)];
        mountain(canvas, layout, random, &Heap { apex, base, half: 0.34, haze: 0.62 });
    }
    // The highest first: the others stand before it.
    let main = random.range(0.36, 0.64);
    let side = random.sign();
    let peaks =
        [(main, 1.0, 0.42, 0.16), (main + side * 0.34, 0.74, 0.34, 0.10), (main - side * 0.36, 0.64, 0.32, 0.06)];
    for (x, tall, half, haze) in peaks {
        let apex = [x + random.range(-0.03, 0.03), base - height * tall * random.range(0.93, 1.05)];
        mountain(canvas, layout, random, &Heap { apex, base, half, haze });
    }
}

/// A pointed peak with a snow cap and, where trees grow, woods at its foot.
fn mountain(canvas: &mut Canvas, layout: &Layout, random: &mut SceneRandom, heap: &Heap) {
    const ROCK: Colour = rgb(134, 124, 132);
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
    let season = layout.attributes.season;
    let cap = match season {
        Season::Winter => 0.72,
        Season::Spring => 0.40,
        _ => 0.28,
    };
    let cap = heap.apex[1] + height * cap;
    let wood = if season == Season::Spring { rgb(120, 170, 92) } else { scale(trees(season), 0.95) };
    let side = layout.light_side();
    let (lean, phase) = (random.range(-0.12, 0.12), random.range(0.0, 6.0));
    let [cx, apex] = heap.apex;
    canvas.below(&tops, heap.base, |x, y, _| {
        let down = y - apex;
        // Gullies run down and away from the apex.
        let (u, v) = ((x - cx) / (0.6 + 2.2 * down) + phase, 0.55 * down);
        let (relief, patch) = (layout.detail * layout.noise.slope(u, v), layout.detail * layout.noise.at(u, 1.6 * v));
        // The edge between the two sides runs down from the apex in a zigzag.
        let edge = cx + lean * down + 0.05 * triangle(down * 9.0 + phase) * (down * 6.0).min(1.0);
        let bright = smoothstep(-0.012, 0.012, (x - edge) * side);
        let spur = triangle((x - cx) * 7.0 * side + down * 2.5 + phase);
        let shade = 0.18 + 0.60 * bright + 0.12 * spur + 0.34 * side * relief;
        let line = cap + 0.035 * triangle(x * 9.0 + phase) + 0.02 * triangle(x * 21.0) + 0.05 * patch;
        let snow = smoothstep(line + 0.008, line - 0.008, y);
        let woods = if season == Season::Winter { 0.0 } else { 0.85 };
        let foot = heap.base - height * 0.30 + 0.05 * patch + 0.02 * triangle(x * 13.0 + phase);
        let surface = mix(ROCK, wood, woods * layout.border(foot - 0.02, foot + 0.03, y));
        let bare = layout.surface(surface, shade, 0.0);
        let colour = mix(bare, layout.palette.snow(layout.tone(shade + 0.10)), snow);
        let deep = heap.haze + 0.10 * smoothstep(apex, heap.base, y) * (1.0 - layout.detail * 0.3);
        mix(colour, layout.palette.haze(), deep.min(1.0))
    });
}

/// One cone with fire in its crater, lava on its flanks and smoke above, on dark ground.
pub(super) fn volcano(canvas: &mut Canvas, layout: &Layout, random: &mut SceneRandom) {
    const BASALT: Colour = rgb(112, 92, 92);
    const LAVA: Colour = rgb(255, 96, 24);
    const HOT: Colour = rgb(255, 214, 84);
    let cx = 0.5 - 0.06 * layout.light_side() + random.range(-0.04, 0.04);
    let (crater, base) = (random.range(0.30, 0.34), layout.horizon + 0.06);
    let (rim, foot) = (0.075, 0.50);
    let drift = 0.10 * layout.light_side();
    let smoke = [scale(layout.palette.cloud_under, 0.62), scale(layout.palette.cloud_under, 0.92)];
    for (up, out, half) in [(0.24, 1.4, 0.15), (0.15, 0.75, 0.12), (0.06, 0.25, 0.09)] {
        weather::cloud(canvas, layout, random, [cx - drift * out, crater - up + 0.03], half, smoke);
    }
    canvas.glow([cx, crater - 0.02], 0.26, rgb(255, 120, 40), 0.85);
    let rough = Curve::new(random, 8, 5);
    let tops: Vec<f32> = canvas
        .centres()
        .map(|x| {
            let out = (((x - cx).abs() - rim) / (foot - rim)).max(0.0);
            let lip = 0.016 * smoothstep(rim, 0.5 * rim, (x - cx).abs());
            crater + lip + (base - crater) * (1.0 - (1.0 - out.min(1.0)).powf(1.7)) + 0.014 * rough.at(x) * out.min(1.0)
        })
        .collect();
    let side = layout.light_side();
    let streams: Vec<(f32, Curve)> =
        [-0.55, 0.10, 0.62].map(|lean| (lean + random.range(-0.08, 0.08), Curve::new(random, 6, 3))).into();
    let lengths = [random.range(0.22, 0.30), random.range(0.34, 0.40), random.range(0.20, 0.28)];
    canvas.below(&tops, base, |x, y, _| {
        let down = y - crater;
        let u = (x - cx) / (0.5 + 2.0 * down);
        let relief = layout.detail * layout.noise.slope(1.3 * u, 0.7 * down);
        let bright = smoothstep(-0.03, 0.03, (x - cx - 0.04 * triangle(6.0 * down)) * side);
        let rock = layout.surface(BASALT, 0.20 + 0.50 * bright + 0.32 * side * relief, 0.04);
        let mut colour = rock;
        for ((lean, wind), length) in streams.iter().zip(lengths) {
            let along = down / length;
            let middle = cx + lean * down * (0.5 + 0.5 * along) + 0.030 * wind.at(y * 1.4) + 0.05 * lean;
            let half = 0.020 * (1.15 - along).max(0.0);
            let out = (x - middle).abs();
            let flow = smoothstep(half + 0.006, half - 0.004, out) * smoothstep(1.1, 1.0, along);
            colour = mix(colour, mix(LAVA, HOT, layout.border(half, 0.2 * half, out)), flow);
        }
        // The crater's edge glows.
        mix(colour, HOT, smoothstep(rim, 0.6 * rim, (x - cx).abs()) * smoothstep(0.034, 0.018, down))
    });
    let rise = Curve::new(random, 2, 3);
    for (drop, amplitude, colour, haze) in [(0.0, 0.02, rgb(96, 82, 84), 0.12), (0.09, 0.02, rgb(76, 66, 72), 0.0)] {
        let line: Vec<f32> = canvas.centres().map(|x| base - 0.02 + drop + amplitude * rise.at(x + drop)).collect();
        canvas.below(&line, 1.0, |x, y, top| {
            let shade = 0.72 + 0.16 * side * (x - 0.5) - 0.6 * (y - top)
                + 0.25 * layout.detail * layout.noise.slope(x, 2.0 * y);
            layout.surface(colour, shade, haze)
        });
    }
}

/// A wave of straight lines between -1 and 1, of period 1.
fn triangle(phase: f32) -> f32 {
    4.0 * (phase - (phase + 0.5).floor()).abs() - 1.0
}
