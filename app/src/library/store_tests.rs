//! The store on real files: right use, damage, and what a crash leaves.

use std::fs;

use instaflow_engine::protocol::{Decoder, Latents, Settings, Timings};
use tempfile::TempDir;

use super::*;

fn picture(prompt: &str) -> Picture {
    Picture {
        model: "Pocket".to_owned(),
        model_hash: "0123456789".to_owned(),
        timings: Timings { total: 0.5, ..Timings::default() },
        straightness: Some(1.5),
        latents: Some(std::sync::Arc::new(Latents { shape: [1, 1, 1, 2], values: vec![0.25, -3.0] })),
        ..Picture::new(
            6,
            4,
            (0..72).map(|value| value * 3).collect(),
            Settings { seed: 7, size: Some((6, 4)), decoder: Decoder::Tiny, ..Settings::student(prompt) },
        )
    }
}

fn open(folder: &TempDir) -> Opened {
    Store::open(folder.path()).unwrap_or_else(|failure| panic!("{failure:?}"))
}

/// The prompts of what is kept, and the remarks.
fn reopened(folder: &TempDir) -> (Vec<String>, Vec<String>) {
    let opened = open(folder);
    let prompts = opened.entries.iter().map(|entry| entry.settings.prompt.clone()).collect();
    (prompts, opened.remarks.into_iter().map(|remark| remark.message).collect())
}

/// A library of these prompts, closed again.
fn library(prompts: &[&str]) -> TempDir {
    let folder = TempDir::new().expect("a folder");
    let mut store = open(&folder).store;
    for (at, prompt) in prompts.iter().enumerate() {
        let entry = store.keep(&picture(prompt), at as u64).expect("kept");
        assert_eq!(entry.id, at as u64 + 1);
    }
    folder
}

#[test]
fn what_is_kept_comes_back_whole() {
    let folder = library(&["a lake\n\"at\" 夜", ""]);
    let mut opened = open(&folder);
    assert_eq!(opened.remarks, []);
    let wanted = picture("a lake\n\"at\" 夜");
    assert_eq!(opened.entries[0], Entry::new(1, 0, &wanted));
    let found = opened.store.picture(1).expect("a picture");
    assert_eq!((&found.rgb, &found.settings, &found.model_hash), (&wanted.rgb, &wanted.settings, &wanted.model_hash));
    assert_eq!((found.timings, found.straightness), (wanted.timings, wanted.straightness));
    assert_eq!(Some(opened.store.latents(1).expect("latents")), wanted.latents.as_deref().cloned());
    let thumbnail = thumbnail::decode(&opened.store.thumbnail(1).expect("a thumbnail")).expect("a JPEG");
    assert_eq!(thumbnail.size, [6, 4]);
    let file = png::read_settings(&opened.store.path(1)).expect("a PNG that carries its settings");
    assert_eq!(file.settings, wanted.settings);
}

#[test]
fn stars_and_deletions_are_kept_and_what_was_deleted_goes_at_the_next_start() {
    let folder = library(&["one", "two", "three"]);
    let mut store = open(&folder).store;
    assert!(store.change(1, |entry| entry.starred = true).expect("changed").starred);
    store.change(2, |entry| entry.deleted = true).expect("marked");
    store.change(3, |entry| entry.deleted = true).expect("marked");
    store.change(3, |entry| entry.deleted = false).expect("taken back");
    assert!(store.path(2).exists(), "a mark alone takes nothing away");
    drop(store);

    let opened = open(&folder);
    let found: Vec<_> = opened.entries.iter().map(|entry| (entry.id, entry.starred)).collect();
    assert_eq!(found, [(1, true), (3, false)]);
    assert!(!opened.store.path(2).exists());
    let failure = opened.store.latents(2).expect_err("its latents are gone too");
    assert!(failure.message.contains("cannot read"), "{failure:?}");
    let mut store = opened.store;
    store.purge(&[1, 3, 99]).expect("one that is not there is gone already");
    drop(store);
    assert_eq!(reopened(&folder).0, [""; 0]);
    let opened = open(&folder);
    assert_eq!(opened.store.next, 4, "numbers go on, even of what is gone");
}

#[test]
fn decoding_again_replaces_pixels_and_keeps_the_rest() {
    let folder = library(&["one", "two"]);
    let mut store = open(&folder).store;
    store.change(1, |entry| entry.starred = true).expect("changed");
    let again = Picture {
        rgb: [200; 72].into(),
        settings: Settings { decoder: Decoder::Full, ..picture("one").settings },
        ..picture("one")
    };
    let entry = store.replace(1, &again).expect("replaced");
    assert_eq!((entry.id, entry.kept_at, entry.starred, entry.has_latents), (1, 0, true, true));
    store.change(2, |entry| entry.deleted = true).expect("changed");
    assert!(store.replace(2, &again).expect("replaced").deleted, "what is on its way out stays so");
    let opened = {
        drop(store);
        open(&folder)
    };
    let mut store = opened.store;
    assert_eq!(opened.entries[0].settings.decoder, Decoder::Full);
    assert_eq!(store.picture(1).expect("a picture").rgb, again.rgb);
    let small = thumbnail::decode(&store.thumbnail(1).expect("a thumbnail")).expect("a JPEG");
    assert!(small.pixels.iter().all(|pixel| pixel.r() > 190), "the thumbnail is of the new pixels");
    let failure = store.replace(9, &again).expect_err("there is nothing to replace");
    assert!(failure.message.contains("picture 9"), "{failure:?}");
}

#[test]
fn what_a_crash_leaves_is_taken_in_or_cleared_away() {
    let folder = library(&["one"]);
    let path = |name: &str| folder.path().join(name);
    // Ended between the picture's name and the index; between the latents and the picture; in the middle of a write.
    png::save(&path("pictures/00000002.png"), &picture("two"), true, false).expect("saved");
    fs::copy(path("latents/00000001.safetensors"), path("latents/00000003.safetensors")).expect("copied");
    fs::write(path("pictures/.instaflow-x1.tmp"), "half").expect("written");
    // A person's own files are none of the library's business.
    for name in ["pictures/holiday.png", "pictures/2.png", "pictures/00000009.png", "latents/readme"] {
        fs::write(path(name), "mine").expect("written");
    }

    let opened = open(&folder);
    assert_eq!(opened.remarks, []);
    let found: Vec<_> = opened.entries.iter().map(|entry| (entry.id, entry.settings.prompt.as_str())).collect();
    assert_eq!(found, [(1, "one"), (2, "two")]);
    assert_eq!((opened.entries[1].width, opened.entries[1].model_hash.as_str()), (6, "0123456789"));
    assert!(!opened.entries[1].has_latents && opened.entries[1].kept_at > 0);
    assert!(!path("latents/00000003.safetensors").exists() && !path("pictures/.instaflow-x1.tmp").exists());
    for name in ["pictures/holiday.png", "pictures/2.png", "pictures/00000009.png", "latents/readme"] {
        assert_eq!(fs::read(path(name)).expect("still there"), b"mine");
    }
    let mut store = opened.store;
    assert!(store.thumbnail(2).is_ok_and(|bytes| thumbnail::decode(&bytes).is_some()), "made when first wanted");
    assert_eq!(store.keep(&picture("three"), 0).expect("kept").id, 10, "after every number that is taken");
    drop(store);
    assert_eq!(reopened(&folder), (vec!["one".to_owned(), "two".to_owned(), "three".to_owned()], vec![]));
}

#[test]
fn a_damaged_index_is_set_aside_and_made_again_from_the_pictures() {
    let whole = library(&["one", "two"]);
    let index = fs::read(whole.path().join("index.redb")).expect("an index");
    drop(whole);
    let scrambled = |step: usize| -> Vec<u8> {
        let mut bytes = index.clone();
        bytes.iter_mut().skip(64).step_by(step).for_each(|byte| *byte ^= 0x5a);
        bytes
    };
    for (what, bytes) in [
        ("no index", b"Dear reader".to_vec()),
        ("zeros", vec![0; 70_000]),
        ("cut in half", index[..index.len() / 2].to_vec()),
        ("its head alone", index[..400].to_vec()),
        ("scrambled", scrambled(3)),
        ("scrambled lightly", scrambled(997)),
    ] {
        let folder = library(&["one", "two"]);
        fs::write(folder.path().join("index.redb"), &bytes).expect("written");
        let (prompts, remarks) = reopened(&folder);
        assert_eq!(prompts, ["one", "two"], "{what}");
        // Where the damage hits nothing that is in use, the index stands.
        if remarks.is_empty() {
            assert_eq!(what, "scrambled lightly");
            continue;
        }
        assert!(remarks[0].contains("index.redb.unreadable-1"), "{what}: {remarks:?}");
        assert_eq!(fs::read(folder.path().join("index.redb.unreadable-1")).expect("kept"), bytes, "{what}");
        assert_eq!(reopened(&folder), (vec!["one".to_owned(), "two".to_owned()], vec![]), "{what}: said once");
    }
}

#[test]
fn an_index_without_its_file_is_made_again_and_an_empty_library_needs_no_word() {
    let folder = library(&["one"]);
    fs::remove_file(folder.path().join("index.redb")).expect("removed");
    assert_eq!(reopened(&folder), (vec!["one".to_owned()], vec![]));

    let empty = TempDir::new().expect("a folder");
    fs::write(empty.path().join("index.redb"), "x".repeat(5000)).expect("written");
    assert_eq!(reopened(&empty), (vec![], vec![]), "nothing was lost");
}

#[test]
fn a_picture_that_is_gone_is_said_and_comes_back_with_its_star() {
    let folder = library(&["one", "two"]);
    open(&folder).store.change(1, |entry| entry.starred = true).expect("changed");
    let (here, away) = (folder.path().join("pictures/00000001.png"), folder.path().join("elsewhere.png"));
    fs::rename(&here, &away).expect("moved");
    let (prompts, remarks) = reopened(&folder);
    assert_eq!(prompts, ["two"]);
    assert!(
        matches!(&remarks[..], [sentence] if sentence.starts_with("1 kept picture is no longer in")),
        "{remarks:?}"
    );
    fs::rename(&away, &here).expect("moved");
    let opened = open(&folder);
    assert!(opened.entries[0].starred && opened.remarks.is_empty());
}

#[test]
fn a_damaged_picture_is_a_sentence_and_no_more() {
    let folder = library(&["one", "two"]);
    let file = folder.path().join("pictures/00000001.png");
    let bytes = fs::read(&file).expect("a PNG");
    for damaged in [&bytes[..bytes.len() - 30], b"letter".as_slice(), b""] {
        fs::write(&file, damaged).expect("written");
        let opened = open(&folder);
        assert_eq!((opened.entries.len(), opened.remarks.len()), (2, 0), "opening reads no picture");
        let mut store = opened.store;
        let failure = store.picture(1).expect_err("it is damaged");
        assert!(failure.message.contains("00000001.png"), "{failure:?}");
        assert!(store.thumbnail(1).is_ok() && store.picture(2).is_ok());
    }
    fs::write(folder.path().join("latents/00000002.safetensors"), "none").expect("written");
    let failure = open(&folder).store.latents(2).expect_err("they are damaged");
    assert!(failure.message.contains("00000002.safetensors"), "{failure:?}");
}

/// A folder that takes no files stands for a full disk: what fails is the same write.
#[test]
fn what_cannot_be_written_is_not_kept_and_leaves_nothing_behind() {
    for blocked in ["pictures", "latents"] {
        let folder = library(&["one"]);
        let mut store = open(&folder).store;
        let (place, away) = (folder.path().join(blocked), folder.path().join("away"));
        fs::rename(&place, &away).expect("moved");
        fs::write(&place, "no folder").expect("written");
        let failure = store.keep(&picture("two"), 0).expect_err("there is no room");
        assert_eq!(failure.message, "The picture could not be kept");
        assert!(!failure.causes.is_empty(), "{failure:?}");
        assert!(store.change(1, |entry| entry.starred = true).is_ok(), "the rest works on");
        drop(store);
        let failure = Store::open(folder.path()).err().expect("it cannot be reached");
        assert!(failure.message.contains("cannot be reached"), "{failure:?}");

        fs::remove_file(&place).expect("removed");
        fs::rename(&away, &place).expect("moved back");
        assert_eq!(reopened(&folder), (vec!["one".to_owned()], vec![]), "{blocked}");
        let files = |name: &str| fs::read_dir(folder.path().join(name)).expect("a folder").count();
        assert_eq!((files("pictures"), files("latents")), (1, 1));
    }
}

#[test]
fn one_window_at_a_time_has_it() {
    let folder = library(&["one"]);
    let first = open(&folder);
    let failure = Store::open(folder.path()).err().expect("the first has it");
    assert!(failure.message.contains("Another window"), "{failure:?}");
    // One that is on its way out is waited for.
    let leaving = std::thread::spawn(move || {
        std::thread::sleep(std::time::Duration::from_millis(300));
        drop(first);
    });
    assert_eq!(reopened(&folder).0, ["one"]);
    leaving.join().expect("it left");
}
