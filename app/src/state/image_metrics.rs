//! How far two pictures differ, as numbers and as a map: plain functions on RGB bytes. Add a metric here.

use instaflow_engine::protocol::Picture;

/// How far two pictures of the same size are apart.
#[derive(Clone, Debug, PartialEq)]
pub struct Distance {
    /// Peak signal-to-noise ratio over all channels in dB; infinite if they are equal.
    pub psnr: f64,
    /// Gradient magnitude similarity deviation; see [`gmsd`].
    pub gmsd: f64,
    /// Mean absolute difference of the three channels for each pixel, rows from the top.
    pub map: Vec<u8>,
    /// The scale on which the map is best seen: all but the largest 0.5 percent of its values are at most this.
    pub scale: u8,
}

/// Scales a map can be shown on: the difference that its last colour stands for, of 255.
const SCALES: [u8; 5] = [16, 32, 64, 128, 255];

/// The distance of two pictures; `None` if their sizes differ.
pub fn distance(a: &Picture, b: &Picture) -> Option<Distance> {
    if (a.width, a.height) != (b.width, b.height) {
        return None;
    }
    let mut squares = 0.0;
    let map: Vec<u8> = (a.rgb.chunks_exact(3).zip(b.rgb.chunks_exact(3)))
        .map(|(a, b)| {
            let differences = [0, 1, 2].map(|c| u32::from(a[c].abs_diff(b[c])));
            squares += differences.iter().map(|d| f64::from(d * d)).sum::<f64>();
            ((differences.iter().sum::<u32>() + 1) / 3) as u8
        })
        .collect();
    let mean = squares / a.rgb.len().max(1) as f64;
    let psnr = if mean > 0.0 { 10.0 * (255.0 * 255.0 / mean).log10() } else { f64::INFINITY };
    let scale = scale(&map);
    Some(Distance { psnr, gmsd: gmsd(a, b), map, scale })
}

/// Gradient magnitude similarity deviation (Xue, Zhang, Mou and Bovik, 2014, arXiv 1308.3052): how unevenly the edges
/// of two pictures agree. 0 if all edges do; from about 0.2 on, a person sees other shapes. On luma (ITU-R BT.601)
/// at half size, with Prewitt's operator and the paper's constant of 170, as in the authors' code.
fn gmsd(a: &Picture, b: &Picture) -> f64 {
    const C: f64 = 170.0;
    let (width, height) = (a.width as usize, a.height as usize);
    let (across, down) = (width.div_ceil(2), height.div_ceil(2));
    let (a, b) = (edges(&half(a, across, down), across, down), edges(&half(b, across, down), across, down));
    let similarities: Vec<f64> = a.iter().zip(&b).map(|(a, b)| (2.0 * a * b + C) / (a * a + b * b + C)).collect();
    let count = similarities.len();
    if count < 2 {
        return 0.0;
    }
    let mean = similarities.iter().sum::<f64>() / count as f64;
    let variance = similarities.iter().map(|s| (s - mean).powi(2)).sum::<f64>() / (count - 1) as f64;
    variance.sqrt()
}

/// Luma at half size: each value the mean of a square of four, which beyond the border is black.
fn half(picture: &Picture, across: usize, down: usize) -> Vec<f64> {
    let (width, height) = (picture.width as usize, picture.height as usize);
    let luma = |x: usize, y: usize| {
        if x >= width || y >= height {
            return 0.0;
        }
        let pixel = &picture.rgb[(y * width + x) * 3..][..3];
        0.299 * f64::from(pixel[0]) + 0.587 * f64::from(pixel[1]) + 0.114 * f64::from(pixel[2])
    };
    let mean = |x: usize, y: usize| (luma(x, y) + luma(x + 1, y) + luma(x, y + 1) + luma(x + 1, y + 1)) / 4.0;
    (0..down).flat_map(|y| (0..across).map(move |x| (x, y))).map(|(x, y)| mean(2 * x, 2 * y)).collect()
}

/// Magnitude of the gradient by Prewitt's operator; beyond the border all is black.
fn edges(values: &[f64], across: usize, down: usize) -> Vec<f64> {
    let at = |x: usize, y: usize| {
        // Coordinates are one larger than they are, so that the border is no negative number.
        let inside = (1..=across).contains(&x) && (1..=down).contains(&y);
        if inside { values[(y - 1) * across + x - 1] } else { 0.0 }
    };
    let gradient = |x: usize, y: usize| {
        let side = |x: usize| at(x, y - 1) + at(x, y) + at(x, y + 1);
        let row = |y: usize| at(x - 1, y) + at(x, y) + at(x + 1, y);
        ((side(x + 1) - side(x - 1)) / 3.0).hypot((row(y + 1) - row(y - 1)) / 3.0)
    };
    (1..=down).flat_map(|y| (1..=across).map(move |x| (x, y))).map(|(x, y)| gradient(x, y)).collect()
}

fn scale(map: &[u8]) -> u8 {
    let mut counts = [0_usize; 256];
    for value in map {
        counts[usize::from(*value)] += 1;
    }
    let within = |scale: u8| counts[..=usize::from(scale)].iter().sum::<usize>();
    SCALES.into_iter().find(|scale| within(*scale) * 1000 >= map.len() * 995).unwrap_or(255)
}

#[cfg(test)]
mod tests {
    use instaflow_engine::protocol::Settings;

    use super::*;
    use instaflow_test_support::{Tolerance, assert_close};

    fn picture(width: u32, height: u32, value: impl Fn(u32, u32, u32) -> u32) -> Picture {
        let pixels = (0..height).flat_map(|y| (0..width).map(move |x| (x, y)));
        Picture::new(
            width,
            height,
            pixels.flat_map(|(x, y)| [0, 1, 2].map(|c| value(x, y, c) as u8)).collect(),
            Settings::student(""),
        )
    }

    #[test]
    fn equal_pictures_have_no_distance() {
        let a = picture(7, 5, |x, y, c| x * 30 + y * 7 + c);
        let same = distance(&a, &a).expect("one size");
        assert!(same.psnr.is_infinite() && same.gmsd < 1e-12 && same.scale == 16);
        assert!(same.map.iter().all(|d| *d == 0) && same.map.len() == 35);
        assert_eq!(distance(&a, &picture(5, 7, |_, _, _| 0)), None);
    }

    /// The expected values are NumPy's: the steps of the authors' MATLAB code on the same pictures in f64.
    #[test]
    fn distances_are_those_of_the_published_definitions() {
        let a = picture(17, 12, |x, y, c| (x * 37 + y * 91 + c * 53 + x * y * 3) % 256);
        let b = picture(17, 12, |x, y, c| (x * 41 + y * 89 + c * 59 + x * y * 5) % 256);
        let found = distance(&a, &b).expect("one size");
        assert_close(found.psnr, PSNR, Tolerance::absolute(1e-9));
        assert_close(found.gmsd, GMSD, Tolerance::absolute(1e-9));
    }

    const PSNR: f64 = 8.086864842549266;
    const GMSD: f64 = 0.08897451680643992;

    #[test]
    fn the_scale_fits_all_but_the_largest_few() {
        for (largest, share, expected) in [(3, 1.0, 16), (17, 1.0, 32), (200, 0.004, 16), (200, 0.006, 255)] {
            let map: Vec<u8> = (0..1000).map(|i| if f64::from(i) < share * 1000.0 { largest } else { 0 }).collect();
            assert_eq!(scale(&map), expected, "{share} of {largest}");
        }
    }
}
