//! The sky and what hangs in it. A new light or kind of sky is painted here; clouds and bows are `weather`.

use super::attributes::{Light, Time, Weather};
use super::canvas::{Canvas, Curve, stairs};
use super::colours::{Colour, mix, rgb, smoothstep};
use super::layout::{Layout, cell};
use super::scene_random::SceneRandom;
use super::weather;

/// Paints the whole sky; land comes over its lower part.
pub(super) fn paint(canvas: &mut Canvas, layout: &Layout, random: &mut SceneRandom) {
    gradient(canvas, layout);
    if layout.attributes.stars {
        stars(canvas, layout, random);
    }
    if layout.attributes.time == Time::Aurora {
        aurora(canvas, layout, random);
    }
    match layout.attributes.light {
        Light::Absent => {}
        Light::Sun => sun(canvas, layout),
        Light::FullMoon => moon(canvas, layout, false),
        Light::CrescentMoon => moon(canvas, layout, true),
    }
    match layout.attributes.weather {
        Weather::Clouds => weather::clouds(canvas, layout, random),
        Weather::Rain | Weather::Snowfall => weather::overcast(canvas, layout, random),
        Weather::Rainbow => weather::rainbow(canvas, layout, random),
        Weather::Clear | Weather::Fog => {}
    }
}

/// Three colours from the zenith to the horizon.
fn gradient(canvas: &mut Canvas, layout: &Layout) {
    let [zenith, middle, horizon] = layout.palette.sky;
    let width = canvas.edge().width() / layout.horizon;
    canvas.tint([0.0, 0.0, 1.0, 1.0], |_, y| {
        let t = (y / layout.horizon).min(1.0);
        let t = if layout.flat { stairs(t, 5.0, width) } else { t };
        (mix(mix(zenith, middle, smoothstep(0.0, 0.65, t)), horizon, smoothstep(0.45, 1.0, t)), 1.0)
    });
}

/// A few large stars, one in each field of a loose grid.
fn stars(canvas: &mut Canvas, layout: &Layout, random: &mut SceneRandom) {
    const COLUMNS: u32 = 6;
    const ROWS: u32 = 4;
    let height = 0.9 * layout.horizon / ROWS as f32;
    for field in 0..COLUMNS * ROWS {
        let x = cell(((field % COLUMNS) as f32 + random.range(0.1, 0.9)) / COLUMNS as f32);
        let y = cell(((field / COLUMNS) as f32 + random.range(0.1, 0.9)) * height + 0.01);
        let radius = random.pick(&[0.011, 0.014]);
        let shown = random.chance(0.85);
        // No star beside the moon: it would look like a fleck.
        let far = !layout.light_is_visible() || (x - layout.light[0]).hypot(y - layout.light[1]) > 0.15;
        if shown && far {
            canvas.glow([x, y], radius * 2.8, rgb(190, 205, 255), 0.55);
            canvas.spark([x, y], radius * 0.85, rgb(255, 255, 246));
        }
    }
}

/// Two green curtains that fade upwards into violet.
fn aurora(canvas: &mut Canvas, layout: &Layout, random: &mut SceneRandom) {
    for (base, strength) in [(0.46, 0.70), (0.76, 0.95)] {
        let (wave, rays) = (Curve::new(random, 2, 3), Curve::new(random, 9, 6));
        let base = base * layout.horizon;
        let height = random.range(0.26, 0.34);
        let columns: Vec<[f32; 3]> = canvas
            .centres()
            .map(|x| {
                let ray = if layout.flat { 0.0 } else { rays.at(x) };
                [base + 0.09 * wave.at(x), 1.0 / (height * (1.0 + 0.45 * ray)), strength * (0.78 + 0.4 * ray)]
            })
            .collect();
        let count = columns.len() as f32;
        canvas.tint([0.0, 0.0, 1.0, base + 0.14], |x, y| {
            let [bottom, up, strength] = columns[(x * count) as usize];
            let rise = bottom - y;
            let t = rise * up;
            let mut bright = if rise > 0.0 { (1.0 - t).max(0.0) } else { (1.0 + rise * 24.0).max(0.0) };
            let mut along = t;
            if layout.flat {
                (bright, along) = (stairs(bright, 4.0, 0.05), stairs(t.clamp(0.0, 1.0), 4.0, 0.05));
            }
            (mix(rgb(70, 255, 160), rgb(150, 90, 235), smoothstep(0.15, 0.9, along)), bright * bright * strength)
        });
    }
}

/// The sun in its glow.
fn sun(canvas: &mut Canvas, layout: &Layout) {
    let (radius, reach) = match layout.attributes.time {
        Time::Noon => (0.064, 0.34),
        Time::Golden => (0.074, 0.46),
        Time::Dawn => (0.074, 0.42),
        _ => (0.088, 0.50),
    };
    let glow = layout.palette.glow;
    let thin = if layout.attributes.weather == Weather::Fog { 0.7 } else { 1.0 };
    canvas.glow(layout.light, reach, glow, 0.45 * thin);
    canvas.glow(layout.light, radius * 2.4, glow, 0.6 * thin);
    canvas.disc(layout.light, radius, mix(glow, [1.0; 3], 0.30), 0.4 + 0.6 * thin);
}

/// The moon in its glow: full, or the part that a second disc leaves.
fn moon(canvas: &mut Canvas, layout: &Layout, crescent: bool) {
    let [cx, cy] = layout.light;
    let radius = 0.080;
    canvas.glow(layout.light, 0.30, layout.palette.glow, if crescent { 0.20 } else { 0.34 });
    let edge = canvas.edge();
    let reach = radius + edge.width();
    let bright: Colour = rgb(255, 250, 224);
    canvas.shape([cx - reach, cy - reach, cx + reach, cy + reach], |x, y| {
        let mut cover = edge.cover((x - cx).hypot(y - cy) - radius);
        if crescent {
            cover *= 1.0 - edge.cover((x - cx + 0.048).hypot(y - cy + 0.022) - radius * 0.90);
            return (bright, cover);
        }
        // Two soft seas, so that it is no lamp.
        let seas = layout.border(0.034, 0.020, (x - cx + 0.024).hypot(y - cy + 0.020))
            + layout.border(0.028, 0.016, (x - cx - 0.028).hypot(y - cy - 0.024));
        (mix(bright, rgb(208, 204, 196), 0.6 * seas), cover)
    });
}
