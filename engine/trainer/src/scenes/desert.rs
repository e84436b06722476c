//! Dunes and the canyon: lands of sand and layered rock.

use super::canvas::{Canvas, Curve};
use super::colours::{Colour, SAND, mix, rgb, smoothstep};
use super::layout::Layout;
use super::scene_random::SceneRandom;

/// Three rows of dunes, the nearest the largest, down to the lower edge.
pub(super) fn dunes(canvas: &mut Canvas, layout: &Layout, random: &mut SceneRandom) {
    let start = random.range(0.25, 0.75);
    for (row, (drop, height, haze)) in
        [(0.06, 0.10, 0.35), (0.18, 0.17, 0.15), (0.42, 0.25, 0.0)].into_iter().enumerate()
    {
        let base = layout.horizon + drop;
        let x = (start + 0.42 * row as f32).rem_euclid(1.0) * 0.7 + 0.15;
        dune(canvas, layout, random, [x, base - height, base], haze);
    }
}

/// A smooth heap `[x, apex, base]` with a sharp crest between its sides.
fn dune(canvas: &mut Canvas, layout: &Layout, random: &mut SceneRandom, [cx, apex, base]: [f32; 3], haze: f32) {
    let rough = Curve::new(random, 2, 3);
    let tops: Vec<f32> = canvas
        .centres()
        .map(|x| {
            let out = ((x - cx).abs() / 0.75).min(1.0);
            apex + (base - apex) * out * (1.6 - 0.6 * out) + 0.02 * rough.at(x) * out
        })
        .collect();
    let side = layout.light_side();
    let (lean, bend) = (random.range(0.5, 0.9) * -side, random.range(0.03, 0.06));
    canvas.below(&tops, 1.0, |x, y, top| {
        let down = y - apex;
        // The crest comes towards the viewer in an S.
        let crest = cx + lean * down + bend * (down * 17.0).sin();
        let bright = smoothstep(-0.01, 0.01, (x - crest) * side);
        let ripple = (52.0 * (y + 0.12 * x) + 7.0 * layout.noise.at(0.5 * x, 0.5 * y)).sin();
        let shade = 0.16 + 0.74 * bright - (y - top) * 0.35 + 0.05 * layout.detail * ripple;
        layout.surface(SAND, shade, haze)
    });
}

/// Two walls of layered rock, behind them two more in the haze, and a sandy floor.
pub(super) fn canyon(canvas: &mut Canvas, layout: &Layout, random: &mut SceneRandom) {
    let middle = random.range(0.45, 0.55);
    let floor = layout.horizon + 0.12;
    for (gap, height, haze) in [(0.04, 0.24, 0.55), (0.12, 0.38, 0.28), (0.23, 0.56, 0.0)] {
        let shift = random.range(-0.03, 0.03);
        walls(canvas, layout, random, [middle + shift, gap, floor, height], haze);
    }
    let rise = Curve::new(random, 2, 3);
    let line: Vec<f32> = canvas.centres().map(|x| floor - 0.04 + 0.016 * rise.at(x)).collect();
    canvas.below(&line, 1.0, |x, y, top| {
        let grain = layout.detail * layout.noise.slope(0.6 * x, 1.8 * y);
        layout.surface(
            rgb(226, 158, 104),
            0.84 + 0.2 * layout.light_side() * (x - 0.5) - 0.7 * (y - top) + 0.2 * grain,
            0.0,
        )
    });
}

/// A wall on either side of `[middle, half gap, floor, height]`, in terraces.
fn walls(
    canvas: &mut Canvas,
    layout: &Layout,
    random: &mut SceneRandom,
    [cx, gap, floor, height]: [f32; 4],
    haze: f32,
) {
    const LAYERS: [Colour; 5] =
        [rgb(198, 92, 58), rgb(228, 140, 88), rgb(176, 78, 56), rgb(240, 186, 132), rgb(208, 108, 66)];
    let rough = Curve::new(random, 9, 6);
    let uneven = [random.range(0.88, 1.0), random.range(0.88, 1.0)];
    let tops: Vec<f32> = canvas
        .centres()
        .map(|x| {
            let out = (x - cx).abs() - gap + 0.012 * rough.at(x);
            let steps = 0.40 * smoothstep(-0.01, 0.035, out)
                + 0.32 * smoothstep(0.075, 0.115, out)
                + 0.28 * smoothstep(0.19, 0.23, out);
            floor - height * uneven[usize::from(x > cx)] * steps + 0.008 * rough.at(0.7 * x)
        })
        .collect();
    let phase = random.unit();
    let side = layout.light_side();
    canvas.below(&tops, floor, |x, y, top| {
        let (wave, relief) = (layout.noise.at(0.6 * x, 0.2 * y), layout.detail * layout.noise.slope(1.5 * x, 0.15 * y));
        let layer = (y + 0.010 * layout.detail * wave) / 0.058 + phase * 5.0;
        let (index, part) = (layer as usize, layer.fract());
        let albedo = mix(LAYERS[index % 5], LAYERS[(index + 1) % 5], smoothstep(0.82, 1.0, part));
        // The wall across from the light is lit, and every terrace has a bright lip.
        let faces = if (x > cx) == (side < 0.0) { 0.62 } else { 0.28 };
        let lip = 0.25 * smoothstep(0.03, 0.0, y - top);
        layout.surface(albedo, faces + lip + 0.30 * relief, haze)
    });
}
