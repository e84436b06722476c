//! The panel of the models, as a person uses it: licence, download, broken off, gone on; models found on the disk, and opened.

use std::fs;
use std::path::Path;

use egui::{Key, Modifiers};
use egui_kittest::kittest::{NodeT, Queryable};
use instaflow::state::{Answer, PaneId};
use instaflow_test_support::{Fault, LoopbackHub, copy_folder, fixture, more};

use crate::common::window::{Window, hub_at, in_both_themes, student};
use crate::models::{COMMIT, NAME, UNET, repository};

const CATALOGUE: &str = r#"{"models": [{"id": "tiny-hills", "name": "Tiny hills", "licences": ["mit"], "bytes": 700000,
"good_for": "tests", "pieces": [{"repository": "example/tiny-hills", "role": "student"}]}]}"#;

/// A window with a catalogue of its own, and the hub that has what is in it.
fn window() -> (Window, LoopbackHub) {
    let hub = LoopbackHub::start();
    hub.add(NAME, repository(COMMIT));
    hub_at(hub.endpoint());
    let folder = tempfile::tempdir().expect("a folder");
    fs::create_dir(folder.path().join("settings")).expect("made");
    fs::write(folder.path().join("settings/catalogue.json"), CATALOGUE).expect("written");
    let mut window = Window::in_folder(student(), folder);
    window.settle();
    window.keys(Modifiers::COMMAND, Key::M);
    (window, hub)
}

/// Whether something on screen has these words in its name.
fn shows(window: &Window, words: &str) -> bool {
    window.query_all_by_label_contains(words).next().is_some()
}

/// Presses a button, wherever in its list it is.
fn click(window: &mut Window, label: &str) {
    window.see(label);
    window.get_by_label(label).click_accesskit();
    window.run();
}

/// Types into the field that has the keyboard.
fn typed(window: &mut Window, text: &str) {
    window.event(egui::Event::Text(text.to_owned()));
    window.run();
}

fn accept(window: &mut Window) {
    window.see("Do you accept this licence?");
    click(window, "I have read and accept it: download");
}

fn a_model_is_fetched_after_its_licence_was_accepted_and_opened() {
    let (mut window, hub) = window();
    window.see("Download tiny-hills");
    assert!(hub.requests().is_empty(), "a list needs no network");
    click(&mut window, "Download tiny-hills");
    window.see("Do you accept this licence?");
    assert!(shows(&window, "MIT License"));
    assert!(hub.fetches("safetensors").is_empty(), "nothing is fetched before the person has said yes");
    click(&mut window, "Do not download");
    window.see("Download tiny-hills");
    assert!(hub.fetches("safetensors").is_empty());

    click(&mut window, "Download tiny-hills");
    accept(&mut window);
    window.see("Open tiny-hills");
    assert_eq!(hub.fetches(UNET).len(), 1);
    click(&mut window, "Open tiny-hills");
    window.settle();
    assert_eq!(window.errors(), [""; 0]);
    assert!(!shows(&window, "To download"), "the panel makes room for the picture");

    // Accepted for this commit, so that it is not asked again; and removed after a question.
    window.keys(Modifiers::COMMAND, Key::M);
    window.see("Remove tiny-hills");
    click(&mut window, "Remove tiny-hills");
    window.see("Other programs that share");
    click(&mut window, "Keep it");
    window.see("Remove tiny-hills");
    click(&mut window, "Remove tiny-hills");
    click(&mut window, "Remove");
    window.see("Download tiny-hills");
    click(&mut window, "Download tiny-hills");
    window.see("Open tiny-hills");
}

fn a_download_that_was_stopped_goes_on() {
    const PART: usize = 100_000;
    let (mut window, hub) = window();
    hub.fail(UNET, [Fault::StallAfter(PART)]);
    window.see("Download tiny-hills");
    click(&mut window, "Download tiny-hills");
    accept(&mut window);
    hub.wait_until(|requests| requests.iter().any(|it| it.second_host && it.path.ends_with(UNET)));
    let unfinished = window.folder().join(".cache/huggingface/hub/models--example--tiny-hills/blobs");
    let is_there = |folder: &Path| {
        fs::read_dir(folder).into_iter().flatten().flatten().any(|entry| {
            let path = entry.path();
            path.extension().is_some_and(|it| it == "incomplete")
                && path.metadata().is_ok_and(|metadata| metadata.len() == PART as u64)
        })
    };
    window.until("what was sent", |_| is_there(&unfinished));
    click(&mut window, "Stop tiny-hills");
    window.see("Go on tiny-hills");
    assert_eq!(window.errors(), [""; 0]);
    click(&mut window, "Go on tiny-hills");
    window.see("Open tiny-hills");
    assert_eq!(hub.fetches(UNET).last().expect("a request").from(), Some(PART));
}

fn what_goes_wrong_is_a_sentence_at_its_model() {
    let (mut window, hub) = window();
    hub.fail("api", [Fault::Status(403, "")]);
    window.see("Download tiny-hills");
    click(&mut window, "Download tiny-hills");
    window.see("is refused by the hub");
    click(&mut window, "Download tiny-hills");
    accept(&mut window);
    window.see("Open tiny-hills");
    assert!(!shows(&window, "is refused by the hub"), "it goes when its cause has gone");
    // A name that is none.
    window.get_by_label("Name of a model on the hub").focus();
    typed(&mut window, "not a name");
    click(&mut window, "Download the named model");
    window.see("names no model");
}

fn models_on_the_disk_are_found_and_used() {
    let hub = LoopbackHub::start();
    hub_at(hub.endpoint());
    let folder = tempfile::tempdir().expect("a folder");
    let place = |to: &str, from: &Path| {
        let to = folder.path().join(to);
        fs::create_dir_all(to.parent().expect("a folder")).expect("made");
        fs::copy(from, to).expect("copied");
    };
    place("webui/models/Lora/hills.safetensors", &more("lora/kohya_linear.safetensors"));
    place("webui/models/VAE/small.safetensors", &fixture("vae_tiny/diffusion_pytorch_model.safetensors"));
    fs::create_dir_all(folder.path().join("webui/models/Stable-diffusion")).expect("made");
    fs::write(folder.path().join("webui/models/Stable-diffusion/old.ckpt"), "PK").expect("written");
    place("mine/second.safetensors", &more("lora/lycoris_loha.safetensors"));
    let mut window = Window::in_folder(student(), folder);
    window.settle();
    window.keys(Modifiers::COMMAND, Key::M);
    click(&mut window, "On this computer");
    window.see("3 models");
    assert!(shows(&window, "Cannot be used") && shows(&window, "Add LoRA hills"));
    window.get_by_label("Search models").focus();
    typed(&mut window, "lora");
    window.see("1 of 3 models");
    click(&mut window, "Add LoRA hills");
    window.keys(Modifiers::NONE, Key::Escape);
    window.settle();
    assert!(shows(&window, "hills, weight"), "it is in the stack");

    // One more folder, which is remembered.
    window.keys(Modifiers::COMMAND, Key::M);
    window.will_answer(Answer::Path(window.folder().join("mine")));
    click(&mut window, "Add folder…");
    window.see("2 of 4 models");
    let mut window = window.reopen();
    window.keys(Modifiers::COMMAND, Key::M);
    click(&mut window, "On this computer");
    window.see("Add LoRA second");
    assert!(hub.requests().is_empty(), "a search needs no network");
}

fn what_a_model_predicts_is_asked_once_and_remembered() {
    // Its name says nothing, and its shapes are those of no known model.
    let file = more("single_file/full_with_junk.safetensors");
    let mut window = Window::ready(student());
    window.drop_file(&file);
    window.see("What does this model predict?");
    click(&mut window, "Do not open it");
    window.settle();
    assert_eq!(window.errors(), [""; 0], "the model that was open stays open");
    window.drop_file(&file);
    window.see("What does this model predict?");
    click(&mut window, "A flow's velocity");
    window.until("the end", |window| !window.state().is_busy());
    assert!(!shows(&window, "What does this model predict?"));
    // Once is enough, also after another start.
    let mut window = window.reopen();
    window.drop_file(&file);
    window.until("the end", |window| !window.state().is_busy());
    window.settle();
    assert!(!shows(&window, "What does this model predict?"));
}

fn an_error_goes_when_its_cause_has_gone() {
    let mut window = Window::ready(student());
    // A picture's.
    window.get_by_label("Prompt").focus();
    typed(&mut window, "a lake <lora:nothing:1>");
    window.until("the error", |window| !window.errors().is_empty());
    window.keys(Modifiers::COMMAND, Key::A);
    typed(&mut window, "a lake");
    window.until("no error", |window| window.errors().is_empty());
    // A model's.
    let empty = window.folder().join("empty");
    fs::create_dir(&empty).expect("made");
    window.drop_file(&empty);
    window.until("the error", |window| window.errors().len() == 1);
    window.drop_file(&empty);
    window.settle();
    assert_eq!(window.errors().len(), 1, "the same one is not said twice");
    window.drop_file(&fixture("model"));
    window.until("no error", |window| window.errors().is_empty());
}

fn a_fine_tune_is_carried_over_and_taken_out_again() {
    let folder = tempfile::tempdir().expect("a folder");
    for name in ["base", "tuned"] {
        copy_folder(&fixture("model"), &folder.path().join("mine").join(name));
    }
    let mut window = Window::in_folder(student(), folder);
    window.settle();
    let before = window.picture(PaneId::Live).clone();
    window.keys(Modifiers::COMMAND, Key::M);
    click(&mut window, "On this computer");
    window.will_answer(Answer::Path(window.folder().join("mine")));
    click(&mut window, "Add folder…");
    click(&mut window, "Carry over… tuned");
    window.see("It was tuned from");
    assert!(
        window.get_by_label("Carry it over").accesskit_node().is_disabled(),
        "without a base there is no difference"
    );
    window
        .get_by(|node| {
            node.role() == egui::accesskit::Role::ComboBox
                && node.label().is_some_and(|label| label == "It was tuned from")
        })
        .click_accesskit();
    window.run();
    click(&mut window, "base");
    click(&mut window, "Carry it over");
    window.until("the model", |window| shows(window, "model + tuned"));
    window.settle();
    assert_eq!(window.errors(), [""; 0]);
    // The two are the same here, so that the difference is nothing; the name is another.
    assert_eq!(window.picture(PaneId::Live).rgb, before.rgb);
    assert_ne!(window.picture(PaneId::Live).model_hash, before.model_hash);
    window.keys(Modifiers::COMMAND, Key::M);
    window.see("Carried over: 1.00 of tuned");
    click(&mut window, "Take it out");
    window.settle();
    assert_eq!(window.picture(PaneId::Live).model_hash, before.model_hash);
}

in_both_themes!(
    a_fine_tune_is_carried_over_and_taken_out_again,
    what_a_model_predicts_is_asked_once_and_remembered,
    an_error_goes_when_its_cause_has_gone,
    a_model_is_fetched_after_its_licence_was_accepted_and_opened,
    a_download_that_was_stopped_goes_on,
    what_goes_wrong_is_a_sentence_at_its_model,
    models_on_the_disk_are_found_and_used,
);
