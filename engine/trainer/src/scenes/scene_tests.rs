//! Scenes are what the trainer relies on: repeatable, complete, the same at every size, with every attribute visible.
//! Change here what must hold for any scene; captions have their own tests in `caption_tests`.

use std::collections::BTreeSet;

use super::attributes::{Attributes, Distance, HEADS, Hue, Land, Light, Object, Season, Side, Style, Time, Weather};
use super::*;

/// A photograph of a bare summer's noon.
fn plain() -> Attributes {
    Attributes {
        style: Style::Photograph,
        time: Time::Noon,
        weather: Weather::Clear,
        land: Land::Mountains,
        season: Season::Summer,
        light: Light::Absent,
        stars: false,
        object: Object::Absent,
        colour: Hue::Absent,
        side: Side::Centre,
        distance: Distance::Near,
    }
}

fn draw(attributes: &Attributes, seed: u64) -> Vec<u8> {
    Scene { attributes: attributes.clone(), seed }.render(64)
}

/// Mean absolute difference of two pictures, of 255.
fn difference(a: &[u8], b: &[u8]) -> f64 {
    a.iter().zip(b).map(|(&a, &b)| f64::from(a.abs_diff(b))).sum::<f64>() / a.len() as f64
}

/// Mean colour of the rows from `top` to `bottom` of a picture of 64 pixels.
fn mean(picture: &[u8], top: usize, bottom: usize) -> [f64; 3] {
    let rows = &picture[top * 192..bottom * 192];
    std::array::from_fn(|channel| {
        rows.iter().skip(channel).step_by(3).map(|&value| f64::from(value)).sum::<f64>() / (rows.len() / 3) as f64
    })
}

/// How many pixels an object changes, and the middle of them from left (0) to right (1).
fn footprint(with: &Attributes, seed: u64) -> (usize, f64) {
    let without = Attributes { object: Object::Absent, ..with.clone() };
    let (a, b) = (draw(with, seed), draw(&without, seed));
    let changed: Vec<usize> = (0..64 * 64)
        .filter(|pixel| difference(&a[3 * pixel..3 * pixel + 3], &b[3 * pixel..3 * pixel + 3]) > 8.0)
        .collect();
    let middle = changed.iter().map(|pixel| (pixel % 64) as f64 + 0.5).sum::<f64>() / 64.0;
    (changed.len(), middle / changed.len().max(1) as f64)
}

#[test]
fn a_seed_always_gives_the_same_scene() {
    for seed in [0, 1, 77, u64::MAX] {
        let (first, second) = (sample(seed), sample(seed));
        assert_eq!(first, second);
        assert_eq!(first.render(48), second.render(48));
        assert_eq!(first.describe(3), second.describe(3));
    }
}

#[test]
fn different_seeds_give_different_pictures() {
    let pictures: BTreeSet<Vec<u8>> = (0..200).map(|seed| sample(seed).render(32)).collect();
    assert_eq!(pictures.len(), 200);
}

#[test]
fn the_same_attributes_with_another_seed_give_another_picture() {
    for seed in 0..50 {
        let scene = sample(seed);
        let other = Scene { seed: seed + 1000, ..scene.clone() };
        assert!(difference(&scene.render(64), &other.render(64)) > 0.5, "{:?}", scene.attributes);
    }
}

#[test]
fn every_class_occurs_often_enough_to_be_learnt() {
    let mut counts = HEADS.map(|head| vec![0; head.classes.len()]);
    for seed in 0..4000 {
        for (count, class) in counts.iter_mut().zip(sample(seed).attributes.classes()) {
            count[class] += 1;
        }
    }
    for (head, counts) in HEADS.iter().zip(&counts) {
        for (class, &count) in head.classes.iter().zip(counts) {
            assert!(count >= 80, "{} {class}: {count} of 4000", head.name);
        }
    }
}

#[test]
fn styles_times_weathers_and_lands_are_told_apart() {
    let mut others: Vec<Vec<Attributes>> = Vec::new();
    others.push(Style::ALL.iter().map(|&style| Attributes { style, ..plain() }).collect());
    others.push(Time::ALL.iter().map(|&time| Attributes { time, ..plain() }).collect());
    others.push(Weather::ALL.iter().map(|&weather| Attributes { weather, ..plain() }).collect());
    others.push(Land::ALL.iter().map(|&land| Attributes { land, ..plain() }).collect());
    for head in others {
        for seed in 0..8 {
            for (index, one) in head.iter().enumerate() {
                for other in &head[index + 1..] {
                    let apart = difference(&draw(one, seed), &draw(other, seed));
                    assert!(apart > 3.0, "{apart:.2} between {one:?} and {other:?}");
                }
            }
        }
    }
}

#[test]
fn nights_are_dark_and_seasons_have_their_colours() {
    for seed in 0..8 {
        let sky = |time: Time| mean(&draw(&Attributes { time, ..plain() }, seed), 0, 16);
        let [red, green, blue] = sky(Time::Noon);
        assert!(blue > green && green > red, "a blue noon");
        let sunset = sky(Time::Sunset);
        assert!(sunset[0] > 1.2 * sunset[1], "a red sunset: {sunset:?}");
        assert!(sky(Time::Night).iter().sum::<f64>() < 0.6 * (red + green + blue), "a dark night");
        let ground = |season: Season| mean(&draw(&Attributes { season, ..plain() }, seed), 54, 64);
        let (winter, summer, autumn) = (ground(Season::Winter), ground(Season::Summer), ground(Season::Autumn));
        assert!(winter.iter().all(|&channel| channel > 150.0), "{winter:?}");
        assert!(summer[1] > 1.2 * summer[0] && summer[1] > 1.2 * summer[2], "{summer:?}");
        assert!(autumn[0] > autumn[1] && autumn[1] > 1.2 * autumn[2], "{autumn:?}");
    }
}

#[test]
fn lights_and_stars_brighten_the_sky() {
    for seed in 0..8 {
        let night = Attributes { time: Time::Night, ..plain() };
        let bright = |attributes: &Attributes| {
            // At the size that ships: the stars of smaller pictures are smaller than a pixel.
            let picture = Scene { attributes: attributes.clone(), seed }.render(128);
            picture.chunks_exact(3).filter(|pixel| pixel[0] > 190 && pixel[1] > 180).count()
        };
        let dark = bright(&night);
        let moons = [Light::FullMoon, Light::CrescentMoon].map(|light| bright(&Attributes { light, ..night.clone() }));
        assert!(moons[0] > moons[1] && moons[1] > dark + 8, "{moons:?} against {dark}");
        assert!(bright(&Attributes { stars: true, ..night }) >= dark + 6);
        let sun = Attributes { light: Light::Sun, ..plain() };
        assert!(difference(&draw(&sun, seed), &draw(&plain(), seed)) > 1.5);
    }
}

#[test]
fn objects_stand_where_they_are_said_to() {
    let placed =
        Object::ALL.iter().filter(|object| !matches!(object, Object::Absent | Object::Flowers | Object::Bridge));
    for &object in placed {
        let land = if object == Object::Sailboat { Land::City } else { Land::Mountains };
        for seed in 0..6 {
            let at = |side, distance| {
                footprint(&Attributes { object, land, side, distance, colour: Hue::Red, ..plain() }, seed)
            };
            let (near, left) = at(Side::Left, Distance::Near);
            let (_, centre) = at(Side::Centre, Distance::Near);
            let (_, right) = at(Side::Right, Distance::Near);
            assert!(
                left < 0.40 && (0.40..0.60).contains(&centre) && right > 0.60,
                "{object:?}: {left} {centre} {right}"
            );
            let (far, _) = at(Side::Left, Distance::Far);
            if !matches!(object, Object::Campfire | Object::Birds) {
                assert!(near > 2 * far && far > 12, "{object:?}: {near} pixels near, {far} far");
            }
        }
    }
    for object in [Object::Flowers, Object::Bridge] {
        let (count, _) = footprint(&Attributes { object, land: Land::River, side: Side::Absent, ..plain() }, 1);
        assert!(count > 200, "{object:?}: {count}");
    }
}

#[test]
fn coloured_objects_have_their_colour_at_every_hour() {
    for &time in Time::ALL {
        for object in [Object::Sailboat, Object::Tent, Object::Balloon, Object::Cabin] {
            let land = if object == Object::Sailboat { Land::City } else { Land::Hills };
            let hues = [Hue::Red, Hue::Yellow, Hue::Blue];
            let [red, yellow, blue] = hues.map(|colour| {
                let with = Attributes { time, land, object, colour, ..plain() };
                let without = Attributes { object: Object::Absent, ..with.clone() };
                let (a, b) = (draw(&with, 3), draw(&without, 3));
                std::array::from_fn::<f64, 3, _>(|channel| {
                    let differ = a.chunks_exact(3).zip(b.chunks_exact(3)).filter(|(a, b)| difference(a, b) > 8.0);
                    let (sum, count) =
                        differ.fold((0.0, 0.0), |(sum, n), (a, _)| (sum + f64::from(a[channel]), n + 1.0));
                    sum / count
                })
            });
            let name = format!("{object:?} at {time:?}: {red:.0?} {yellow:.0?} {blue:.0?}");
            assert!(red[0] - red[2] > blue[0] - blue[2] + 40.0, "{name}");
            assert!(yellow[1] > red[1] + 15.0 && yellow[2] < blue[2] - 15.0, "{name}");
        }
    }
}

#[test]
fn every_scene_looks_the_same_at_twice_the_size() {
    for seed in 0..80 {
        let scene = sample(seed);
        let (small, large) = (scene.render(128), scene.render(256));
        assert_eq!((small.len(), large.len()), (128 * 128 * 3, 256 * 256 * 3));
        let halved: Vec<u8> = (0..small.len())
            .map(|index| {
                let (row, column, channel) = (index / 384, index / 3 % 128, index % 3);
                let at =
                    |dy: usize, dx: usize| u32::from(large[((2 * row + dy) * 256 + 2 * column + dx) * 3 + channel]);
                ((at(0, 0) + at(0, 1) + at(1, 0) + at(1, 1)) / 4) as u8
            })
            .collect();
        let apart = difference(&small, &halved);
        // Outlines are set on whole pixels.
        let outlined = matches!(scene.attributes.style, Style::Sketch | Style::Watercolour);
        let limit = if outlined { 4.0 } else { 2.0 };
        assert!(apart < limit, "seed {seed}, {:?}: {apart:.2} of 255 on average", scene.attributes);
    }
}

#[test]
fn odd_sizes_and_combinations_are_painted() {
    for size in [0, 1, 2, 7, 33] {
        for seed in 0..60 {
            assert_eq!(sample(seed).render(size).len(), (size * size * 3) as usize);
        }
    }
    // Attributes may be changed to what is never sampled.
    for &object in Object::ALL {
        for &land in Land::ALL {
            for &season in Season::ALL {
                let odd = Attributes { object, land, season, stars: true, side: Side::Absent, ..plain() };
                assert_eq!(draw(&odd, 5).len(), 64 * 64 * 3);
            }
        }
    }
}

#[test]
fn a_contact_sheet_has_two_pixels_between_its_tiles() {
    let red = [255, 0, 0].repeat(16);
    let sheet = contact_sheet(&[red.clone(), red.clone(), red], 4, 2);
    assert_eq!(sheet.dimensions(), (10, 10));
    assert_eq!(sheet.get_pixel(3, 3).0, [255, 0, 0]);
    assert_ne!(sheet.get_pixel(4, 0).0, [255, 0, 0]);
    assert_eq!(sheet.get_pixel(6, 0).0, [255, 0, 0]);
    assert_ne!(sheet.get_pixel(6, 6).0, [255, 0, 0], "there is no fourth picture");
}
