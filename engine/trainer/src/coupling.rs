//! Which noise goes with which scene when the base flow learns, and what a pair's noise says of a side that its prompt
//! leaves open. Change here what of the noise decides what.
//!
//! The paper pairs noise and pictures at random. A picture whose prompt leaves the side of a boat open then comes from a
//! noise that knows nothing of boats; the flow has to invent a border between the noises of boats on the left and on the
//! right, another one for every prompt, and a student that is shown some ten thousand pairs draws half a boat on either
//! side near it. Here the thing goes where a patch of the noise is brightest, among the patches at its possible places: one
//! border, the same for every prompt, beside the thing that it decides about. Given the prompt the noise is as normal as
//! before, and rectified flow takes any coupling (Liu, Gong and Liu, arXiv 2209.03003, section 2).

use crate::scenes::Choice;

/// Swaps patches of `noise` (channels of `side` × `side` values), for each choice in a channel of its own, so that of the
/// patches at its places the one with the largest sum is where it was taken.
pub fn agree(noise: &mut [f32], side: usize, choices: &[Option<Choice>]) {
    for (channel, choice) in noise.chunks_mut(side * side).zip(choices) {
        let Some(Choice { places, taken }) = choice else { continue };
        let Some(largest) = brightest(channel, side, places) else { continue };
        for (a, b) in patch(places[largest], side).zip(patch(places[*taken], side)) {
            channel.swap(a, b);
        }
    }
}

/// At which of these places a channel of `side` × `side` values has the patch with the largest sum.
pub fn brightest(channel: &[f32], side: usize, places: &[[f32; 2]]) -> Option<usize> {
    let sum = |place: &[f32; 2]| -> f32 { patch(*place, side).map(|index| channel[index]).sum() };
    let sums: Vec<f32> = places.iter().map(sum).collect();
    (0..sums.len()).max_by(|&a, &b| sums[a].total_cmp(&sums[b]))
}

/// Values along a patch's side.
const PATCH: usize = 4;

/// The values of a channel around a place, as far from the border as they must be.
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
    use crate::random::Random;
    use instaflow_test_support::{Tolerance, assert_close_case};

    const SIDE: usize = 16;

    fn choice(taken: usize) -> Choice {
        Choice { places: vec![[0.26, 0.6], [0.5, 0.6], [0.74, 0.6]], taken }
    }

    #[test]
    fn the_brightest_patch_lies_where_the_thing_is() {
        let mut random = Random::new(5);
        for taken in [0, 1, 2, 0, 1, 2] {
            let before: Vec<f32> = (0..3 * SIDE * SIDE).map(|_| random.normal() as f32).collect();
            let mut noise = before.clone();
            agree(&mut noise, SIDE, &[None, Some(choice(taken))]);
            let (first, rest) = noise.split_at(SIDE * SIDE);
            assert_eq!(first, &before[..SIDE * SIDE]);
            assert_eq!(rest[SIDE * SIDE..], before[2 * SIDE * SIDE..]);
            let sum = |place: &[f32; 2]| patch(*place, SIDE).map(|index| rest[index]).sum::<f32>();
            let sums: Vec<f32> = choice(taken).places.iter().map(sum).collect();
            assert!(sums.iter().all(|&sum| sum <= sums[taken]), "{taken}: {sums:?}");
            let sorted = |values: &[f32]| {
                let mut values = values.to_vec();
                values.sort_by(f32::total_cmp);
                values
            };
            assert_eq!(sorted(&noise), sorted(&before));
        }
    }

    /// Over things that are as often here as there, what is swapped is as normal as it was: here the sums of patches.
    #[test]
    fn noise_that_agrees_stays_normal() {
        const COUNT: usize = 20_000;
        let mut random = Random::new(6);
        let mut moments = [[0.0; 4]; 3];
        for _ in 0..COUNT {
            let mut noise: Vec<f32> = (0..SIDE * SIDE).map(|_| random.normal() as f32).collect();
            agree(&mut noise, SIDE, &[Some(choice(random.below(3)))]);
            for (moments, place) in moments.iter_mut().zip(choice(0).places) {
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
        let places: Vec<usize> = choice(0).places.into_iter().flat_map(|place| patch(place, SIDE)).collect();
        let mut unique = places.clone();
        unique.sort_unstable();
        unique.dedup();
        assert_eq!((unique.len(), places.len()), (48, 48));
        assert!(patch([0.0, 1.0], SIDE).chain(patch([1.0, 0.5], SIDE)).all(|index| index < SIDE * SIDE));
        assert_eq!(patch([0.5, 0.5], 2).collect::<Vec<_>>(), [0, 1, 2, 3]);
    }
}
