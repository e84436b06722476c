//! The coupling of noise and scenes: which part of the noise decides where something is drawn if the prompt does not say
//! it. Change here which part of the noise decides what.
//!
//! The paper pairs noise and pictures at random. If a prompt leaves the side of a boat open, the flow then has to invent a
//! border between the noises of boats on the left and of boats on the right, another one for every prompt. A student that
//! sees some ten thousand pairs draws half a boat on either side near that border. Here the object goes where a patch of
//! the noise has the largest sum, among the patches at its possible places. The border is then the same for every prompt.
//! Given the prompt, the noise is as normal as before, and rectified flow takes any coupling (Liu, Gong and Liu, arXiv
//! 2209.03003, section 2).

use crate::scenes::OpenPlacement;

/// Makes noise agree with where things are in a scene. Each placement has a channel of `noise` (`side` × `side` values) of
/// its own, in which patches are swapped so that the patch with the largest sum is at the place that was taken.
pub fn align_noise(noise: &mut [f32], side: usize, placements: &[Option<OpenPlacement>]) {
    for (channel, placement) in noise.chunks_mut(side * side).zip(placements) {
        let Some(OpenPlacement { places, taken }) = placement else { continue };
        let Some(largest) = brightest_patch(channel, side, places) else { continue };
        for (a, b) in patch(places[largest], side).zip(patch(places[*taken], side)) {
            channel.swap(a, b);
        }
    }
}

/// The index of the place at which a channel of `side` × `side` values has the patch with the largest sum.
pub fn brightest_patch(channel: &[f32], side: usize, places: &[[f32; 2]]) -> Option<usize> {
    let sum = |place: &[f32; 2]| -> f32 { patch(*place, side).map(|index| channel[index]).sum() };
    let sums: Vec<f32> = places.iter().map(sum).collect();
    (0..sums.len()).max_by(|&a, &b| sums[a].total_cmp(&sums[b]))
}

/// Values along a patch's side.
const PATCH: usize = 4;

/// The indices of a channel's values around a place, moved inwards if they would leave the channel.
fn patch(place: [f32; 2], side: usize) -> impl Iterator<Item = usize> {
    let size = PATCH.min(side);
    let [x, y] = place.map(|middle| {
        let start = (middle * side as f32 - 0.5 * size as f32).round().max(0.0) as usize;
        start.min(side - size)
    });
    (0..size * size).map(move |index| (y + index / size) * side + x + index % size)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seeded_random::Random;
    use instaflow_test_support::{Tolerance, assert_close_case};

    const SIDE: usize = 16;

    fn placement(taken: usize) -> OpenPlacement {
        OpenPlacement { places: vec![[0.26, 0.6], [0.5, 0.6], [0.74, 0.6]], taken }
    }

    #[test]
    fn the_brightest_patch_is_at_the_taken_place() {
        let mut random = Random::new(5);
        for taken in [0, 1, 2, 0, 1, 2] {
            let before: Vec<f32> = (0..3 * SIDE * SIDE).map(|_| random.normal() as f32).collect();
            let mut noise = before.clone();
            align_noise(&mut noise, SIDE, &[None, Some(placement(taken))]);
            let (first, rest) = noise.split_at(SIDE * SIDE);
            assert_eq!(first, &before[..SIDE * SIDE]);
            assert_eq!(rest[SIDE * SIDE..], before[2 * SIDE * SIDE..]);
            let sum = |place: &[f32; 2]| patch(*place, SIDE).map(|index| rest[index]).sum::<f32>();
            let sums: Vec<f32> = placement(taken).places.iter().map(sum).collect();
            assert!(sums.iter().all(|&sum| sum <= sums[taken]), "{taken}: {sums:?}");
            let sorted = |values: &[f32]| {
                let mut values = values.to_vec();
                values.sort_by(f32::total_cmp);
                values
            };
            assert_eq!(sorted(&noise), sorted(&before));
        }
    }

    /// If every place is equally likely, noise stays normal after patches are swapped; shown here for the sums of patches.
    #[test]
    fn aligned_noise_stays_normal() {
        const COUNT: usize = 20_000;
        let mut random = Random::new(6);
        let mut moments = [[0.0; 4]; 3];
        for _ in 0..COUNT {
            let mut noise: Vec<f32> = (0..SIDE * SIDE).map(|_| random.normal() as f32).collect();
            align_noise(&mut noise, SIDE, &[Some(placement(random.below(3)))]);
            for (moments, place) in moments.iter_mut().zip(placement(0).places) {
                let z = f64::from(patch(place, SIDE).map(|index| noise[index]).sum::<f32>()) / PATCH as f64;
                for (power, moment) in (1..).zip(moments) {
                    *moment += z.powi(power) / COUNT as f64;
                }
            }
        }
        for moments in moments {
            for (at, (expected, bound)) in [(0.0, 0.04), (1.0, 0.05), (0.0, 0.15), (3.0, 0.35)].into_iter().enumerate()
            {
                assert_close_case(format!("moment {}", at + 1), moments[at], expected, Tolerance::absolute(bound));
            }
        }
    }

    #[test]
    fn patches_do_not_overlap_nor_leave_the_channel() {
        let places: Vec<usize> = placement(0).places.into_iter().flat_map(|place| patch(place, SIDE)).collect();
        let mut unique = places.clone();
        unique.sort_unstable();
        unique.dedup();
        assert_eq!((unique.len(), places.len()), (48, 48));
        assert!(patch([0.0, 1.0], SIDE).chain(patch([1.0, 0.5], SIDE)).all(|index| index < SIDE * SIDE));
        assert_eq!(patch([0.5, 0.5], 2).collect::<Vec<_>>(), [0, 1, 2, 3]);
    }
}
