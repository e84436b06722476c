//! A square picture to paint on, addressed in 0 … 1 from the top left, so that a scene looks the same at any size.
//!
//! Beside its colour each pixel carries a mark, a number that tells shapes apart: where it jumps, a drawn style has a
//! line. New kinds of shapes belong here; what they depict does not.

use super::colours::{Colour, smoothstep};
use super::scene_random::SceneRandom;

/// A rectangle: left, top, right, bottom.
pub(super) type Bounds = [f32; 4];

/// A point: x to the right, y down.
pub(super) type Point = [f32; 2];

/// Red, green, blue and the mark.
pub(super) type Pixel = [f32; 4];

/// The picture.
pub(super) struct Canvas {
    /// Pixels across and down.
    pub size: usize,
    /// Rows from the top.
    pub pixels: Vec<Pixel>,
    /// Whether light falls off in steps.
    flat: bool,
    mark: f32,
}

impl Canvas {
    /// A black picture; on a `flat` one glows are rings.
    pub fn new(size: u32, flat: bool) -> Self {
        let size = size as usize;
        Self { size, pixels: vec![[0.0; 4]; size * size], flat, mark: 0.0 }
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

    /// Mixes every pixel in `bounds` with the colour that `paint` gives for it, by the opacity it gives: light and air.
    pub fn tint(&mut self, bounds: Bounds, paint: impl Fn(f32, f32) -> (Colour, f32)) {
        self.change(bounds, |pixel, x, y| {
            let (colour, opacity) = paint(x, y);
            if opacity > 0.0 {
                for channel in 0..3 {
                    pixel[channel] += (colour[channel] - pixel[channel]) * opacity;
                }
            }
        });
    }

    /// The same for a thing of its own, which has an outline.
    pub fn shape(&mut self, bounds: Bounds, paint: impl Fn(f32, f32) -> (Colour, f32)) {
        let mark = self.next_mark();
        self.change(bounds, |pixel, x, y| {
            let (colour, opacity) = paint(x, y);
            if opacity > 0.0 {
                blend(pixel, colour, mark, opacity);
            }
        });
    }

    /// Lightens with `colour`, as much as `strength` says; never past white.
    pub fn screen(&mut self, bounds: Bounds, colour: Colour, strength: impl Fn(f32, f32) -> f32) {
        self.change(bounds, |pixel, x, y| {
            let strength = strength(x, y);
            for channel in 0..3 {
                pixel[channel] += (1.0 - pixel[channel]) * colour[channel] * strength;
            }
        });
    }

    /// A light of radius `radius` around a point.
    pub fn glow(&mut self, [cx, cy]: Point, radius: f32, colour: Colour, strength: f32) {
        let falloff = 1.0 / (radius * radius);
        let (edge, flat) = (self.edge(), self.flat);
        self.screen([cx - radius, cy - radius, cx + radius, cy + radius], colour, |x, y| {
            let square = (x - cx) * (x - cx) + (y - cy) * (y - cy);
            if flat {
                let distance = square.sqrt();
                let rings = edge.cover(distance - 0.42 * radius) + edge.cover(distance - 0.68 * radius);
                return 0.32 * rings * strength;
            }
            let near = (1.0 - square * falloff).max(0.0);
            near * near * strength
        });
    }

    /// A filled disc.
    pub fn disc(&mut self, [cx, cy]: Point, radius: f32, colour: Colour, opacity: f32) {
        let edge = self.edge();
        let reach = radius + edge.width();
        self.shape([cx - reach, cy - reach, cx + reach, cy + reach], |x, y| {
            (colour, opacity * edge.cover((x - cx).hypot(y - cy) - radius))
        });
    }

    /// A filled disc of light, without an outline.
    pub fn spark(&mut self, [cx, cy]: Point, radius: f32, colour: Colour) {
        let edge = self.edge();
        let reach = radius + edge.width();
        self.tint([cx - reach, cy - reach, cx + reach, cy + reach], |x, y| {
            (colour, edge.cover((x - cx).hypot(y - cy) - radius))
        });
    }

    /// A filled convex polygon of at most eight corners, in either direction, of the colour `paint` gives.
    pub fn convex(&mut self, corners: &[Point], opacity: f32, paint: impl Fn(f32, f32) -> Colour) {
        let (bounds, cover) = self.polygon(corners);
        self.shape(bounds, |x, y| {
            let cover = cover(x, y);
            if cover > 0.0 { (paint(x, y), cover * opacity) } else { ([0.0; 3], 0.0) }
        });
    }

    /// The same in one colour and without an outline.
    pub fn streak(&mut self, corners: &[Point], opacity: f32, colour: Colour) {
        let (bounds, cover) = self.polygon(corners);
        self.tint(bounds, |x, y| (colour, cover(x, y) * opacity));
    }

    /// Where a convex polygon lies, and how much of a pixel it covers.
    fn polygon(&self, corners: &[Point]) -> (Bounds, impl Fn(f32, f32) -> f32 + use<>) {
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
        let edge = self.edge();
        let reach = edge.width();
        let cover = move |x: f32, y: f32| {
            edge.cover(sides[..count].iter().fold(f32::MIN, |most, &[a, b, c]| most.max(a * x + b * y + c)))
        };
        ([bounds[0] - reach, bounds[1] - reach, bounds[2] + reach, bounds[3] + reach], cover)
    }

    /// Fills from the line `tops` (one y for each column) down to `bottom`; `paint` gets x, y and the column's top.
    pub fn below(&mut self, tops: &[f32], bottom: f32, paint: impl Fn(f32, f32, f32) -> Colour) {
        let size = self.size;
        let scale = size as f32;
        let mark = self.next_mark();
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
                    blend(pixel, paint(x, y, tops[column]), mark, cover);
                }
            }
        }
    }

    /// Fills everything below the level `line` with what `paint` makes of x, y and a look-up of the picture above it
    /// (bilinear, by x and y, clamped to what lies above).
    pub fn mirror(&mut self, line: f32, paint: impl Fn(f32, f32, &dyn Fn(f32, f32) -> Colour) -> Colour) {
        let size = self.size;
        let scale = size as f32;
        let mark = self.next_mark();
        if size < 2 {
            return;
        }
        // The row that `line` cuts is water in part.
        let first = ((line * scale).floor() as usize).clamp(1, size - 1);
        let (above, under) = self.pixels.split_at_mut(first * size);
        let look_up = |x: f32, y: f32| -> Colour {
            let (x, y) = ((x * scale - 0.5).clamp(0.0, scale - 1.0), (y * scale - 0.5).clamp(0.0, first as f32 - 1.0));
            bilinear(above, size, first, x, y)
        };
        for (row, pixels) in under.chunks_exact_mut(size).enumerate() {
            let y = ((first + row) as f32 + 0.5) / scale;
            let cover = (0.5 + (y - line) * scale).clamp(0.0, 1.0);
            for (column, pixel) in pixels.iter_mut().enumerate() {
                let colour = paint((column as f32 + 0.5) / scale, y.max(line), &look_up);
                blend(pixel, colour, mark, cover);
            }
        }
    }

    /// A number that the shapes painted just before do not have.
    fn next_mark(&mut self) -> f32 {
        self.mark = (self.mark + 0.618_034).fract();
        self.mark
    }

    /// Changes every pixel in `bounds` in place.
    fn change(&mut self, bounds: Bounds, change: impl Fn(&mut Pixel, f32, f32)) {
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
    pub fn new(random: &mut SceneRandom, first: u32, waves: u32) -> Self {
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

/// The colour between four pixels; `x` and `y` in pixels, within the picture of `size` columns and `rows` rows.
pub(super) fn bilinear(pixels: &[Pixel], size: usize, rows: usize, x: f32, y: f32) -> Colour {
    let (column, row) = (x as usize, y as usize);
    let (right, down) = ((column + 1).min(size - 1), (row + 1).min(rows - 1) * size);
    let (across, below) = (x - column as f32, y - row as f32);
    let corners =
        [pixels[row * size + column], pixels[row * size + right], pixels[down + column], pixels[down + right]];
    std::array::from_fn(|channel| {
        let upper = corners[0][channel] + (corners[1][channel] - corners[0][channel]) * across;
        let lower = corners[2][channel] + (corners[3][channel] - corners[2][channel]) * across;
        upper + (lower - upper) * below
    })
}

/// A staircase of `levels` steps from 0 to 1, each rise `width` wide.
pub(super) fn stairs(value: f32, levels: f32, width: f32) -> f32 {
    let scaled = value * levels;
    let half = 0.5 * (width * levels).clamp(1e-4, 1.0);
    (scaled.floor() + smoothstep(0.5 - half, 0.5 + half, scaled - scaled.floor())) / levels
}

fn blend(pixel: &mut Pixel, colour: Colour, mark: f32, opacity: f32) {
    for channel in 0..3 {
        pixel[channel] += (colour[channel] - pixel[channel]) * opacity;
    }
    pixel[3] += (mark - pixel[3]) * opacity;
}
