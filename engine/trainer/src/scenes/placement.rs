//! The places that a caption leaves open: where the scene has put the object, the sun or the moon, and where else they
//! could be. `coupling.rs` makes noise agree with them. Change here which placements there are, together with `layout`.

use super::Scene;
use super::attributes::{Light, Side};
use super::caption::{Caption, SIDE};
use super::layout::{Layout, across};
use super::lexicon::side_phrases;
use super::sampling::sides;

/// A place that a caption does not say, out of several that are equally likely.
#[derive(Clone, Debug, PartialEq)]
pub struct OpenPlacement {
    /// The middles of the possible places, x and y in 0 … 1.
    pub places: Vec<[f32; 2]>,
    /// The index of the place where it is.
    pub taken: usize,
}

/// How many things are placed: the object, and the sun or moon.
pub const PLACED: usize = 2;

impl Scene {
    /// The placement of each of the [`PLACED`] things; `None` if it is absent, if the caption mentions its place, or if it
    /// has only one.
    pub fn open_placements(&self, mentioned: &[bool]) -> [Option<OpenPlacement>; PLACED] {
        let attributes = &self.attributes;
        let sides = sides(attributes.land, attributes.object);
        let object = sides
            .iter()
            .position(|&side| side == attributes.side)
            .filter(|_| !mentioned[SIDE])
            .map(|taken| OpenPlacement { places: sides.iter().map(|&side| place_of(side)).collect(), taken });
        // It is across from an object at one side.
        let movable = matches!(attributes.side, Side::Centre | Side::Absent) && attributes.light != Light::Absent;
        let light = movable.then(|| {
            let taken = usize::from(Layout::new(self).light_side() > 0.0);
            OpenPlacement { places: vec![[0.2, 0.17], [0.8, 0.17]], taken }
        });
        [object, light]
    }

    /// If the first `length` bytes of a caption of this scene name an object and leave its side open: for each side that
    /// it can be at, its place and the same words with that side. Otherwise nothing.
    pub fn side_variants(&self, caption: &Caption, length: usize) -> Vec<([f32; 2], String)> {
        let Some(end) = caption.side_left_open.filter(|&end| end <= length) else { return Vec::new() };
        let (before, after) = caption.text[..length].split_at(end);
        let variant = |&side: &Side| (place_of(side), format!("{before} {}{after}", side_phrases(side)[0]));
        sides(self.attributes.land, self.attributes.object).iter().map(variant).collect()
    }
}

/// Where an object at a side is, at a height between objects that stand and objects that float.
fn place_of(side: Side) -> [f32; 2] {
    [across(side), 0.62]
}

#[cfg(test)]
mod tests {
    use super::super::caption::OBJECT;
    use super::super::sample;
    use super::*;

    #[test]
    fn all_places_are_equally_likely() {
        let mut counts = [[0; 3]; PLACED];
        for seed in 0..6_000 {
            for (counts, placement) in counts.iter_mut().zip(sample(seed).open_placements(&[false; 11])) {
                // Left and right of a river are as likely as each other, too.
                let Some(placement) = placement.filter(|placement| counts.len() == 3 || placement.places.len() == 2)
                else {
                    continue;
                };
                counts[placement.taken] += 1;
            }
        }
        let [[left, centre, right], [dark, light, none]] = counts;
        assert!(left > 1_000 && centre > 1_000 && right > 1_000 && none == 0, "{counts:?}");
        assert!(f64::from(dark - light).abs() < 5.0 * f64::from(dark + light).sqrt(), "{counts:?}");
        assert!(f64::from(left - right).abs() < 5.0 * f64::from(left + right).sqrt(), "{counts:?}");
    }

    #[test]
    fn a_mentioned_side_is_not_open() {
        let scene = (0..99).map(sample).find(|scene| scene.attributes.side == Side::Left).expect("one of three");
        let placement = scene.open_placements(&[false; 11])[0].clone().expect("a side that is not mentioned");
        assert_eq!((placement.taken, placement.places[0][0]), (0, 0.26));
        assert_eq!(scene.open_placements(&[true; 11])[0], None);
    }

    #[test]
    fn an_open_side_gives_a_variant_for_each_side() {
        let mut open = 0;
        for scene in (0..300).map(sample) {
            let caption = scene.describe(scene.seed);
            let length = caption.text.len();
            let each = scene.side_variants(&caption, length);
            let left_open = scene.open_placements(&caption.mentioned)[0].is_some() && caption.mentioned[OBJECT];
            assert_eq!(!each.is_empty(), left_open, "{caption:?}");
            for (_, text) in &each {
                let words: Vec<&str> = text.split(' ').collect();
                assert!(["left", "center", "right"].iter().any(|side| words.iter().any(|word| word.starts_with(side))));
                assert!(text.len() > length && !text.contains('\u{1}'), "{text:?}");
            }
            if let Some(end) = caption.side_left_open {
                assert_eq!(scene.side_variants(&caption, end - 1), []);
                assert!(
                    scene.side_variants(&caption, end).iter().all(|(_, text)| text.starts_with(&caption.text[..end]))
                );
                open += 1;
            }
        }
        assert!((60..180).contains(&open), "{open}");
    }
}
