//! How crisp a picture is: its power at high frequencies, and its steepest edges. Change here what crisp means; `evaluate`
//! says both as a share of what renders of the same prompts have.

use rustfft::FftPlanner;
use rustfft::num_complex::Complex;
use serde::Serialize;

/// What is measured of one picture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Sharpness {
    /// Power of the brightness at frequencies above half of Nyquist's (more than 0.25 cycles a pixel, in any direction), per
    /// pixel.
    pub high_frequency_power: f64,
    /// Mean length of the brightness's gradient over the steepest hundredth of the pixels.
    pub steepest_gradient: f64,
}

impl Sharpness {
    /// Of a picture of `side` × `side` pixels, rows of RGB bytes.
    pub fn of(rgb: &[u8], side: usize) -> Self {
        let brightness: Vec<f64> = rgb.chunks_exact(3).map(brightness).collect();
        assert_eq!(brightness.len(), side * side, "a square picture");
        Self {
            high_frequency_power: high_frequency_power(&brightness, side),
            steepest_gradient: steepest_gradient(&brightness, side),
        }
    }

    /// The mean over pictures.
    pub fn mean(all: &[Self]) -> Self {
        let count = all.len().max(1) as f64;
        let mean = |of: fn(&Self) -> f64| all.iter().map(of).sum::<f64>() / count;
        Self {
            high_frequency_power: mean(|one| one.high_frequency_power),
            steepest_gradient: mean(|one| one.steepest_gradient),
        }
    }
}

/// Luma of an RGB pixel (Rec. 601), 0 … 1.
fn brightness(pixel: &[u8]) -> f64 {
    (0.299 * f64::from(pixel[0]) + 0.587 * f64::from(pixel[1]) + 0.114 * f64::from(pixel[2])) / 255.0
}

/// By Parseval: the mean square of the part of the picture that has these frequencies.
fn high_frequency_power(brightness: &[f64], side: usize) -> f64 {
    let mut values: Vec<Complex<f64>> = brightness.iter().map(|&value| Complex::new(value, 0.0)).collect();
    let transform = FftPlanner::new().plan_fft_forward(side);
    transform.process(&mut values);
    let mut columns: Vec<Complex<f64>> =
        (0..side * side).map(|index| values[(index % side) * side + index / side]).collect();
    transform.process(&mut columns);
    // Cycles a pixel: indices beyond the middle are negative frequencies.
    let frequency = |index: usize| index.min(side - index) as f64 / side as f64;
    let high = |index: &usize| frequency(index / side).hypot(frequency(index % side)) > 0.25;
    (0..side * side).filter(high).map(|index| columns[index].norm_sqr()).sum::<f64>() / (side * side).pow(2) as f64
}

/// Differences to the right and downward neighbours; at least one pixel counts.
fn steepest_gradient(brightness: &[f64], side: usize) -> f64 {
    let mut lengths: Vec<f64> = (0..side.saturating_sub(1))
        .flat_map(|y| (0..side - 1).map(move |x| y * side + x))
        .map(|at| (brightness[at + 1] - brightness[at]).hypot(brightness[at + side] - brightness[at]))
        .collect();
    lengths.sort_by(|a, b| b.total_cmp(a));
    let count = (lengths.len() / 100).max(1).min(lengths.len());
    lengths[..count].iter().sum::<f64>() / count.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIDE: usize = 16;

    /// A grey picture whose brightness at (x, y) is this.
    fn picture(brightness: impl Fn(usize, usize) -> f64) -> Vec<u8> {
        let pixel = |index: usize| (255.0 * brightness(index % SIDE, index / SIDE)).round() as u8;
        (0..SIDE * SIDE).flat_map(|index| [pixel(index); 3]).collect()
    }

    #[test]
    fn power_is_that_of_the_fast_waves() {
        // A wave of amplitude 0.5 has the mean square 0.125: every fourth pixel is as fast as the border, every third faster.
        let wave = |length: f64| picture(move |x, _| 0.5 + 0.5 * (std::f64::consts::TAU * x as f64 / length).cos());
        let power = |picture: &[u8]| Sharpness::of(picture, SIDE).high_frequency_power;
        assert!(power(&wave(8.0)) < 1e-4, "slow");
        assert!((power(&wave(16.0 / 5.0)) - 0.125).abs() < 1e-3, "fast");
        assert!((power(&picture(|x, y| ((x + y) % 2) as f64)) - 0.25).abs() < 1e-3, "a chessboard, without its mean");
        assert!(power(&picture(|_, _| 0.7)).abs() < 1e-12, "nothing");
    }

    #[test]
    fn the_steepest_edge_counts() {
        let steepest = |picture: &[u8]| Sharpness::of(picture, SIDE).steepest_gradient;
        assert!((steepest(&picture(|x, _| f64::from(u8::from(x > 7)))) - 1.0).abs() < 1e-6, "a step");
        assert!((steepest(&picture(|x, _| x as f64 / 15.0)) - 1.0 / 15.0).abs() < 1e-6, "a ramp");
        assert!(steepest(&picture(|_, _| 0.3)).abs() < 1e-12, "nothing");
    }
}
