//! The world is what the trainer relies on: repeatable, sayable, complete, the same at every size.

use std::collections::BTreeSet;

use super::*;

#[test]
fn a_seed_always_gives_the_same_scene() {
    for seed in [0, 1, 77, u64::MAX] {
        let (first, second) = (sample(seed), sample(seed));
        assert_eq!(first, second);
        assert_eq!(first.render(48), second.render(48));
        assert_eq!(first.caption(3), second.caption(3));
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
        assert_ne!(scene.render(64), other.render(64), "{:?}", scene.attributes);
    }
}

#[test]
fn every_value_occurs_in_two_thousand_scenes() {
    let scenes: Vec<Attributes> = (0..2000).map(|seed| sample(seed).attributes).collect();
    // A thing that comes less often than once in a hundred scenes is not learnt.
    let enough = |what: &dyn Fn(&Attributes) -> bool| scenes.iter().filter(|scene| what(scene)).count() >= 20;
    for value in Time::ALL {
        assert!(enough(&|scene| scene.time == value), "{value:?}");
    }
    for value in Terrain::ALL {
        assert!(enough(&|scene| scene.terrain == value), "{value:?}");
    }
    for value in Season::ALL {
        assert!(enough(&|scene| scene.season == value), "{value:?}");
    }
    for value in SkyObject::ALL {
        assert!(enough(&|scene| scene.has(value)), "{value:?}");
    }
    for value in Foreground::ALL {
        assert!(enough(&|scene| scene.foreground == value), "{value:?}");
    }
}

#[test]
fn captions_say_all_words_and_no_others() {
    let known: BTreeSet<String> = words().into_iter().collect();
    assert_eq!(known.len(), words().len(), "words() repeats a word");
    let mut said = BTreeSet::new();
    for seed in 0..8000 {
        let caption = sample(seed).caption(seed % 5);
        for word in caption.split([' ', ',', '.']).filter(|word| !word.is_empty()) {
            assert!(known.contains(word), "{word:?} in {caption:?} is not in words()");
            said.insert(word.to_owned());
        }
        assert!(!caption.contains("  ") && !caption.starts_with(' ') && !caption.ends_with(' '), "{caption:?}");
    }
    assert_eq!(said, known, "words() lists a word that no caption says");
}

#[test]
fn captions_differ_and_nearly_always_tell_terrain_and_time() {
    let mut told = 0;
    for seed in 0..1000 {
        let scene = sample(seed);
        let captions: BTreeSet<String> = (0..8).map(|variant| scene.caption(variant)).collect();
        assert!(captions.len() >= 6, "{captions:?}");
        let time_words: &[&str] = match scene.attributes.time {
            Time::Dawn => &["dawn", "sunrise", "morning", "daybreak"],
            Time::Noon => &["noon", "day", "daylight", "midday", "afternoon"],
            Time::Sunset => &["sunset", "dusk", "evening"],
            Time::Night => &["night", "midnight", "dark"],
            Time::Aurora => &["aurora", "northern"],
        };
        let caption = scene.caption(0);
        told += u32::from(caption.split([' ', ',', '.']).any(|word| time_words.contains(&word)));
    }
    assert!((850..990).contains(&told), "{told} of 1000 captions tell the time");
}

#[test]
fn every_scene_looks_the_same_at_twice_the_size() {
    for seed in 0..60 {
        let scene = sample(seed);
        let (small, large) = (scene.render(128), scene.render(256));
        assert_eq!((small.len(), large.len()), (128 * 128 * 3, 256 * 256 * 3));
        let mut difference = 0_u64;
        for (index, &value) in small.iter().enumerate() {
            let (row, column, channel) = (index / 384, index / 3 % 128, index % 3);
            let at = |dy: usize, dx: usize| u32::from(large[((2 * row + dy) * 256 + 2 * column + dx) * 3 + channel]);
            let mean = (at(0, 0) + at(0, 1) + at(1, 0) + at(1, 1)) / 4;
            difference += u64::from(mean.abs_diff(u32::from(value)));
        }
        let mean = difference as f64 / small.len() as f64;
        assert!(mean < 1.5, "seed {seed}, {:?}: {mean:.2} of 255 on average", scene.attributes);
    }
}

#[test]
fn odd_sizes_are_painted() {
    for size in [0, 1, 2, 7, 33] {
        for seed in 0..40 {
            assert_eq!(sample(seed).render(size).len(), (size * size * 3) as usize);
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
