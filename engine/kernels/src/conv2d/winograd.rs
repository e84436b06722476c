//! Convolution 3×3 with fewer multiplications (Winograd 1980; Lavin and Gray, arXiv 1509.09308): tiles of the image and
//! the weights are transformed, multiplied value by value, and transformed back. F(4×4) multiplies a quarter as often as
//! the plain sum, F(2×2) four ninths.
//!
//! F(4×4) evaluates at 0, ±3/4, ±3/2 and ∞ instead of the usual 0, ±1, ±2, ∞: in f32 that makes its error a quarter.

// Indices are rows and columns of small squares, of which some loops fill one while they read another.
#![allow(clippy::needless_range_loop)]

use half::bf16;

use super::geometry::Geometry;
use super::outer_product::Outer;
use crate::element::Element;
use crate::packed_gemm::{Block, Epilogue, Packed, Panel, ROWS, ReadRow, WeightFormat};
use crate::simd::{self, Simd, Task, vectorized};
use crate::{parallel, scratch};

/// Side of the square of results that one tile gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tile {
    Two,
    Four,
}

/// The largest tile has 6 × 6 values.
const MOST: usize = 6;

impl Tile {
    pub(crate) fn side(self) -> usize {
        match self {
            Self::Two => 2,
            Self::Four => 4,
        }
    }

    /// Values of a transformed tile.
    pub(crate) fn values(self) -> usize {
        (self.side() + 2) * (self.side() + 2)
    }

    /// The rows of the matrix that transforms weights.
    fn weight_transform(self) -> &'static [[f32; 3]] {
        match self {
            Self::Two => &[[1.0, 0.0, 0.0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0.0, 0.0, 1.0]],
            // 1 / Π (p − q) · (1, p, p²) over the other finite points q; the last row stands for ∞.
            Self::Four => {
                const A: f32 = 1.0 / (2.0 * 0.5625 * (0.5625 - 2.25));
                const B: f32 = 1.0 / (2.0 * 2.25 * (2.25 - 0.5625));
                &[
                    [1.0 / (0.5625 * 2.25), 0.0, 0.0],
                    [A, 0.75 * A, 0.5625 * A],
                    [A, -0.75 * A, 0.5625 * A],
                    [B, 1.5 * B, 2.25 * B],
                    [B, -1.5 * B, 2.25 * B],
                    [0.0, 0.0, 1.0],
                ]
            }
        }
    }
}

/// Transforms and packs weights (O, C, 3, 3).
pub(crate) fn pack(
    tile: Tile,
    format: WeightFormat,
    (out_channels, channels): (usize, usize),
    read: ReadRow<'_>,
) -> Packed {
    Packed::new(format, (tile.values(), channels, out_channels), false, |column, values| {
        scratch::with(9 * channels, |row| {
            read(column, row);
            transform_weights(tile.weight_transform(), row, channels, values);
        });
    })
}

/// Channels transformed at once.
const CHANNELS: usize = 16;

vectorized! {
    /// Kernels (channels, 3, 3) to (values of a tile, channels).
    fn transform_weights(transform: &[[f32; 3]], kernels: &[f32], channels: usize, values: &mut [f32]) {
        for channel in (0..channels).step_by(CHANNELS) {
            let count = CHANNELS.min(channels - channel);
            let mut g = [[0.0f32; CHANNELS]; 9];
            for lane in 0..count {
                for (place, g) in g.iter_mut().enumerate() {
                    g[lane] = kernels[9 * (channel + lane) + place];
                }
            }
            for (i, left) in transform.iter().enumerate() {
                let mut line = [[0.0f32; CHANNELS]; 3];
                for (k, line) in line.iter_mut().enumerate() {
                    for lane in 0..CHANNELS {
                        line[lane] = left[0] * g[k][lane] + left[1] * g[3 + k][lane] + left[2] * g[6 + k][lane];
                    }
                }
                for (j, right) in transform.iter().enumerate() {
                    let mut value = [0.0f32; CHANNELS];
                    for lane in 0..CHANNELS {
                        value[lane] = line[0][lane] * right[0] + line[1][lane] * right[1] + line[2][lane] * right[2];
                    }
                    let to = (i * transform.len() + j) * channels + channel;
                    values[to..to + count].copy_from_slice(&value[..count]);
                }
            }
        }
    }
}

/// Tiles of the shortest block: a tile of registers.
const SHORTEST: usize = 8;

/// At least so many blocks are multiplied with the weights before these are read again.
const FEWEST: usize = 4;

/// The convolution of `x` (B, H, W, C).
pub(crate) fn forward<E: Element>(tile: Tile, g: &Geometry, weights: &Packed, x: &[E], epilogue: &Epilogue<'_, E>) {
    let grid = Grid { g, tile, rows: g.out_height.div_ceil(tile.side()), columns: g.out_width.div_ceil(tile.side()) };
    let tiles = g.batch * grid.rows * grid.columns;
    let (threads, panels) = (parallel::threads(), weights.panels.len());
    // A task multiplies a block with a panel. Blocks are as long as a product takes at once, and shorter where there would
    // be too few tasks for every thread. A part is as many as keep all threads evenly busy, and no more, so that transformed
    // tiles stay in the caches.
    let even = |least: usize| {
        (least..least + threads).find(|blocks| (blocks * panels).is_multiple_of(threads)).unwrap_or(least)
    };
    let at_once = if threads == 1 { 1 } else { even(FEWEST.max(2 * threads / panels)) };
    let blocks = tiles.div_ceil(ROWS).max(at_once.min(3 * threads / panels)).min(tiles.div_ceil(SHORTEST));
    let blocks = if blocks > at_once { even(blocks) } else { blocks };
    let share = |block: usize| block * tiles / blocks;
    let zeros = vec![E::from_f32(0.0); g.channels];
    let pairs = weights.format == WeightFormat::Bf16Pairs;
    for from in (0..blocks).step_by(at_once) {
        let part = from..(from + at_once).min(blocks);
        let first = share(part.start);
        let count = share(part.end) - first;
        let rows = Transformed { first, stride: count * g.channels, pairs };
        scratch::with(tile.values() * rows.bytes_per_value() / size_of::<f32>(), |transformed| {
            let target = parallel::Shared::new(transformed);
            let pieces = (2 * threads).max(2 * part.len()).min(count);
            parallel::for_each(pieces, |piece| {
                let (from, to) = (first + piece * count / pieces, first + (piece + 1) * count / pieces);
                #[allow(unsafe_code)]
                // SAFETY: the target was made for `rows`, and every piece belongs to one task.
                unsafe {
                    simd::dispatch(Input { grid: &grid, x, zeros: &zeros, rows, from, to, target });
                }
            });
            #[allow(unsafe_code)]
            // SAFETY: the tasks that wrote have ended.
            let transformed = unsafe { target.read() };
            parallel::for_each(part.len() * panels, |task| {
                let (block, panel) = (part.start + task / panels, &weights.panels[task % panels]);
                multiply(&grid, weights, panel, (transformed, rows), share(block)..share(block + 1), epilogue);
            });
        });
    }
}

/// How transformed tiles lie: (values of a tile, tiles, C).
#[derive(Clone, Copy)]
struct Transformed {
    /// The first tile.
    first: usize,
    /// Numbers of one value of a tile: tiles times channels.
    stride: usize,
    /// Whether they are bf16, an even number to each tile; otherwise f32.
    pairs: bool,
}

impl Transformed {
    fn bytes(self) -> usize {
        if self.pairs { 2 } else { 4 }
    }

    fn bytes_per_value(self) -> usize {
        self.stride * self.bytes()
    }
}

/// Tiles summed over before the next weights have their turn.
const TILES: usize = 128;

/// The gradient of the weights (O, C, 3, 3): the sums over the tiles of the transformed image times the transformed
/// gradient `dy` (B, H', W', O), transformed back.
pub(crate) fn weight_gradient(tile: Tile, g: &Geometry, x: &[f32], dy: &[f32]) -> Vec<f32> {
    let grid = Grid { g, tile, rows: g.out_height.div_ceil(tile.side()), columns: g.out_width.div_ceil(tile.side()) };
    let tiles = g.batch * grid.rows * grid.columns;
    let (values, channels) = (tile.values(), g.channels);
    let zeros = vec![0.0f32; channels];
    let width = g.out_channels.next_multiple_of(simd::lanes());
    // (values, C, width)
    let mut sums = vec![0.0f32; values * channels * width];
    let target = parallel::Shared::new(&mut sums);
    let rows = |first: usize, count: usize| Transformed { first, stride: count * channels, pairs: false };
    scratch::with(values * rows(0, TILES).bytes_per_value() / size_of::<f32>(), |image| {
        scratch::with(values * TILES * width, |gradient| {
            // Columns past the last are never written.
            gradient.fill(0.0);
            let (image, gradient) = (parallel::Shared::new(image), parallel::Shared::new(gradient));
            for first in (0..tiles).step_by(TILES) {
                let count = TILES.min(tiles - first);
                let rows = rows(first, count);
                let parts = parallel::threads();
                parallel::for_each(parts, |part| {
                    let (from, to) = (first + part * count / parts, first + (part + 1) * count / parts);
                    let of_image = Input { grid: &grid, x, zeros: &zeros, rows, from, to, target: image };
                    let of_gradient = Gradient { grid: &grid, dy, first, count, from, to, width, target: gradient };
                    #[allow(unsafe_code)]
                    // SAFETY: both targets were made for `TILES` tiles, and every part belongs to one task.
                    unsafe {
                        simd::dispatch(of_image);
                        simd::dispatch(of_gradient);
                    }
                });
                #[allow(unsafe_code)]
                // SAFETY: the tasks that wrote have ended; the next ones begin after those that read.
                let (image, gradient) = unsafe { (image.read(), gradient.read()) };
                parallel::for_each(values, |value| {
                    let image = &image[value * rows.bytes_per_value() / size_of::<f32>()..][..count * channels];
                    let rows: Vec<*const f32> = image.chunks_exact(channels).map(<[f32]>::as_ptr).collect();
                    #[allow(unsafe_code)]
                    // SAFETY: every value has sums of its own.
                    let sums = unsafe { target.slice(value * channels * width, channels * width) };
                    let dy = &gradient[value * count * width..][..count * width];
                    #[allow(unsafe_code)]
                    // SAFETY: every row has `channels` values.
                    unsafe {
                        simd::dispatch(Outer { x: &rows, dy, channels: 0..channels, width, sums });
                    }
                });
            }
        });
    });
    let mut out = vec![0.0f32; g.out_channels * channels * 9];
    let side = tile.side() + 2;
    let transform = tile.weight_transform();
    for channel in 0..channels {
        // (side, 3, width), then (3, 3, width)
        let mut half = vec![0.0f32; side * 3 * width];
        let mut kernel = vec![0.0f32; 9 * width];
        for value in 0..values {
            let sums = &sums[(value * channels + channel) * width..][..width];
            for (k, factor) in transform[value % side].iter().enumerate() {
                scaled_row(*factor, sums, &mut half[(value / side * 3 + k) * width..][..width]);
            }
        }
        for (row, factors) in transform.iter().enumerate() {
            for (k, factor) in factors.iter().enumerate() {
                for x in 0..3 {
                    let half = &half[(row * 3 + x) * width..][..width];
                    scaled_row(*factor, half, &mut kernel[(k * 3 + x) * width..][..width]);
                }
            }
        }
        for (place, row) in kernel.chunks_exact(width).enumerate() {
            for (output, value) in row[..g.out_channels].iter().enumerate() {
                out[(output * channels + channel) * 9 + place] = *value;
            }
        }
    }
    out
}

vectorized! {
    /// `to += factor · from`
    fn scaled_row(factor: f32, from: &[f32], to: &mut [f32]) {
        for (to, from) in to.iter_mut().zip(from) {
            *to += factor * from;
        }
    }
}

/// The tiles of an image.
struct Grid<'a> {
    g: &'a Geometry,
    tile: Tile,
    rows: usize,
    columns: usize,
}

impl Grid<'_> {
    /// Sample, first row and first column of a tile's results.
    fn place(&self, tile: usize) -> (usize, usize, usize) {
        let (line, column) = (tile / self.columns, tile % self.columns);
        (line / self.rows, line % self.rows * self.tile.side(), column * self.tile.side())
    }
}

/// Transforms the tiles `from..to` of `x` into `target`, which `rows` describes.
///
/// # Safety
/// To run it, `target` must be as long as `rows` says, and the tiles `from..to` this task's alone.
struct Input<'a, E> {
    grid: &'a Grid<'a>,
    x: &'a [E],
    /// A pixel of the padding.
    zeros: &'a [E],
    rows: Transformed,
    from: usize,
    to: usize,
    target: parallel::Shared<'a>,
}

#[allow(unsafe_code)]
impl<E: Element> Task for Input<'_, E> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self, s: S) {
        // SAFETY: the caller's promise.
        unsafe {
            match (self.grid.tile, self.rows.pairs) {
                (Tile::Two, false) => self.transform::<S, f32, 4>(s),
                (Tile::Four, false) => self.transform::<S, f32, 6>(s),
                (Tile::Two, true) => self.transform::<S, bf16, 4>(s),
                (Tile::Four, true) => self.transform::<S, bf16, 6>(s),
            }
        }
    }
}

#[allow(unsafe_code)]
impl<E: Element> Input<'_, E> {
    /// # Safety
    /// As for the task.
    #[inline(always)]
    unsafe fn transform<S: Simd, T: Element, const SIDE: usize>(&self, s: S) {
        let g = self.grid.g;
        let channels = g.channels;
        let stride = self.rows.bytes_per_value() / size_of::<T>();
        for tile in self.from..self.to {
            let (sample, top, left) = self.grid.place(tile);
            let mut pixels = [[self.zeros.as_ptr(); SIDE]; SIDE];
            for (y, row) in pixels.iter_mut().enumerate() {
                for (x, pixel) in row.iter_mut().enumerate() {
                    if let Some(source) = g.source(sample, top + y, left + x) {
                        *pixel = self.x[source * channels..].as_ptr();
                    }
                }
            }
            let tile = self.target.start().cast::<T>().wrapping_add((tile - self.rows.first) * channels);
            for channel in (0..channels).step_by(S::LANES) {
                let part = channels - channel;
                // SAFETY: every pixel is `channels` values of `x` or of `zeros`, of which `part` are left, and the place in
                // the target is this tile's, by the caller's promise.
                unsafe {
                    let mut d = [[s.splat(0.0); SIDE]; SIDE];
                    for y in 0..SIDE {
                        for x in 0..SIDE {
                            d[y][x] = E::load_part(s, pixels[y][x].add(channel), part);
                        }
                    }
                    // What the next tile will read beside what it shares with this one.
                    for y in 0..SIDE {
                        for x in 2..SIDE {
                            simd::prefetch(pixels[y][x].wrapping_add((SIDE - 2) * channels + channel).cast());
                        }
                    }
                    // Columns, then rows. Plain loops: vectors must not pass through closures, which lack the features.
                    for x in 0..SIDE {
                        let mut column = [s.splat(0.0); SIDE];
                        for y in 0..SIDE {
                            column[y] = d[y][x];
                        }
                        let column = to_points::<S, SIDE>(s, column);
                        for y in 0..SIDE {
                            d[y][x] = column[y];
                        }
                    }
                    for y in 0..SIDE {
                        let row = to_points::<S, SIDE>(s, d[y]);
                        for x in 0..SIDE {
                            T::store_part(s, tile.add((y * SIDE + x) * stride + channel), row[x], part);
                        }
                    }
                }
            }
        }
    }
}

/// Transforms the results' gradients of the tiles `from..to` into (values, count, width), which starts with tile `first`.
///
/// # Safety
/// To run it, `dy` must be of the grid's results, `target` as long as said above, and the tiles this task's alone.
struct Gradient<'a> {
    grid: &'a Grid<'a>,
    dy: &'a [f32],
    first: usize,
    count: usize,
    from: usize,
    to: usize,
    width: usize,
    target: parallel::Shared<'a>,
}

#[allow(unsafe_code)]
impl Task for Gradient<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self, s: S) {
        // SAFETY: the caller's promise.
        unsafe {
            match self.grid.tile {
                Tile::Two => self.transform::<S, 4, 2>(s),
                Tile::Four => self.transform::<S, 6, 4>(s),
            }
        }
    }
}

#[allow(unsafe_code)]
impl Gradient<'_> {
    /// # Safety
    /// As for the task.
    #[inline(always)]
    unsafe fn transform<S: Simd, const SIDE: usize, const OUT: usize>(&self, s: S) {
        let g = self.grid.g;
        let channels = g.out_channels;
        for tile in self.from..self.to {
            let (sample, top, left) = self.grid.place(tile);
            for channel in (0..channels).step_by(S::LANES) {
                let part = channels - channel;
                // SAFETY: the pixel lies inside the results, of whose channels `part` are left; the place in the target is
                // this tile's, by the caller's promise.
                unsafe {
                    let mut half = [[s.splat(0.0); OUT]; SIDE];
                    for x in 0..OUT.min(g.out_width - left) {
                        let mut column = [s.splat(0.0); OUT];
                        for y in 0..OUT.min(g.out_height - top) {
                            let pixel = (sample * g.out_height + top + y) * g.out_width + left + x;
                            column[y] = f32::load_part(s, self.dy.as_ptr().add(pixel * channels + channel), part);
                        }
                        let column = spread_to_points::<S, OUT, SIDE>(s, column);
                        for y in 0..SIDE {
                            half[y][x] = column[y];
                        }
                    }
                    for y in 0..SIDE {
                        let row = spread_to_points::<S, OUT, SIDE>(s, half[y]);
                        for x in 0..SIDE {
                            let at = ((y * SIDE + x) * self.count + tile - self.first) * self.width + channel;
                            let to = self.target.slice(at, part.min(S::LANES));
                            f32::store_part(s, to.as_mut_ptr(), row[x], part);
                        }
                    }
                }
            }
        }
    }
}

/// Multiplies a block of tiles with one panel, and transforms back.
fn multiply<E: Element>(
    grid: &Grid<'_>,
    weights: &Packed,
    panel: &Panel,
    (transformed, layout): (&[f32], Transformed),
    tiles: std::ops::Range<usize>,
    epilogue: &Epilogue<'_, E>,
) {
    let channels = grid.g.channels;
    let sums_row = panel.vectors * simd::lanes();
    scratch::with(grid.tile.values() * ROWS * sums_row, |sums| {
        for value in 0..grid.tile.values() {
            let start = transformed[value * layout.bytes_per_value() / size_of::<f32>()..].as_ptr().cast::<u8>();
            let row = |tile: usize| start.wrapping_add((tile - layout.first) * channels * layout.bytes());
            let rows: [*const u8; ROWS] = std::array::from_fn(|at| row((tiles.start + at).min(tiles.end - 1)));
            let block = Block {
                format: weights.format,
                rows: &rows,
                stride: ROWS,
                count: tiles.len(),
                weights: weights.weights(panel, value),
                taps: 1,
                words: weights.words(),
                vectors: panel.vectors,
                sums: sums[value * ROWS * sums_row..][..ROWS * sums_row].as_mut_ptr(),
                sums_row,
                add: false,
            };
            #[allow(unsafe_code)]
            // SAFETY: a transformed tile has the words of a row for every value, the panel is of these weights, and the
            // sums have room for `ROWS` rows of its width.
            unsafe {
                simd::dispatch(block);
            }
        }
        #[allow(unsafe_code)]
        // SAFETY: this block of tiles and this panel belong to this task.
        unsafe {
            simd::dispatch(Output { grid, panel, sums, sums_row, tiles, epilogue });
        }
    });
}

/// Transforms the sums of a block of tiles back and hands them on.
///
/// # Safety
/// To run it, the results of these tiles and this panel's columns must be this task's alone, and the epilogue must be of the
/// grid's results.
struct Output<'a, E> {
    grid: &'a Grid<'a>,
    panel: &'a Panel,
    /// (values, ROWS, `sums_row`)
    sums: &'a [f32],
    sums_row: usize,
    tiles: std::ops::Range<usize>,
    epilogue: &'a Epilogue<'a, E>,
}

#[allow(unsafe_code)]
impl<E: Element> Task for Output<'_, E> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self, s: S) {
        // SAFETY: the caller's promise.
        unsafe {
            match self.grid.tile {
                Tile::Two => self.transform::<S, 4, 2>(s),
                Tile::Four => self.transform::<S, 6, 4>(s),
            }
        }
    }
}

#[allow(unsafe_code)]
impl<E: Element> Output<'_, E> {
    /// # Safety
    /// As for the task.
    #[inline(always)]
    unsafe fn transform<S: Simd, const SIDE: usize, const OUT: usize>(&self, s: S) {
        let g = self.grid.g;
        for (row, tile) in self.tiles.clone().enumerate() {
            let (sample, top, left) = self.grid.place(tile);
            for column in (0..self.panel.columns).step_by(S::LANES) {
                // SAFETY: sums have whole vectors for every column of the panel; row and column lie inside the results, and
                // are this task's by the caller's promise.
                unsafe {
                    let mut half = [[s.splat(0.0); SIDE]; OUT];
                    for x in 0..SIDE {
                        let mut values = [s.splat(0.0); SIDE];
                        for y in 0..SIDE {
                            let at = ((y * SIDE + x) * ROWS + row) * self.sums_row + column;
                            values[y] = s.load(self.sums.as_ptr().add(at));
                        }
                        let values = from_points::<S, SIDE, OUT>(s, values);
                        for y in 0..OUT {
                            half[y][x] = values[y];
                        }
                    }
                    for y in 0..OUT.min(g.out_height - top) {
                        let values = from_points::<S, SIDE, OUT>(s, half[y]);
                        let line = (sample * g.out_height + top + y) * g.out_width + left;
                        for x in 0..OUT.min(g.out_width - left) {
                            self.epilogue.vector(s, values[x], values[x], line + x, self.panel.first + column);
                        }
                    }
                }
            }
        }
    }
}

/// The transform of an image's tile in one direction.
#[inline(always)]
fn to_points<S: Simd, const SIDE: usize>(s: S, d: [S::Vector; SIDE]) -> [S::Vector; SIDE] {
    let mut t = d;
    if SIDE == MOST {
        t[0] = scaled(s, 1.265_625, d[0], scaled(s, -2.8125, d[2], d[4]));
        let (even, odd) = (scaled(s, -2.25, d[2], d[4]), scaled(s, -2.25, d[1], d[3]));
        (t[1], t[2]) = (scaled(s, 0.75, odd, even), scaled(s, -0.75, odd, even));
        let (even, odd) = (scaled(s, -0.5625, d[2], d[4]), scaled(s, -0.5625, d[1], d[3]));
        (t[3], t[4]) = (scaled(s, 1.5, odd, even), scaled(s, -1.5, odd, even));
        t[5] = scaled(s, 1.265_625, d[1], scaled(s, -2.8125, d[3], d[5]));
    } else {
        t[0] = s.sub(d[0], d[2]);
        t[1] = s.add(d[1], d[2]);
        t[2] = s.sub(d[2], d[1]);
        t[3] = s.sub(d[3], d[1]);
    }
    t
}

/// The transform back in one direction.
#[inline(always)]
fn from_points<S: Simd, const SIDE: usize, const OUT: usize>(s: S, m: [S::Vector; SIDE]) -> [S::Vector; OUT] {
    let mut y = [m[0]; OUT];
    if SIDE == MOST {
        let (inner, inner_odd) = (s.add(m[1], m[2]), s.sub(m[1], m[2]));
        let (outer, outer_odd) = (s.add(m[3], m[4]), s.sub(m[3], m[4]));
        // Σ pᵏ over the points ±3/4 (inner) and ±3/2 (outer).
        let zero = s.splat(0.0);
        y[0] = s.add(m[0], s.add(inner, outer));
        y[1] = scaled(s, 0.75, inner_odd, scaled(s, 1.5, outer_odd, zero));
        y[2] = scaled(s, 0.5625, inner, scaled(s, 2.25, outer, zero));
        y[3] = scaled(s, 0.421_875, inner_odd, scaled(s, 3.375, outer_odd, m[5]));
    } else {
        y[0] = s.add(m[0], s.add(m[1], m[2]));
        y[1] = s.add(s.sub(m[1], m[2]), m[3]);
    }
    y
}

/// [`from_points`] the other way round: what each point's sum counts for in the results.
#[inline(always)]
fn spread_to_points<S: Simd, const OUT: usize, const SIDE: usize>(s: S, y: [S::Vector; OUT]) -> [S::Vector; SIDE] {
    let mut m = [y[0]; SIDE];
    if SIDE == MOST {
        let even = scaled(s, 0.5625, y[2], y[0]);
        let odd = scaled(s, 0.421_875, y[3], s.mul(s.splat(0.75), y[1]));
        (m[1], m[2]) = (s.add(even, odd), s.sub(even, odd));
        let even = scaled(s, 2.25, y[2], y[0]);
        let odd = scaled(s, 3.375, y[3], s.mul(s.splat(1.5), y[1]));
        (m[3], m[4]) = (s.add(even, odd), s.sub(even, odd));
        m[5] = y[3];
    } else {
        m[1] = s.add(y[0], y[1]);
        m[2] = s.sub(y[0], y[1]);
        m[3] = y[1];
    }
    m
}

/// `factor · a + b`
#[inline(always)]
fn scaled<S: Simd>(s: S, factor: f32, a: S::Vector, b: S::Vector) -> S::Vector {
    s.mul_add(s.splat(factor), a, b)
}
