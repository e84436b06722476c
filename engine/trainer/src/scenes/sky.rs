//! The sky and what hangs in it.

use super::canvas::{Canvas, Curve};
use super::palette::{Colour, mix, rgb, smoothstep};
use super::random::Random;
use super::{SkyObject, Time, View};

/// Paints the whole sky; land comes over its lower part.
pub(super) fn paint(canvas: &mut Canvas, view: &View, random: &mut Random) {
    gradient(canvas, view);
    if view.attributes.has(SkyObject::Stars) {
        stars(canvas, view, random);
    }
    if view.attributes.time == Time::Aurora {
        aurora(canvas, view, random);
    }
    for &object in &view.attributes.sky {
        match object {
            SkyObject::Sun => sun(canvas, view),
            SkyObject::FullMoon => moon(canvas, view, false),
            SkyObject::CrescentMoon => moon(canvas, view, true),
            SkyObject::Rainbow => rainbow(canvas, view, random),
            SkyObject::Clouds => clouds(canvas, view, random),
            SkyObject::Stars => {}
        }
    }
}

/// Three colours from the zenith to the horizon.
fn gradient(canvas: &mut Canvas, view: &View) {
    let [zenith, middle, horizon] = view.palette.sky;
    canvas.paint([0.0, 0.0, 1.0, 1.0], |_, y| {
        let t = (y / view.horizon).min(1.0);
        (mix(mix(zenith, middle, smoothstep(0.0, 0.65, t)), horizon, smoothstep(0.45, 1.0, t)), 1.0)
    });
}

/// A few large stars, one in each field of a loose grid.
fn stars(canvas: &mut Canvas, view: &View, random: &mut Random) {
    const COLUMNS: u32 = 6;
    const ROWS: u32 = 4;
    let height = view.horizon / ROWS as f32;
    for field in 0..COLUMNS * ROWS {
        let x = ((field % COLUMNS) as f32 + random.range(0.15, 0.85)) / COLUMNS as f32;
        let y = ((field / COLUMNS) as f32 + random.range(0.15, 0.85)) * height;
        let radius = random.range(0.007, 0.012);
        let shown = random.chance(0.85);
        // No star beside the moon: it would look like a fleck.
        let far = !view.shines() || (x - view.light[0]).hypot(y - view.light[1]) > 0.14;
        if shown && far {
            canvas.glow([x, y], radius * 2.6, rgb(190, 205, 255), 0.6);
            canvas.disc([x, y], radius * 0.8, rgb(255, 255, 244), 1.0);
        }
    }
}

/// Two green curtains that fade upwards into violet.
fn aurora(canvas: &mut Canvas, view: &View, random: &mut Random) {
    for (base, strength) in [(0.46, 0.65), (0.74, 0.9)] {
        let (wave, rays) = (Curve::new(random, 2, 3), Curve::new(random, 9, 6));
        let base = base * view.horizon;
        let height = random.range(0.26, 0.34);
        let columns: Vec<[f32; 3]> = canvas
            .centres()
            .map(|x| {
                let ray = rays.at(x);
                [base + 0.09 * wave.at(x), 1.0 / (height * (1.0 + 0.45 * ray)), strength * (0.75 + 0.4 * ray)]
            })
            .collect();
        let count = columns.len() as f32;
        canvas.paint([0.0, 0.0, 1.0, base + 0.14], |x, y| {
            let [bottom, up, strength] = columns[(x * count) as usize];
            let rise = bottom - y;
            let t = rise * up;
            let bright = if rise > 0.0 { (1.0 - t).max(0.0) } else { (1.0 + rise * 24.0).max(0.0) };
            (mix(rgb(70, 255, 160), rgb(150, 90, 235), smoothstep(0.15, 0.9, t)), bright * bright * strength)
        });
    }
}

/// The sun in its glow.
fn sun(canvas: &mut Canvas, view: &View) {
    let (radius, reach) = match view.attributes.time {
        Time::Noon => (0.062, 0.34),
        Time::Dawn => (0.070, 0.42),
        _ => (0.085, 0.50),
    };
    let glow = view.palette.glow;
    canvas.glow(view.light, reach, glow, 0.45);
    canvas.glow(view.light, radius * 2.4, glow, 0.6);
    canvas.disc(view.light, radius, mix(glow, [1.0; 3], 0.55), 1.0);
}

/// The moon in its glow: full, or the part that a second disc leaves.
fn moon(canvas: &mut Canvas, view: &View, crescent: bool) {
    let [cx, cy] = view.light;
    let radius = 0.075;
    canvas.glow(view.light, 0.30, view.palette.glow, if crescent { 0.20 } else { 0.34 });
    let edge = canvas.edge();
    let reach = radius + edge.width();
    let bright: Colour = rgb(255, 250, 224);
    canvas.paint([cx - reach, cy - reach, cx + reach, cy + reach], |x, y| {
        let mut cover = edge.cover((x - cx).hypot(y - cy) - radius);
        if crescent {
            cover *= 1.0 - edge.cover((x - cx + 0.045).hypot(y - cy + 0.02) - radius * 0.92);
        } else {
            // Two soft seas, so that it is no lamp.
            let seas = smoothstep(0.032, 0.018, (x - cx + 0.022).hypot(y - cy + 0.018))
                + smoothstep(0.026, 0.014, (x - cx - 0.026).hypot(y - cy - 0.022));
            return (mix(bright, rgb(214, 210, 200), 0.6 * seas), cover);
        }
        (bright, cover)
    });
}

/// A bow that stands on the land, red outside.
fn rainbow(canvas: &mut Canvas, view: &View, random: &mut Random) {
    const BANDS: [Colour; 6] = [
        rgb(150, 90, 220),
        rgb(70, 130, 240),
        rgb(80, 210, 120),
        rgb(250, 230, 80),
        rgb(255, 160, 60),
        rgb(240, 70, 70),
    ];
    let (cx, cy) = (random.range(0.4, 0.6), view.horizon + 0.04);
    let (radius, width) = (random.range(0.40, 0.46), 0.095);
    canvas.paint([0.0, 0.0, 1.0, view.horizon + 0.05], |x, y| {
        let across = ((x - cx).hypot(y - cy) - radius) / width;
        if !(-0.15..=1.15).contains(&across) {
            return (BANDS[0], 0.0);
        }
        let band = (across * 6.0 - 0.5).clamp(0.0, 4.999);
        let index = band as usize;
        let soft = smoothstep(-0.15, 0.1, across) * smoothstep(1.15, 0.9, across);
        (mix(BANDS[index], BANDS[index + 1], band - index as f32), 0.72 * soft)
    });
}

/// A cloud on either side of the light, so that neither hides it.
fn clouds(canvas: &mut Canvas, view: &View, random: &mut Random) {
    for (away, height, half) in [(0.36, 0.26, 0.20), (-0.36, 0.42, 0.17)] {
        let x = (view.light[0] + away + random.range(-0.05, 0.05)).rem_euclid(1.0);
        let y = view.horizon * height + random.range(-0.03, 0.03);
        cloud(canvas, view, random, [x, y], half);
    }
}

/// A heap of soft balls with a flat underside; `half` is half its width.
fn cloud(canvas: &mut Canvas, view: &View, random: &mut Random, [cx, bottom]: [f32; 2], half: f32) {
    let balls: Vec<[f32; 3]> = [-0.75, -0.38, 0.0, 0.36, 0.72]
        .into_iter()
        .zip([0.24, 0.36, 0.44, 0.38, 0.26])
        .map(|(along, radius)| {
            let radius = radius * half * random.range(1.15, 1.45);
            [cx + along * half, bottom - radius * random.range(0.35, 0.6), 1.0 / (radius * radius)]
        })
        .collect();
    let (top, under) = (view.palette.cloud_top, view.palette.cloud_under);
    canvas.paint([cx - 1.3 * half, bottom - half, cx + 1.3 * half, bottom + 0.03], |x, y| {
        let field: f32 = balls
            .iter()
            .map(|[ball_x, ball_y, falloff]| {
                let near = (1.0 - ((x - ball_x) * (x - ball_x) + (y - ball_y) * (y - ball_y)) * falloff).max(0.0);
                near * near
            })
            .sum();
        let opacity = smoothstep(0.04, 0.30, field) * smoothstep(bottom + 0.025, bottom - 0.01, y);
        (mix(under, top, smoothstep(-0.02, 0.55 * half, bottom - y)), 0.95 * opacity)
    });
}
