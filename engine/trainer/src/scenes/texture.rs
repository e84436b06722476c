//! Texture: one tile of fractal noise for all scenes, each of which takes it from a random place. Change here how rough
//! surfaces look.

use std::sync::OnceLock;

use super::scene_random::SceneRandom;

/// Samples of the tile's side.
const SIDE: usize = 256;

/// A window into the tile.
#[derive(Clone, Copy)]
pub(super) struct Texture {
    tile: &'static [f32],
    place: [f32; 2],
}

impl Texture {
    /// A window at a random place.
    pub fn new(random: &mut SceneRandom) -> Self {
        static TILE: OnceLock<Vec<f32>> = OnceLock::new();
        Self { tile: TILE.get_or_init(tile), place: [random.unit(), random.unit()] }
    }

    /// The noise at a place, about -1 … 1. The largest waves are 1/8 long, the smallest 1/32; the whole repeats after 1.
    pub fn at(&self, x: f32, y: f32) -> f32 {
        const SCALE: f32 = SIDE as f32;
        let (x, y) = ((x + self.place[0]) * SCALE, (y + self.place[1]) * SCALE);
        let (left, top) = (x.floor(), y.floor());
        let (across, down) = (x - left, y - top);
        let (left, top) = (left as i32 as usize % SIDE, top as i32 as usize % SIDE);
        let (right, bottom) = ((left + 1) % SIDE, (top + 1) % SIDE);
        let line = |row: usize| {
            let (a, b) = (self.tile[row * SIDE + left], self.tile[row * SIDE + right]);
            a + (b - a) * across
        };
        let (upper, lower) = (line(top), line(bottom));
        upper + (lower - upper) * down
    }

    /// How much the noise rises to the right: bright where a slope looks there.
    pub fn slope(&self, x: f32, y: f32) -> f32 {
        2.5 * (self.at(x + 0.012, y) - self.at(x - 0.012, y))
    }
}

/// Value noise in two octaves, periodic in both directions. Finer grain would cost the latents more than it gives the eye.
fn tile() -> Vec<f32> {
    let mut tile = vec![0.0; SIDE * SIDE];
    for (octave, weight) in [(8, 1.0), (16, 0.45)] {
        let mut random = SceneRandom::new(2024, octave as u64);
        let lattice: Vec<f32> = (0..octave * octave).map(|_| random.range(-1.0, 1.0)).collect();
        let cell = SIDE / octave;
        let fade = |part: usize| {
            let t = part as f32 / cell as f32;
            t * t * (3.0 - 2.0 * t)
        };
        for (index, value) in tile.iter_mut().enumerate() {
            let (row, column) = (index / SIDE, index % SIDE);
            let (top, left) = (row / cell, column / cell);
            let (bottom, right) = ((top + 1) % octave, (left + 1) % octave);
            let (down, across) = (fade(row % cell), fade(column % cell));
            let line = |row: usize| {
                let (a, b) = (lattice[row * octave + left], lattice[row * octave + right]);
                a + (b - a) * across
            };
            *value += weight * (line(top) + (line(bottom) - line(top)) * down);
        }
    }
    tile
}
