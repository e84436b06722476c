//! The last step: what was painted, as a photograph, a watercolour, a poster or a pencil sketch.
//!
//! Each style has its own paper and treatment, the same in every scene. Lengths are parts of the picture's side.

use super::attributes::Style;
use super::canvas::{Canvas, Pixel, bilinear};
use super::colours::{Colour, grey, luma, mix, rgb, scale, smoothstep};
use super::layout::CELLS;
use super::texture::Texture;

/// RGB bytes, rows from the top.
pub(super) fn finish(canvas: &Canvas, style: Style, noise: Texture) -> Vec<u8> {
    match style {
        Style::Photograph => develop(canvas, |x, y, pixel| {
            let (right, down) = (2.0 * x - 1.0, 2.0 * y - 1.0);
            scale(rgb_of(pixel), 1.0 - 0.09 * (right * right + down * down))
        }),
        Style::Watercolour => {
            let lines = Lines::new(canvas);
            develop(canvas, |x, y, _| watercolour(canvas, &lines, noise, x, y))
        }
        Style::Poster => develop(canvas, |x, y, pixel| poster(canvas, x, y, pixel)),
        Style::Sketch => {
            let lines = Lines::new(canvas);
            develop(canvas, |x, y, pixel| sketch(&lines, noise, x, y, pixel))
        }
    }
}

/// Pigment thins and pools, its edges wander and dry dark, and the paper's rim stays white.
fn watercolour(canvas: &Canvas, lines: &Lines, noise: Texture, x: f32, y: f32) -> Colour {
    const PAPER: Colour = rgb(253, 250, 243);
    let (wet, dry) = (noise.at(0.9 * x, 0.9 * y), noise.at(2.1 * x + 0.4, 2.1 * y));
    let (px, py) = (x + 0.010 * wet, y + 0.006 * dry);
    let pigment = look_up(canvas, px, py);
    // Washes stay translucent: shadows are lifted, the more the darker.
    let lifted = mix(pigment, pigment.map(f32::sqrt), 0.22);
    let pigment = mix(grey(lifted), lifted, 1.22);
    let strength = 0.86 + 0.20 * wet + 0.07 * dry;
    let edge = 0.20 * lines.at(px, py);
    let rim = rim(x, y) + 0.012 * wet;
    let painted = smoothstep(0.030, 0.042, rim);
    // Where a wash ends its pigment gathers.
    let gathered = 0.35 * painted * smoothstep(0.075, 0.045, rim);
    let thick = (strength + gathered) * painted;
    std::array::from_fn(|channel| {
        let absorbed = (1.0 - pigment[channel]) * thick;
        PAPER[channel] * (1.0 - absorbed.clamp(0.0, 0.94)) * (1.0 - edge * painted)
    })
}

/// Strong colours in a cream frame.
fn poster(canvas: &Canvas, x: f32, y: f32, pixel: Pixel) -> Colour {
    const FRAME: Colour = rgb(250, 238, 212);
    let colour = rgb_of(pixel);
    let strong = mix(grey(colour), colour, 1.22);
    let contrast = strong.map(|channel| channel + 0.06 * (channel - 0.5));
    mix(contrast, FRAME, canvas.edge().cover(rim(x, y) - 0.035))
}

/// Outlines, hatching where it is dark, and a breath of coloured pencil.
fn sketch(lines: &Lines, noise: Texture, x: f32, y: f32, pixel: Pixel) -> Colour {
    const PAPER: Colour = rgb(250, 247, 240);
    const GRAPHITE: Colour = rgb(58, 58, 68);
    let colour = rgb_of(pixel);
    let dark = 1.0 - luma(colour);
    // Strokes leave some paper free.
    let grain = 0.5 + 0.5 * noise.at(2.0 * x, 2.0 * y);
    let wash = mix(PAPER, mix(grey(colour), colour, 1.35), 0.56);
    // Two strokes to a cell of the latents.
    let stroke = |along: f32| smoothstep(-0.25, 0.75, (along * std::f32::consts::TAU * 2.0 * CELLS).sin());
    let hatch = smoothstep(0.25, 0.85, dark) * stroke(x + y);
    let fade = smoothstep(0.0, 0.075, rim(x, y) + 0.03 * (grain - 0.5));
    let drawn = mix(wash, GRAPHITE, 0.34 * hatch * (0.7 + 0.5 * grain));
    let lined = mix(drawn, GRAPHITE, 0.85 * lines.at(x, y));
    mix(PAPER, lined, fade)
}

/// Where shapes meet, and how sharply: 0 … 1 for each pixel.
struct Lines {
    size: usize,
    strengths: Vec<f32>,
}

impl Lines {
    /// Jumps of mark and brightness over 1/128 of the side, so that lines are as thick at every size.
    fn new(canvas: &Canvas) -> Self {
        let (size, pixels) = (canvas.size, &canvas.pixels);
        let reach = ((size as f32 / 128.0).round() as usize).max(1);
        let strengths = (0..size * size)
            .map(|index| {
                let (row, column) = (index / size, index % size);
                let (down, right) = ((row + reach).min(size - 1), (column + reach).min(size - 1));
                let here = pixels[index];
                let jump =
                    |other: Pixel| (here[3] - other[3]).abs() + 0.3 * (luma(rgb_of(here)) - luma(rgb_of(other))).abs();
                let (across, along) = (jump(pixels[row * size + right]), jump(pixels[down * size + column]));
                smoothstep(0.06, 0.40, across.max(along))
            })
            .collect();
        Self { size, strengths }
    }

    fn at(&self, x: f32, y: f32) -> f32 {
        let place = |value: f32| ((value * self.size as f32) as usize).min(self.size - 1);
        self.strengths[place(y) * self.size + place(x)]
    }
}

/// How far a point is from the picture's border.
fn rim(x: f32, y: f32) -> f32 {
    x.min(y).min(1.0 - x).min(1.0 - y)
}

fn look_up(canvas: &Canvas, x: f32, y: f32) -> Colour {
    let scale = canvas.size as f32;
    let place = |value: f32| (value * scale - 0.5).clamp(0.0, scale - 1.0);
    bilinear(&canvas.pixels, canvas.size, canvas.size, place(x), place(y))
}

fn rgb_of(pixel: Pixel) -> Colour {
    [pixel[0], pixel[1], pixel[2]]
}

fn develop(canvas: &Canvas, colour: impl Fn(f32, f32, Pixel) -> Colour) -> Vec<u8> {
    let step = 1.0 / canvas.size as f32;
    let mut bytes = Vec::with_capacity(canvas.pixels.len() * 3);
    for (index, &pixel) in canvas.pixels.iter().enumerate() {
        let (row, column) = (index / canvas.size, index % canvas.size);
        let colour = colour((column as f32 + 0.5) * step, (row as f32 + 0.5) * step, pixel);
        bytes.extend(colour.map(|channel| (channel.clamp(0.0, 1.0) * 255.0 + 0.5) as u8));
    }
    bytes
}
