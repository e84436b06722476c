//! What a model knows, in the window: unknown words, what is offered for them, examples, and the panel of all words.
//! With the pair inside the program, and with the fixture, whose vocabulary is too large to name.

use crate::common::window::{Window, in_both_themes, model, student};
use egui::accesskit::Role;
use egui::{Key, Modifiers};
use egui_kittest::kittest::{NodeT, Queryable};
use instaflow::state::{Options, PaneId};
use instaflow_engine::protocol::{OpenRequest, Source};
use instaflow_engine::worker::Engine;
use instaflow_test_support::copy_folder;

const LAKE: &str = r#"{
    "groups": [{ "name": "land", "classes": [{ "name": "lake", "phrases": ["lake", "mountain lake"] }] }],
    "words": { "a": [], "lake": ["land"], "mountain": ["land"] },
    "examples": ["a lake", "a mountain lake"]
}"#;

impl Window {
    /// Types, and waits for the count of the words.
    fn types(&mut self, text: &str) {
        for letter in text.chars() {
            self.event(egui::Event::Text(letter.to_string()));
        }
        self.settle();
        let prompt = self.prompt().to_owned();
        self.wait("the count", |app| app.counted_prompt() == prompt);
    }

    fn has(&self, label: &str) -> bool {
        self.query_by_label_contains(label).is_some()
    }
}

/// The fixture with a list of what it knows.
fn with_words(list: &str) -> (tempfile::TempDir, Window) {
    let folder = tempfile::tempdir().expect("a folder for the test");
    copy_folder(&model(), folder.path());
    std::fs::write(folder.path().join("vocabulary.json"), list).expect("a folder that can be written");
    let request = OpenRequest { model: Source::Folder(folder.path().to_owned()), ..OpenRequest::default() };
    let mut window = Window::new(request);
    window.settle();
    (folder, window)
}

fn an_unknown_word_is_underlined_and_its_neighbour_offered() {
    let (_folder, mut window) = with_words(LAKE);
    assert!(window.has("knows 3 words for land."));
    window.types("a lkae ");
    assert_eq!(window.state().underlined().collect::<Vec<_>>(), ["lkae"]);
    assert!(window.has("does not know “lkae”"));
    window.press("lake");
    window.settle();
    assert_eq!(window.prompt(), "a lake ");
    assert_eq!(window.picture(PaneId::Live).settings.prompt, "a lake ", "the picture follows");
    assert!(window.state().underlined().next().is_none() && !window.has("does not know"));
    assert!(window.get_by_label("Prompt").is_focused(), "typing goes on");
    window.keys(Modifiers::COMMAND, Key::Z);
    assert_eq!(window.prompt(), "a lkae ", "taking a word can be undone");
    window.types("s");
    assert_eq!(window.prompt(), "a lkaes ", "the caret is behind what came back");
    window.keys(Modifiers::COMMAND, Key::Z);

    window.keys(Modifiers::COMMAND, Key::End);
    window.types("by a unicorn and a fox");
    assert_eq!(window.state().underlined().collect::<Vec<_>>(), ["lkae", "by", "unicorn", "and", "fox"]);
    assert!(window.has("does not know “fox”"), "the one at the caret is spoken of");
    assert!(window.has("and 4 others"));
}

fn a_half_typed_word_is_completed_and_not_underlined() {
    let (_folder, mut window) = with_words(LAKE);
    window.types("a mou");
    assert!(window.state().underlined().next().is_none(), "it may become a known word");
    assert!(!window.has("does not know"));
    assert!(window.has("mou…"));
    window.keys(Modifiers::COMMAND, Key::Space);
    assert_eq!(window.prompt(), "a mountain");
    window.types(" x");
    assert_eq!(window.state().underlined().collect::<Vec<_>>(), ["x"], "no known word begins so");
    // Away from the caret, half a word is an unknown one.
    window.keys(Modifiers::COMMAND, Key::A);
    window.types("mou lake");
    assert_eq!(window.state().underlined().collect::<Vec<_>>(), ["mou"]);
}

fn words_are_added_to_the_prompt_from_the_panel() {
    let (_folder, mut window) = with_words(LAKE);
    window.types("a");
    window.keys(Modifiers::NONE, Key::F3);
    window.press("mountain lake");
    window.settle();
    assert_eq!(window.prompt(), "a mountain lake");
    assert_eq!(window.picture(PaneId::Live).settings.prompt, "a mountain lake");
    window.get_by_label("Find a word").focus();
    window.run();
    window.event(egui::Event::Text("mount".to_owned()));
    window.run();
    let chip = |label| window.query_by_role_and_label(Role::Button, label).is_some();
    assert!(chip("mountain lake") && !chip("lake"));
    window.press("Close what the model knows");
    assert!(window.query_by_label("Find a word").is_none());
}

fn examples_stand_there_until_one_types_and_come_back_from_the_menu() {
    let (_folder, mut window) = with_words(LAKE);
    window.press("a mountain lake");
    window.settle();
    assert_eq!(window.prompt(), "a mountain lake");
    assert!(window.query_by_label("a lake").is_some(), "another one can be tried");
    window.types("s");
    assert!(window.query_by_label("a lake").is_none());
    window.keys(Modifiers::NONE, Key::F4);
    assert!(window.query_by_label("a lake").is_some(), "asked for");
    window.types(" ");
    assert!(window.query_by_label("a lake").is_none(), "and gone with the next letter");
}

fn the_prompt_that_it_begins_with_is_drawn_and_gives_way_to_what_is_typed() {
    let options = Options { open: student(), prompt: Some("a lake".to_owned()) };
    let mut window = Window::begun(Engine::spawn(|| ()), options, tempfile::tempdir().expect("a folder for the test"));
    window.settle();
    assert_eq!(window.picture(PaneId::Live).settings.prompt, "a lake");
    window.types("hill");
    assert_eq!(window.prompt(), "hill");
    window.types("s");
    assert_eq!(window.prompt(), "hills", "once");
    // The last letter may be a step of its own.
    window.keys(Modifiers::COMMAND, Key::Z);
    window.keys(Modifiers::COMMAND, Key::Z);
    assert_eq!(window.prompt(), "a lake", "and is brought back");
}

fn a_model_of_all_words_underlines_none_and_says_why_there_is_no_list() {
    let mut window = Window::ready(student());
    window.types("a qwertz unicorn");
    assert!(window.state().underlined().next().is_none());
    assert!(!window.has("knows"));
    window.keys(Modifiers::NONE, Key::F3);
    assert!(window.has("too many words to list"));
}

fn a_bad_list_is_a_sentence_and_the_model_draws() {
    let (_folder, mut window) = with_words("{}");
    assert_eq!(window.errors().len(), 1, "{:?}", window.errors());
    assert!(window.errors()[0].contains("vocabulary.json"), "{:?}", window.errors());
    window.types("lake");
    assert_eq!(window.picture(PaneId::Live).settings.prompt, "lake");
}

fn what_falls_off_the_end_is_neither_known_nor_unknown() {
    let (_folder, mut window) = with_words(LAKE);
    let long = format!("fox {}fox", "lake ".repeat(7_600));
    window.event(egui::Event::Text(long.clone()));
    window.settle();
    window.wait("the count", |app| app.counted_prompt() == long);
    assert_eq!(window.state().underlined().collect::<Vec<_>>(), ["fox"], "the first alone");
}

#[cfg(feature = "embed-pocket")]
fn pocket_says_what_it_knows_and_how_to_get_the_rest() {
    let mut window = Window::ready(OpenRequest::default());
    assert!(window.has("words for"), "it says how much it knows");
    let example = "a snowy mountain near a lake at sunset";
    let examples: Vec<String> = window.state().examples().to_vec();
    assert_eq!(examples.len(), 3, "{examples:?}");
    for (index, theme) in [Key::F7, Key::F8].into_iter().enumerate() {
        window.keys(Modifiers::NONE, theme);
        window.press(&examples[index]);
        window.settle();
        assert_eq!(window.picture(PaneId::Live).settings.prompt, examples[index]);
        let plain = window.shot();
        window.types(" unicorn");
        assert_eq!(window.state().underlined().collect::<Vec<_>>(), ["unicorn"]);
        assert_ne!(window.shot(), plain);
        window.keys(Modifiers::NONE, Key::F3);
        assert!(window.has("Find a word"));
        window.keys(Modifiers::NONE, Key::F3);
        window.keys(Modifiers::COMMAND, Key::A);
        window.keys(Modifiers::NONE, Key::Backspace);
    }
    window.types(example);
    assert!(window.state().underlined().next().is_none());
    window.press("More models");
    window.see("Download instaflow");
    window.keys(Modifiers::NONE, Key::Escape);
    assert!(!window.has("Download instaflow"));
    let found = window.get_by_label_contains("What Pocket knows");
    assert!(!found.accesskit_node().is_disabled());
}

in_both_themes!(
    an_unknown_word_is_underlined_and_its_neighbour_offered,
    a_half_typed_word_is_completed_and_not_underlined,
    words_are_added_to_the_prompt_from_the_panel,
    examples_stand_there_until_one_types_and_come_back_from_the_menu,
    the_prompt_that_it_begins_with_is_drawn_and_gives_way_to_what_is_typed,
    a_model_of_all_words_underlines_none_and_says_why_there_is_no_list,
    a_bad_list_is_a_sentence_and_the_model_draws,
    what_falls_off_the_end_is_neither_known_nor_unknown,
    pocket_says_what_it_knows_and_how_to_get_the_rest,
);
