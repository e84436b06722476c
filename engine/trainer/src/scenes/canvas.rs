//! A square picture to paint on, addressed in 0 … 1 from the top left, so that a scene looks the same at any size.

use super::palette::{Colour, mix};
use super::random::Random;

/// The picture.
pub(super) struct Canvas {
    /// Pixels across and down.
    size: usize,
    /// Rows from the top.
    pixels: Vec<Colour>,
}

/// A rectangle: left, top, right, bottom.
pub(super) type Bounds = [f32; 4];

/// A point: x to the right, y down.
pub(super) type Point = [f32; 2];

impl Canvas {
    /// A black picture.
    pub fn new(size: u32) -> Self {
        let size = size as usize;
        Self { size, pixels: vec![[0.0; 3]; size * size] }
    }

    /// How edges are smoothed at this size.
    pub fn edge(&self) -> Edge {
        Edge(self.size as f32)
    }

    /// The x (or y) of every pixel's centre.
    pub fn centres(&self) -> impl Iterator<Item = f32> + use<> {
        let size = self.size;
        (0..size).map(move |index| (index as f32 + 0.5) / size as f32)
    }

    /// Mixes every pixel in `bounds` with the colour that `paint` gives for it, by the opacity it gives.
    pub fn paint(&mut self, bounds: Bounds, paint: impl Fn(f32, f32) -> (Colour, f32)) {
        let [left, top, right, bottom] = self.pixel_bounds(bounds);
        let step = 1.0 / self.size as f32;
        for row in top..bottom {
            let y = (row as f32 + 0.5) * step;
            let line = &mut self.pixels[row * self.size..(row + 1) * self.size];
            for (column, pixel) in line.iter_mut().enumerate().take(right).skip(left) {
                let (colour, opacity) = paint((column as f32 + 0.5) * step, y);
                if opacity > 0.0 {
                    *pixel = mix(*pixel, colour, opacity);
                }
            }
        }
    }

    /// Lightens with `colour`, as much as `strength` says; never past white.
    pub fn screen(&mut self, bounds: Bounds, colour: Colour, strength: impl Fn(f32, f32) -> f32) {
        let white = [1.0; 3];
        self.paint_with(bounds, |pixel, x, y| {
            let strength = strength(x, y);
            for channel in 0..3 {
                pixel[channel] += (white[channel] - pixel[channel]) * colour[channel] * strength;
            }
        });
    }

    /// Changes every pixel in `bounds` in place.
    pub fn paint_with(&mut self, bounds: Bounds, change: impl Fn(&mut Colour, f32, f32)) {
        let [left, top, right, bottom] = self.pixel_bounds(bounds);
        let step = 1.0 / self.size as f32;
        for row in top..bottom {
            let y = (row as f32 + 0.5) * step;
            let line = &mut self.pixels[row * self.size..(row + 1) * self.size];
            for (column, pixel) in line.iter_mut().enumerate().take(right).skip(left) {
                change(pixel, (column as f32 + 0.5) * step, y);
            }
        }
    }

    /// A soft light of radius `radius` around a point.
    pub fn glow(&mut self, [cx, cy]: Point, radius: f32, colour: Colour, strength: f32) {
        let falloff = 1.0 / (radius * radius);
        self.screen([cx - radius, cy - radius, cx + radius, cy + radius], colour, |x, y| {
            let near = (1.0 - ((x - cx) * (x - cx) + (y - cy) * (y - cy)) * falloff).max(0.0);
            near * near * strength
        });
    }

    /// A filled disc.
    pub fn disc(&mut self, [cx, cy]: Point, radius: f32, colour: Colour, opacity: f32) {
        let edge = self.edge();
        let reach = radius + edge.width();
        self.paint([cx - reach, cy - reach, cx + reach, cy + reach], |x, y| {
            (colour, opacity * edge.cover((x - cx).hypot(y - cy) - radius))
        });
    }

    /// A filled convex polygon of at most eight corners, in either direction, of the colour `paint` gives.
    pub fn convex(&mut self, corners: &[Point], opacity: f32, paint: impl Fn(f32, f32) -> Colour) {
        let count = corners.len().min(8);
        let mut area = 0.0;
        let mut bounds = [f32::MAX, f32::MAX, f32::MIN, f32::MIN];
        for (index, &[x, y]) in corners.iter().enumerate().take(count) {
            let [next_x, next_y] = corners[(index + 1) % count];
            area += x * next_y - next_x * y;
            bounds = [bounds[0].min(x), bounds[1].min(y), bounds[2].max(x), bounds[3].max(y)];
        }
        // Each side as the signed distance from its line, positive outside: a·x + b·y + c.
        let mut sides = [[0.0_f32; 3]; 8];
        for (index, &[x, y]) in corners.iter().enumerate().take(count) {
            let [next_x, next_y] = corners[(index + 1) % count];
            let length = (next_x - x).hypot(next_y - y).max(1e-6) * area.signum();
            let (a, b) = ((next_y - y) / length, (x - next_x) / length);
            sides[index] = [a, b, -a * x - b * y];
        }
        let sides = &sides[..count];
        let edge = self.edge();
        let reach = edge.width();
        let bounds = [bounds[0] - reach, bounds[1] - reach, bounds[2] + reach, bounds[3] + reach];
        self.paint(bounds, |x, y| {
            let mut outside = f32::MIN;
            for &[a, b, c] in sides {
                outside = outside.max(a * x + b * y + c);
            }
            let cover = edge.cover(outside);
            if cover > 0.0 { (paint(x, y), cover * opacity) } else { ([0.0; 3], 0.0) }
        });
    }

    /// Fills from the line `tops` (one y for each column) down to `bottom`; `paint` gets x, y and the column's top.
    pub fn below(&mut self, tops: &[f32], bottom: f32, paint: impl Fn(f32, f32, f32) -> Colour) {
        let size = self.size;
        let scale = size as f32;
        // On a slope the distance from the line is shorter than the one straight up.
        let slant: Vec<f32> = (0..size)
            .map(|column| {
                let (left, right) = (column.saturating_sub(1), (column + 1).min(size - 1));
                let rise = (tops[right] - tops[left]) * scale / (right - left).max(1) as f32;
                scale / rise.mul_add(rise, 1.0).sqrt()
            })
            .collect();
        let highest = tops.iter().copied().fold(f32::MAX, f32::min) - 1.5 / scale;
        let [_, top, _, bottom_row] = self.pixel_bounds([0.0, highest, 1.0, bottom + 0.5 / scale]);
        for row in top..bottom_row {
            let y = (row as f32 + 0.5) / scale;
            let floor = (0.5 + (bottom - y) * scale).clamp(0.0, 1.0);
            let line = &mut self.pixels[row * size..(row + 1) * size];
            for (column, pixel) in line.iter_mut().enumerate() {
                let cover = (0.5 + (y - tops[column]) * slant[column]).clamp(0.0, 1.0) * floor;
                if cover > 0.0 {
                    let x = (column as f32 + 0.5) / scale;
                    *pixel = mix(*pixel, paint(x, y, tops[column]), cover);
                }
            }
        }
    }

    /// Fills everything below the level `line` with what `paint` makes of x, y and a look-up of the picture above it
    /// (bilinear, by x and y, clamped to what lies above).
    pub fn mirror(&mut self, line: f32, paint: impl Fn(f32, f32, &dyn Fn(f32, f32) -> Colour) -> Colour) {
        let size = self.size;
        let scale = size as f32;
        if size < 2 {
            return;
        }
        // The row that `line` cuts is water in part.
        let first = ((line * scale).floor() as usize).clamp(1, size - 1);
        let (above, under) = self.pixels.split_at_mut(first * size);
        let look_up = |x: f32, y: f32| -> Colour {
            let (x, y) = ((x * scale - 0.5).clamp(0.0, scale - 1.0), (y * scale - 0.5).clamp(0.0, first as f32 - 1.0));
            let (column, row) = (x as usize, y as usize);
            let (next_column, next_row) = ((column + 1).min(size - 1), (row + 1).min(first - 1));
            let (across, down) = (x - column as f32, y - row as f32);
            let upper = mix(above[row * size + column], above[row * size + next_column], across);
            let lower = mix(above[next_row * size + column], above[next_row * size + next_column], across);
            mix(upper, lower, down)
        };
        for (row, pixels) in under.chunks_exact_mut(size).enumerate() {
            let y = ((first + row) as f32 + 0.5) / scale;
            let cover = (0.5 + (y - line) * scale).clamp(0.0, 1.0);
            for (column, pixel) in pixels.iter_mut().enumerate() {
                let colour = paint((column as f32 + 0.5) / scale, y.max(line), &look_up);
                *pixel = mix(*pixel, colour, cover);
            }
        }
    }

    /// RGB bytes, rows from the top, the corners a little darker.
    pub fn into_rgb(self) -> Vec<u8> {
        let across: Vec<f32> = self.centres().map(|x| 0.10 * (2.0 * x - 1.0) * (2.0 * x - 1.0)).collect();
        let mut bytes = Vec::with_capacity(self.pixels.len() * 3);
        for (line, down) in self.pixels.chunks_exact(self.size).zip(&across) {
            for (pixel, right) in line.iter().zip(&across) {
                let vignette = (1.0 - down - right) * 255.0;
                bytes.extend(pixel.map(|channel| (channel.clamp(0.0, 1.0) * vignette + 0.5) as u8));
            }
        }
        bytes
    }

    /// First and last (exclusive) columns and rows of `bounds` that lie in the picture.
    fn pixel_bounds(&self, [left, top, right, bottom]: Bounds) -> [usize; 4] {
        let scale = self.size as f32;
        let low = |value: f32| ((value * scale - 0.5).ceil().max(0.0) as usize).min(self.size);
        [low(left), low(top), low(right), low(bottom)]
    }
}

/// Turns a signed distance from a shape's border (positive outside) into how much of the pixel it covers.
#[derive(Clone, Copy)]
pub(super) struct Edge(f32);

impl Edge {
    /// 0 … 1.
    pub fn cover(self, outside: f32) -> f32 {
        (0.5 - outside * self.0).clamp(0.0, 1.0)
    }

    /// How far a shape's smoothed border reaches outside of it: one pixel.
    pub fn width(self) -> f32 {
        1.0 / self.0
    }
}

/// A smooth random line: a sum of sines, within about -1 … 1.
pub(super) struct Curve(Vec<[f32; 3]>);

impl Curve {
    /// `waves` sines, of `first`, `first` + 1, … half periods over the picture's width, each weaker than the last.
    pub fn new(random: &mut Random, first: u32, waves: u32) -> Self {
        let terms: Vec<[f32; 3]> = (first..first + waves)
            .map(|wave| {
                let amplitude = random.range(0.6, 1.0) * random.sign() * (first as f32 / wave as f32).powf(1.5);
                [wave as f32 * std::f32::consts::PI, random.range(0.0, std::f32::consts::TAU), amplitude]
            })
            .collect();
        let sum: f32 = terms.iter().map(|[_, _, amplitude]| amplitude.abs()).sum();
        Self(terms.into_iter().map(|[frequency, phase, amplitude]| [frequency, phase, amplitude / sum]).collect())
    }

    /// Its value at `x`.
    pub fn at(&self, x: f32) -> f32 {
        self.0.iter().map(|[frequency, phase, amplitude]| amplitude * frequency.mul_add(x, *phase).sin()).sum()
    }
}
