//! Kept pictures in the window: kept, found, starred, deleted and brought back, looked at, restored, decoded again.

use std::fs;
use std::path::Path;

use crate::common::window::{Window, in_both_themes, pair, student};
use egui::accesskit::Toggled;
use egui::{Key, Modifiers};
use egui_kittest::kittest::{NodeT, Queryable};
use instaflow::library::{Entry, index::Index, thumbnail};
use instaflow::state::{Answer, Ask, Command, PaneId};
use instaflow_engine::png;
use instaflow_engine::protocol::{Decoder, OpenRequest, Settings, Timings};
use instaflow_test_support::fixture;

const BOTH: Modifiers = Modifiers::COMMAND.plus(Modifiers::SHIFT);

/// Draws a prompt and keeps its picture.
fn keep(window: &mut Window, prompt: &str) {
    write(window, prompt);
    let before = window.state().kept().0;
    window.key_press_modifiers(Modifiers::COMMAND, Key::K);
    window.wait("the picture is kept", |app| app.kept().0 == before + 1);
}

/// Replaces the prompt and waits for its picture.
fn write(window: &mut Window, prompt: &str) {
    window.get_by_label("Prompt").focus();
    window.run();
    window.key_press_modifiers(Modifiers::COMMAND, Key::A);
    window.type_text(prompt);
    window.settle();
    assert_eq!(window.picture(PaneId::Live).settings.prompt, prompt);
}

/// A window that has kept pictures of these prompts.
fn keeper(prompts: &[&str]) -> Window {
    let mut window = Window::ready(student());
    for prompt in prompts {
        keep(&mut window, prompt);
    }
    window
}

/// The names of the kept pictures in sight, from the left.
fn strip(window: &Window) -> Vec<String> {
    let cells = window.query_all_by_label_contains(", seed ");
    cells.filter_map(|cell| cell.accesskit_node().label()).map(|name| name.replace(", seed 0", "")).collect()
}

/// The file of a kept picture.
fn file(window: &Window, id: u64) -> std::path::PathBuf {
    window.folder().join(format!("library/pictures/{id:08}.png"))
}

/// Presses an entry of the 'More' menu of the selected picture.
fn choose(window: &mut Window, label: &str) {
    window.press("More");
    window.press(label);
}

fn what_is_kept_is_on_disk_and_there_at_the_next_start() {
    let mut window = Window::ready(student());
    let said = format!("{} keeps the picture", Command::Keep.keys(&window.ctx));
    assert!(window.query_by_label_contains(&said).is_some(), "an empty strip says how to fill it");
    write(&mut window, "a lake");
    let drawn = window.picture(PaneId::Live).clone();
    window.press("Keep this picture");
    window.wait("the picture is kept", |app| app.kept() == (1, 1));
    assert_eq!(strip(&window), ["a lake"]);
    assert_eq!(png::read_settings(&file(&window, 1)).expect("a PNG").settings, drawn.settings);
    assert!(window.folder().join("library/latents/00000001.safetensors").exists());

    window.press("Picture is kept");
    window.key_press_modifiers(Modifiers::COMMAND, Key::K);
    window.settle();
    assert_eq!(window.state().kept(), (1, 1), "once is enough");
    keep(&mut window, "a boat");
    assert_eq!(strip(&window), ["a boat", "a lake"], "newest first");

    let window = window.reopen();
    assert_eq!(strip(&window), ["a boat", "a lake"]);
    assert_eq!(window.errors(), [""; 0]);
}

fn prompts_are_searched_while_one_types_and_stars_are_found() {
    let mut window = keeper(&["a red boat", "a snowy mountain", "a boat on a lake"]);
    window.key_press_modifiers(Modifiers::COMMAND, Key::F);
    window.run();
    assert!(window.get_by_label("Search kept pictures").is_focused());
    for (typed, expected) in [("bo", &["a boat on a lake", "a red boat"][..]), ("at RED", &["a red boat"]), ("x", &[])]
    {
        window.type_text(typed);
        assert_eq!(strip(&window), expected, "{typed}");
    }
    assert!(window.query_by_label_contains("0 of 3").is_some());
    let prompt = window.state().controls().recipe.prompt.clone();
    window.key_press_modifiers(Modifiers::COMMAND, Key::Z);
    window.run();
    assert_eq!(window.state().controls().recipe.prompt, prompt, "what is undone here is the search");
    assert_ne!(strip(&window), [""; 0]);
    window.key_press_modifiers(Modifiers::COMMAND, Key::A);
    window.key_press(Key::Delete);
    window.run();
    assert_eq!(strip(&window).len(), 3);

    // The strip is one stop of the keyboard; the arrows go through it.
    window.get_by_label("Filmstrip").focus();
    window.run();
    for key in [Key::Home, Key::ArrowRight, Key::Space] {
        window.key_press(key);
        window.run();
    }
    let follows =
        |window: &Window| window.query_all_by_label_contains("a snowy mountain, seed 0").any(|node| node.is_focused());
    assert!(follows(&window), "a screen reader goes along");
    window.key_press(Key::Escape);
    window.run();
    assert!(follows(&window), "Esc leaves the keyboard where it is");
    window.until("the star", |window| strip(window) == ["a boat on a lake", "a snowy mountain, starred", "a red boat"]);
    window.press("Starred");
    assert_eq!(strip(&window), ["a snowy mountain, starred"]);
    assert_eq!(window.get_by_label("Starred").accesskit_node().toggled(), Some(Toggled::True));
    let window = window.reopen();
    assert_eq!(strip(&window)[1], "a snowy mountain, starred");
}

fn what_is_deleted_can_be_brought_back_until_it_is_gone_for_good() {
    let mut window = keeper(&["one", "two", "three"]);
    window.get_by_label("Filmstrip").focus();
    window.run();
    window.key_press(Key::Delete);
    window.wait("it vanishes", |app| app.kept().0 == 2);
    assert_eq!(strip(&window), ["two", "one"], "the newest was selected");
    window.press("Delete");
    window.wait("the next one vanishes", |app| app.kept().0 == 1);
    assert!(window.query_by_label("2 deleted").is_some());
    assert!(file(&window, 3).exists() && file(&window, 2).exists(), "nothing is gone yet");

    window.press("Undo delete");
    window.wait("it is back", |app| app.kept().0 == 2);
    assert_eq!(strip(&window), ["two", "one"], "the latest first");
    // Half a minute later the offer is over.
    for _ in 0..200 {
        window.step();
    }
    assert!(window.query_by_label("Undo delete").is_none());
    window.key_press_modifiers(BOTH, Key::D);
    window.settle();
    window.until("the file goes", |window| !file(window, 3).exists());
    assert_eq!(window.state().kept(), (2, 2));

    // A deletion that was not taken back before the window closes is one.
    window.press("Delete");
    window.wait("it vanishes", |app| app.kept().0 == 1);
    let window = window.reopen();
    assert_eq!(strip(&window), ["one"]);
    assert!(!file(&window, 2).exists());
}

fn settings_come_back_after_a_question() {
    let mut window = Window::ready(student());
    window.press("New seed");
    write(&mut window, "red fox");
    let kept = window.picture(PaneId::Live).clone();
    window.press("Keep this picture");
    window.wait("the picture is kept", |app| app.kept().0 == 1);
    window.press("New seed");
    write(&mut window, "something else");
    assert_ne!(window.picture(PaneId::Live).rgb, kept.rgb);

    window.press("Restore settings");
    assert!(window.query_by_label_contains("The kept picture was drawn from").is_some());
    window.press("Keep my prompt");
    assert_eq!(window.state().controls().recipe.prompt, "something else");
    window.press("Restore settings");
    window.press("Replace my prompt");
    window.settle();
    assert_eq!(window.picture(PaneId::Live).settings, kept.settings);
    assert_eq!(window.picture(PaneId::Live).rgb, kept.rgb, "the same settings, the same picture");
    assert!(window.query_by_label("Picture is kept").is_some(), "and known as kept");
}

fn a_kept_picture_stands_in_the_place_of_the_live_one_until_one_types() {
    let mut window = keeper(&["one", "two"]);
    window.press("one, seed 0");
    window.wait("it is read", |app| app.viewed().is_some_and(|picture| picture.settings.prompt == "one"));
    assert!(window.query_by_label("Kept picture").is_some() && window.query_by_label("Student picture").is_none());
    // The strip has the keyboard: the arrows look through it.
    window.key_press(Key::ArrowLeft);
    window.wait("the next", |app| app.viewed().is_some_and(|picture| picture.settings.prompt == "two"));

    let path = window.folder().join("copy.png");
    window.will_answer(Answer::Path(path.clone()));
    window.key_press_modifiers(Modifiers::COMMAND, Key::S);
    window.wait("the kept one is saved", |_| path.exists());
    assert!(matches!(&window.asked()[..], [Ask::SavePicture { name }] if name == "two_0.png"));
    assert_eq!(png::read_settings(&path).expect("a PNG").settings.prompt, "two");

    window.key_press(Key::Escape);
    window.run();
    assert!(window.state().viewed().is_none() && window.query_by_label("Student picture").is_some());
    window.press("one, seed 0");
    window.wait("it is read", |app| app.viewed().is_some());
    window.get_by_label("Prompt").focus();
    window.type_text("!");
    window.settle();
    assert!(window.state().viewed().is_none(), "the last thing typed is seen");
}

fn what_the_tiny_decoder_drew_is_decoded_again_in_full() {
    let tiny = fixture("vae_tiny");
    let mut window = Window::ready(OpenRequest { tiny_decoder: Some(tiny), ..pair() });
    write(&mut window, "a lake");
    let full = window.picture(PaneId::Live).clone();
    keep(&mut window, "a boat");
    window.press("More");
    assert!(window.get_by_label("Decode again in full").accesskit_node().is_disabled(), "it was drawn in full");
    window.key_press(Key::Escape);
    window.run();

    window.press("Tiny decoder");
    keep(&mut window, "a lake");
    let small = window.picture(PaneId::Live).clone();
    assert_eq!(small.settings.decoder, Decoder::Tiny);
    assert_ne!(small.rgb, full.rgb);
    choose(&mut window, "Decode again in full");
    window.settle();
    let path = file(&window, 2);
    window.wait("its file", |_| png::read_settings(&path).is_ok_and(|png| png.settings.decoder == Decoder::Full));
    window.press("a lake, seed 0");
    window.wait("it is read", |app| app.viewed().is_some_and(|picture| picture.settings.decoder == Decoder::Full));
    assert_eq!(window.state().viewed().expect("a picture").rgb, full.rgb, "as the full decoder draws it");

    // Latents mean something to the model that drew them alone.
    keep(&mut window, "a hill");
    let folder = window.close();
    let mut window = Window::in_folder(student(), folder);
    window.settle();
    let index = window.folder().join("library/index.redb");
    assert!(index.exists());
    window.press("a hill, seed 0");
    window.wait("it is read", |app| app.viewed().is_some());
    assert!(!window.get_by_label("Decode again in full").accesskit_node().is_disabled(), "the same weights");
}

fn a_file_is_shown_and_copied_elsewhere() {
    let mut window = keeper(&["one"]);
    choose(&mut window, "Show in folder");
    window.until("the folder is shown", |window| !window.revealed().is_empty());
    assert_eq!(window.revealed(), [file(&window, 1)]);
    let path = window.folder().join("elsewhere.png");
    window.will_answer(Answer::Path(path.clone()));
    choose(&mut window, "Save a copy…");
    window.wait("the copy", |_| path.exists());
    assert_eq!(png::read_settings(&path).expect("a PNG").settings.prompt, "one");
}

fn the_strip_folds_and_remembers_it_in_both_themes() {
    let mut window = keeper(&["one"]);
    let mut shots = Vec::new();
    for theme in [Key::F7, Key::F8] {
        window.key_press(theme);
        window.run();
        assert_eq!(strip(&window), ["one"]);
        shots.push(window.shot());
        window.press("Kept pictures");
        assert_eq!(strip(&window), [""; 0]);
        assert!(window.query_by_label("Kept pictures").is_some(), "its line stays");
        window.key_press_modifiers(Modifiers::COMMAND, Key::J);
        window.run();
    }
    assert_ne!(shots[0], shots[1]);
    window.press("Kept pictures");
    let window = window.reopen();
    assert_eq!((strip(&window), window.state().kept()), (vec![], (1, 1)));
}

fn where_nothing_can_be_kept_the_window_says_why_and_draws_on() {
    let mut first = keeper(&["one"]);
    // A second window on the same folder.
    let shared = first.folder().join("library");
    let folder = tempfile::tempdir().expect("a folder for the test");
    link(&shared, &folder.path().join("library"));
    let mut second = Window::in_folder(student(), folder);
    second.settle();
    assert!(second.query_by_label_contains("Another window of InstaFlow").is_some());
    second.key_press_modifiers(Modifiers::COMMAND, Key::K);
    second.run();
    assert!(second.query_by_label_contains("Pictures cannot be kept now").is_some());
    assert_eq!(second.errors(), [""; 0], "nothing is wrong with the picture");

    first.settle();
    let _folder = first.close();
    second.press("Try again");
    second.settle();
    assert_eq!(strip(&second), ["one"]);
    keep(&mut second, "two");

    let pictures = second.folder().join("library/pictures");
    fs::rename(&pictures, second.folder().join("away")).expect("moved");
    fs::write(&pictures, "no folder").expect("written");
    write(&mut second, "three");
    second.key_press_modifiers(Modifiers::COMMAND, Key::K);
    second.wait("the error", |app| app.errors().count() == 1);
    second.key_press_modifiers(Modifiers::COMMAND, Key::K);
    second.settle();
    assert_eq!(second.errors(), ["The picture could not be kept"], "said once");
    assert_eq!((second.state().kept(), strip(&second)), ((2, 2), vec!["two".to_owned(), "one".to_owned()]));
    assert!(second.query_by_label("Keep this picture").is_some(), "it is not called kept");
}

#[cfg(unix)]
fn link(from: &Path, to: &Path) {
    std::os::unix::fs::symlink(from, to).expect("a link");
}

#[cfg(not(unix))]
fn link(from: &Path, to: &Path) {
    std::os::windows::fs::symlink_dir(from, to).expect("a link");
}

/// Ten thousand pictures whose files are no pictures: whoever reads one fails.
fn ten_thousand_open_without_reading_one_and_only_what_is_seen_is_drawn() {
    const COUNT: u64 = 10_000;
    let folder = tempfile::tempdir().expect("a folder for the test");
    let library = folder.path().join("library");
    fs::create_dir_all(library.join("pictures")).expect("a folder");
    let small = thumbnail::encode(8, 8, &[99; 192]).expect("a thumbnail");
    let entries: Vec<_> = (1..=COUNT)
        .map(|id| Entry {
            id,
            kept_at: id,
            width: 8,
            height: 8,
            settings: Settings { seed: id, ..Settings::student(format!("picture {id}")) },
            model: String::new(),
            model_hash: String::new(),
            timings: Timings::default(),
            straightness: None,
            starred: id.is_multiple_of(1000),
            deleted: false,
            has_latents: false,
        })
        .collect();
    for entry in &entries {
        fs::write(library.join(format!("pictures/{:08}.png", entry.id)), "no picture").expect("written");
    }
    let rows: Vec<_> = entries.iter().map(|entry| (entry, Some(small.as_slice()))).collect();
    let (mut index, _) = Index::open(&library.join("index.redb")).expect("a new index");
    index.put(&rows).expect("written");
    drop(index);

    let mut window = Window::in_folder(student(), folder);
    window.settle();
    assert_eq!((window.state().kept(), window.errors()), ((10_000, 10_000), vec![]));
    window.wait("thumbnails", |app| app.thumbnails() > 0);
    let seen = window.query_all_by_label_contains(", seed ").count();
    assert!((5..20).contains(&seen), "{seen} are laid out");
    let mut held = 0;
    while held != window.state().thumbnails() {
        held = window.state().thumbnails();
        for _ in 0..20 {
            window.step();
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
    }
    assert!(held <= 2 * seen, "{held} thumbnails for {seen} that are seen");

    window.get_by_label("Filmstrip").focus();
    window.run();
    for key in [Key::Home, Key::End] {
        window.key_press(key);
        window.run();
    }
    assert!(window.query_by_label("picture 1, seed 1").is_some(), "the oldest is in sight");
    assert!(window.query_by_label("picture 10000, seed 10000, starred").is_none());
    window.key_press_modifiers(Modifiers::COMMAND, Key::F);
    window.run();
    window.type_text("picture 77");
    // So many of the numbers to 10,000 have two sevens side by side.
    assert_eq!(window.state().kept(), (10_000, 280));
    assert_eq!(window.errors(), [""; 0], "no file was read");
    window.press("picture 9977, seed 9977");
    window.wait("the error", |app| app.errors().count() == 1);
    assert!(window.errors()[0].contains("00009977.png"), "{:?}", window.errors());
}

in_both_themes!(
    what_is_kept_is_on_disk_and_there_at_the_next_start,
    prompts_are_searched_while_one_types_and_stars_are_found,
    what_is_deleted_can_be_brought_back_until_it_is_gone_for_good,
    settings_come_back_after_a_question,
    a_kept_picture_stands_in_the_place_of_the_live_one_until_one_types,
    what_the_tiny_decoder_drew_is_decoded_again_in_full,
    a_file_is_shown_and_copied_elsewhere,
    the_strip_folds_and_remembers_it_in_both_themes,
    where_nothing_can_be_kept_the_window_says_why_and_draws_on,
    ten_thousand_open_without_reading_one_and_only_what_is_seen_is_drawn,
);
