//! Where chance put what a caption gives no place to, and where else it might have: a training noise can be made to agree,
//! and a pair's noise can be asked. Change here which choices are named, together with `view`.

use super::Scene;
use super::attributes::{Light, Side};
use super::caption::{Caption, SIDE};
use super::lexicon::side_phrases;
use super::sampling::sides;
use super::view::{View, across};

/// One of several places, all equally likely.
#[derive(Clone, Debug, PartialEq)]
pub struct Choice {
    /// Their middles, x and y in 0 … 1.
    pub places: Vec<[f32; 2]>,
    /// Which of them it was.
    pub taken: usize,
}

/// The object, and the sun or moon.
pub const CHOICES: usize = 2;

impl Scene {
    /// For each of [`CHOICES`] where it is; `None` where it is not there, `told` where it is, or without a choice.
    pub fn choices(&self, told: &[bool]) -> [Option<Choice>; CHOICES] {
        let attributes = &self.attributes;
        let sides = sides(attributes.land, attributes.object);
        let object = sides
            .iter()
            .position(|&side| side == attributes.side)
            .filter(|_| !told[SIDE])
            .map(|taken| Choice { places: sides.iter().map(|&side| place(side)).collect(), taken });
        // Across from an object at one side it has no choice.
        let turns = matches!(attributes.side, Side::Centre | Side::Absent) && attributes.light != Light::Absent;
        let light = turns.then(|| {
            let taken = usize::from(View::new(self).side() > 0.0);
            Choice { places: vec![[0.2, 0.17], [0.8, 0.17]], taken }
        });
        [object, light]
    }

    /// The first `length` bytes of a caption of this scene as they are, if they tell of an object whose side they leave
    /// open: for each side that it may be at, its place and the words that put it there.
    pub fn each_side(&self, caption: &Caption, length: usize) -> Vec<([f32; 2], String)> {
        let Some(end) = caption.side_left_open.filter(|&end| end <= length) else { return Vec::new() };
        let (before, after) = caption.text[..length].split_at(end);
        let telling = |&side: &Side| (place(side), format!("{before} {}{after}", side_phrases(side)[0]));
        sides(self.attributes.land, self.attributes.object).iter().map(telling).collect()
    }
}

/// Where an object at a side is, half way up between what stands and what floats.
fn place(side: Side) -> [f32; 2] {
    [across(side), 0.62]
}

#[cfg(test)]
mod tests {
    use super::super::caption::OBJECT;
    use super::super::sample;
    use super::*;

    #[test]
    fn every_place_is_taken_as_often() {
        let mut counts = [[0; 3]; CHOICES];
        for seed in 0..6_000 {
            for (counts, choice) in counts.iter_mut().zip(sample(seed).choices(&[false; 11])) {
                // Left and right of a river are as likely as each other, too.
                let Some(choice) = choice.filter(|choice| counts.len() == 3 || choice.places.len() == 2) else {
                    continue;
                };
                counts[choice.taken] += 1;
            }
        }
        let [[left, centre, right], [dark, light, none]] = counts;
        assert!(left > 1_000 && centre > 1_000 && right > 1_000 && none == 0, "{counts:?}");
        assert!(f64::from(dark - light).abs() < 5.0 * f64::from(dark + light).sqrt(), "{counts:?}");
        assert!(f64::from(left - right).abs() < 5.0 * f64::from(left + right).sqrt(), "{counts:?}");
    }

    #[test]
    fn what_is_told_is_no_choice() {
        let scene = (0..99).map(sample).find(|scene| scene.attributes.side == Side::Left).expect("one of three");
        let choice = scene.choices(&[false; 11])[0].clone().expect("a side that is not told");
        assert_eq!((choice.taken, choice.places[0][0]), (0, 0.26));
        assert_eq!(scene.choices(&[true; 11])[0], None);
    }

    #[test]
    fn each_side_is_told_where_the_caption_leaves_it_open() {
        let mut open = 0;
        for scene in (0..300).map(sample) {
            let caption = scene.describe(scene.seed);
            let length = caption.text.len();
            let each = scene.each_side(&caption, length);
            let left_open = scene.choices(&caption.told)[0].is_some() && caption.told[OBJECT];
            assert_eq!(!each.is_empty(), left_open, "{caption:?}");
            for (_, text) in &each {
                let words: Vec<&str> = text.split(' ').collect();
                assert!(["left", "center", "right"].iter().any(|side| words.iter().any(|word| word.starts_with(side))));
                assert!(text.len() > length && !text.contains('\u{1}'), "{text:?}");
            }
            if let Some(end) = caption.side_left_open {
                assert_eq!(scene.each_side(&caption, end - 1), []);
                assert!(scene.each_side(&caption, end).iter().all(|(_, text)| text.starts_with(&caption.text[..end])));
                open += 1;
            }
        }
        assert!((60..180).contains(&open), "{open}");
    }
}
