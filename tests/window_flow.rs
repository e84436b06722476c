//! What goes on in the prompt field: undo and redo, earlier prompts, by the keys and the accessible names.

use crate::common::window::{Window, in_both_themes, student};
use egui::{Key, Modifiers};
use egui_kittest::kittest::{NodeT, Queryable};
use instaflow::state::{Answer, PaneId};
use instaflow_engine::png;

const CONTROL: Modifiers = Modifiers::COMMAND;

fn both() -> Modifiers {
    CONTROL.plus(Modifiers::SHIFT)
}

impl Window {
    /// Types as a person does, letter by letter.
    fn type_letters(&mut self, text: &str) {
        for letter in text.chars() {
            self.event(egui::Event::Text(letter.to_string()));
            self.step();
        }
        self.run();
    }

    /// Rests until the prompt counts as one that was meant.
    fn rest(&mut self) {
        let prompt = self.prompt().to_owned();
        self.settle();
        self.wait("the prompt is kept", |app| app.prompts().next() == Some(&prompt));
    }
}

fn control_z_takes_back_words_and_then_the_setting_before_them() {
    let mut window = Window::ready(student());
    window.press("New seed");
    window.settle();
    let seed = window.state().controls().recipe.seed;
    assert_ne!(seed, 0);
    window.get_by_label("Prompt").focus();
    window.run();
    window.type_letters("snowy hill");

    window.keys(CONTROL, Key::Z);
    assert_eq!(window.prompt(), "snowy ", "a word is a step");
    window.type_letters("lake");
    assert_eq!(window.prompt(), "snowy lake", "the caret stays behind what is left");
    window.keys(CONTROL, Key::Z);
    window.keys(CONTROL, Key::Z);
    assert_eq!((window.prompt(), window.state().controls().recipe.seed), ("", seed));
    window.keys(CONTROL, Key::Z);
    assert_eq!(window.state().controls().recipe.seed, 0, "what was set before the typing");
    window.settle();
    assert_eq!(window.picture(PaneId::Live).settings.seed, 0, "the picture follows");
    window.keys(CONTROL, Key::Z);
    assert!(window.query_by_label("There is nothing to undo.").is_some(), "it says so");

    window.keys(both(), Key::Z);
    window.keys(CONTROL, Key::Y);
    assert_eq!((window.prompt(), window.state().controls().recipe.seed), ("snowy ", seed));
    window.keys(both(), Key::Z);
    assert_eq!(window.prompt(), "snowy lake");
    window.settle();
    assert_eq!(window.picture(PaneId::Live).settings.prompt, "snowy lake");
}

fn what_an_input_method_composes_is_one_step() {
    let mut window = Window::ready(student());
    window.type_letters("a ");
    let preedit = |text: &str| egui::ImeEvent::Preedit { text: text.to_owned(), active_range_chars: None };
    for event in [preedit("´"), preedit("é"), preedit("ét"), preedit("été"), egui::ImeEvent::Commit("ÉTÉ".to_owned())]
    {
        window.event(egui::Event::Ime(event));
        window.step();
    }
    window.run();
    assert_eq!(window.prompt(), "a ÉTÉ");
    window.keys(CONTROL, Key::Z);
    assert_eq!(window.prompt(), "a ");
    window.keys(CONTROL, Key::Y);
    assert_eq!(window.prompt(), "a ÉTÉ");
}

fn undo_is_in_the_menu_and_off_where_there_is_nothing() {
    let mut window = Window::ready(student());
    window.press("Edit");
    let undo = |window: &Window| {
        let found = window.query_all_by_label_contains("Undo").next();
        found.expect("in the menu").accesskit_node().is_disabled()
    };
    assert!(undo(&window));
    window.keys(Modifiers::NONE, Key::Escape);
    window.get_by_label("Prompt").focus();
    window.type_letters("sea");
    window.press("Edit");
    assert!(!undo(&window));
}

fn a_restored_picture_is_taken_back_whole() {
    let mut window = Window::ready(student());
    let path = window.folder().join("other.png");
    let mut picture = window.picture(PaneId::Live).clone();
    "from elsewhere".clone_into(&mut picture.settings.prompt);
    picture.settings.seed = 77;
    png::save(&path, &picture, true, false).expect("a folder that can be written");
    window.drop_file(&path);
    window.wait("the prompt", |app| app.controls().recipe.prompt == "from elsewhere");
    window.keys(CONTROL, Key::Z);
    assert_eq!((window.prompt(), window.state().controls().recipe.seed), ("", 0));
}

fn alt_and_arrows_go_through_earlier_prompts_and_back_to_ones_own() {
    let mut window = Window::ready(student());
    window.type_letters("lake");
    window.rest();
    window.keys(CONTROL, Key::A);
    window.type_letters("sea at night");
    window.rest();
    window.keys(CONTROL, Key::A);
    window.type_letters("half a pro");

    window.keys(Modifiers::ALT, Key::ArrowUp);
    assert_eq!(window.prompt(), "sea at night");
    window.keys(Modifiers::ALT, Key::ArrowUp);
    assert_eq!(window.prompt(), "lake");
    window.settle();
    assert_eq!(window.picture(PaneId::Live).settings.prompt, "lake", "and it is drawn");
    window.keys(Modifiers::ALT, Key::ArrowUp);
    assert_eq!(window.prompt(), "lake", "there is no earlier one");
    window.keys(Modifiers::ALT, Key::ArrowDown);
    window.keys(Modifiers::ALT, Key::ArrowDown);
    assert_eq!(window.prompt(), "half a pro", "what was being typed comes back");
    window.type_letters("mpt");
    assert_eq!(window.prompt(), "half a prompt", "with the caret at its end");

    let mut window = window.reopen();
    let kept: Vec<_> = window.state().prompts().take(2).collect();
    assert!(kept.contains(&"lake") || kept.contains(&"sea at night"), "kept from one start to the next: {kept:?}");
    window.keys(both(), Key::Delete);
    assert_eq!(window.state().prompts().count(), 0);
    assert_eq!(window.prompt(), "half a prompt", "the one in the field stays");
}

fn what_was_typed_through_is_no_earlier_prompt() {
    let mut window = Window::ready(student());
    window.type_letters("a boat by the s");
    assert_eq!(window.state().prompts().count(), 0, "nobody rested on it");
    window.keys(Modifiers::NONE, Key::Enter);
    window.settle();
    assert_eq!(window.state().prompts().collect::<Vec<_>>(), ["a boat by the s"], "Enter means it");
}

fn the_way_between_two_prompts_becomes_a_folder_of_frames() {
    let mut window = Window::ready(student());
    assert!(window.get_by_label("Export frames…").accesskit_node().is_disabled(), "there is no way yet");
    window.type_letters("noon");
    window.get_by_label("Second prompt").focus();
    window.run();
    window.type_letters("night");
    window.settle();

    let folder = window.folder().join("film");
    std::fs::create_dir_all(folder.join("noon_frames")).expect("a folder that can be written");
    window.will_answer(Answer::Path(folder.clone()));
    window.press("Export frames…");
    let frames = folder.join("noon_frames-2");
    window.wait("the frames", |_| frames.exists());
    let count = std::fs::read_dir(&frames).expect("a folder").count();
    assert_eq!(count, window.state().controls().frames as usize, "one way, and every frame once");
    let blend = |name: &str| {
        let settings = png::read_settings(&frames.join(name)).expect("it carries its settings").settings;
        settings.blend.prompt.map(|toward| (toward.to, toward.by))
    };
    assert_eq!(blend("frame-0001.png"), None);
    assert_eq!(blend("frame-0024.png"), Some(("night".to_owned(), 1.0)));
    assert_eq!(std::fs::read_dir(folder.join("noon_frames")).expect("still there").count(), 0);
    // It says where they are, once they are there.
    window.see("noon_frames-2");

    // Without a dialog they go into the output folder.
    window.will_answer(Answer::Unavailable);
    window.press("Export frames…");
    let output = window.folder().join("output/noon_frames");
    window.see(&output.display().to_string());
    assert!(output.exists());

    // Stopped, nothing is left.
    window.will_answer(Answer::Path(folder.clone()));
    window.press("Export frames…");
    window.see("Animation, ");
    window.key_press(Key::Escape);
    window.settle();
    assert!(window.query_by_label_contains("animation was stopped").is_some());
    assert_eq!(std::fs::read_dir(&folder).expect("a folder").count(), 2);
}

in_both_themes!(
    control_z_takes_back_words_and_then_the_setting_before_them,
    what_an_input_method_composes_is_one_step,
    undo_is_in_the_menu_and_off_where_there_is_nothing,
    a_restored_picture_is_taken_back_whole,
    alt_and_arrows_go_through_earlier_prompts_and_back_to_ones_own,
    what_was_typed_through_is_no_earlier_prompt,
    the_way_between_two_prompts_becomes_a_folder_of_frames,
);
