//! The window's settings, long work, errors and log, by the accessible names of their controls.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::common::window::{Window, in_both_themes, model, pair, student};
use egui::accesskit::Role as Access;
use egui::{Key, Modifiers};
use egui_kittest::kittest::{NodeT, Queryable};
use instaflow::state::PaneId;
use instaflow_engine::pipeline::Models;
use instaflow_engine::png::{DEFAULT_PATTERN, read_settings};
use instaflow_engine::protocol::{
    Decoder, Latents, LoadProgress, ModelPart, ModelSummary, Network, OpenRequest, Picture, PromptSyntax, Role,
    Settings, Source, Step, TokenCount,
};
use instaflow_engine::worker::{Backend, Engine};
use instaflow_engine::{Cancel, Error, Result};

/// The fixture with an AutoencoderTiny beside its own decoder.
fn with_tiny() -> OpenRequest {
    OpenRequest { tiny_decoder: Some(model().join("../vae_tiny")), ..student() }
}

fn open_settings(window: &mut Window, page: &str) {
    window.key_press_modifiers(Modifiers::COMMAND, Key::Comma);
    window.run();
    assert!(window.get_by_label("Close").is_focused(), "the keyboard is in the window over the window");
    window.key_press(Key::Tab);
    window.run();
    assert!(!window.get_by_label("Close").is_focused(), "and goes through it");
    window.press(page);
}

/// Quick saves, and waits for the file.
fn quick_save(window: &mut Window) -> PathBuf {
    let before = files(&window.folder().join("output"));
    window.key_press_modifiers(Modifiers::COMMAND | Modifiers::SHIFT, Key::S);
    let output = window.folder().join("output");
    let count = before.len();
    window.wait("the picture is saved", move |app| !app.is_busy() && files(&output).len() > count);
    let after = files(&window.folder().join("output"));
    after.into_iter().find(|file| !before.contains(file)).expect("one more")
}

/// All finished files under a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.extension().is_some_and(|ending| ending == "png") {
            found.push(path);
        }
    }
    found
}

fn typing_shows_the_tiny_decoders_picture_and_rest_brings_the_full_ones() {
    let mut window = Window::ready(with_tiny());
    let models = Models::open(&with_tiny(), &mut |_| {}).expect("the fixture opens");
    let draw =
        |settings: &Settings| models.draw(settings, None, &mut |_| {}, &Cancel::default()).expect("drawn").picture;
    window.get_by_label("Prompt").focus();
    for prompt in ["lake", "lake at night"] {
        window.key_press_modifiers(Modifiers::COMMAND, Key::A);
        window.event(egui::Event::Text(prompt.to_owned()));
        window.until("the picture", |window| window.picture(PaneId::Live).settings.prompt == prompt);
        let first = window.picture(PaneId::Live).clone();
        assert_eq!(first.settings.decoder, Decoder::Tiny);
        assert_eq!(first.rgb, draw(&first.settings).rgb);
        window.until("the full decoder's", |window| window.picture(PaneId::Live).settings.decoder == Decoder::Full);
        window.settle();
        let last = window.picture(PaneId::Live);
        assert_eq!(last.settings, Settings { decoder: Decoder::Full, ..first.settings });
        assert_eq!(last.rgb, draw(&last.settings).rgb, "what is drawn without typing");
    }
    // One picture that is asked for is drawn in full at once, and so is every one if the setting is off.
    open_settings(&mut window, "Drawing");
    window.press("Tiny while you type");
    window.press("Close");
    window.get_by_label("Prompt").focus();
    window.key_press_modifiers(Modifiers::COMMAND, Key::A);
    window.event(egui::Event::Text("a boat".to_owned()));
    window.until("the picture", |window| window.picture(PaneId::Live).settings.prompt == "a boat");
    assert_eq!(window.picture(PaneId::Live).settings.decoder, Decoder::Full);
}

fn files_are_decoded_in_full_while_the_screen_takes_the_tiny_decoder() {
    let mut window = Window::ready(with_tiny());
    open_settings(&mut window, "Drawing");
    window.press("Tiny");
    window.press("Close");
    window.get_by_label("Prompt").focus();
    window.type_text("lake");
    window.settle();
    let shown = window.picture(PaneId::Live).clone();
    assert_eq!(shown.settings.decoder, Decoder::Tiny);

    let file = quick_save(&mut window);
    let saved = read_settings(&file).expect("our own PNG").settings;
    assert_eq!(saved, Settings { decoder: Decoder::Full, ..shown.settings.clone() }, "all else is the same");
    let models = Models::open(&with_tiny(), &mut |_| {}).expect("the fixture opens");
    let full = models.draw(&saved, None, &mut |_| {}, &Cancel::default()).expect("drawn").picture;
    assert_eq!(pixels(&file), *full.rgb, "exactly what the full decoder makes of this drawing");
    assert_ne!(full.rgb, shown.rgb, "the two decoders differ");
    assert_eq!(window.picture(PaneId::Live).rgb, shown.rgb, "the screen keeps its own");

    open_settings(&mut window, "Drawing");
    window.press("As on screen");
    window.press("Close");
    let file = quick_save(&mut window);
    assert_eq!(read_settings(&file).expect("our own PNG").settings, shown.settings);
    assert_eq!(pixels(&file), *shown.rgb);

    open_settings(&mut window, "Drawing");
    window.press("Reset this page");
    let controls = window.state().controls();
    assert_eq!((controls.recipe.decoder, controls.file_decoder), (Decoder::Full, Decoder::Full));
}

fn pixels(file: &Path) -> Vec<u8> {
    image::open(file).expect("a PNG").into_rgb8().into_raw()
}

fn a_picture_that_waits_for_its_decoder_is_not_lost_with_the_window() {
    let mut window = Window::ready(with_tiny());
    open_settings(&mut window, "Drawing");
    window.press("Tiny");
    window.press("Close");
    window.settle();
    window.key_press_modifiers(Modifiers::COMMAND | Modifiers::SHIFT, Key::S);
    window.step();
    // At once, in whatever state it is.
    let folder = window.close();
    assert_eq!(files(&folder.path().join("output")).len(), 1, "whichever decoder it came to");
}

fn without_a_tiny_decoder_the_settings_say_how_to_have_one() {
    let mut window = Window::ready(student());
    open_settings(&mut window, "Drawing");
    assert!(window.get_by_label("Tiny").accesskit_node().is_disabled());
    assert!(window.query_by_label_contains("--tiny-decoder").is_some());
    assert!(window.query_by_label_contains("Now: CPU").is_some());
}

fn the_pattern_names_what_is_saved_and_a_wrong_one_changes_nothing() {
    let mut window = Window::ready(student());
    window.type_text("../a red fox");
    window.settle();
    for theme in [Key::F7, Key::F8] {
        window.key_press(theme);
        open_settings(&mut window, "Files");
        assert!(window.query_by_label_contains("a_red_fox.png").is_some(), "an example with this prompt");
        assert!(!window.shot().is_empty());
        window.press("Close");
    }
    open_settings(&mut window, "Files");
    write_pattern(&mut window, "kept/{model} {n}");
    assert!(window.query_by_label("Example: kept/model 001.png").is_some());
    for (wrong, words) in
        [("../{seed}", "leave the output folder"), ("{year}", "There is no {year}"), ("a/", "needs a name before")]
    {
        write_pattern(&mut window, wrong);
        assert!(window.query_by_label_contains(words).is_some(), "{wrong}");
        assert_eq!(window.state().controls().pattern, "kept/{model} {n}", "the one before stays");
    }
    window.press("Close");
    for name in ["kept/model 001.png", "kept/model 002.png"] {
        let file = quick_save(&mut window);
        assert_eq!(file, window.folder().join("output").join(name));
    }

    let mut window = window.reopen();
    assert_eq!(window.state().controls().pattern, "kept/{model} {n}", "remembered");
    assert!(quick_save(&mut window).ends_with("kept/model 003.png"), "and used from the start");
    open_settings(&mut window, "Files");
    window.press("Insert {seed}");
    assert_eq!(window.state().controls().pattern, "kept/{model} {n}{seed}");
    window.press("Reset file name pattern");
    assert_eq!(window.state().controls().pattern, DEFAULT_PATTERN);
    assert!(window.query_by_label("Reset file name pattern").is_none());
}

/// Writes a pattern into its field.
fn write_pattern(window: &mut Window, pattern: &str) {
    window.get_by_role_and_label(Access::TextInput, "File name pattern").focus();
    window.run();
    window.key_press_modifiers(Modifiers::COMMAND, Key::A);
    window.run();
    window.type_text(pattern);
}

fn pages_are_reset_one_by_one_and_all_at_once() {
    let mut window = Window::ready(student());
    open_settings(&mut window, "Typing");
    window.press("Draw while typing");
    window.press("A new seed for each drawing");
    window.press("Plain words");
    assert_eq!(window.state().controls().recipe.prompt_syntax, PromptSyntax::Off);
    window.press("Files");
    window.press("Write settings into PNGs");
    window.press("Typing");
    window.press("Reset this page");
    let controls = window.state().controls().clone();
    assert!(controls.live && controls.seed_locked && !controls.metadata, "the other page stays");
    assert_eq!(controls.recipe.prompt_syntax, PromptSyntax::A1111);
    window.press("Reset all settings");
    assert!(window.state().controls().metadata);
}

/// An engine that opens the fixture at once, and a folder called "endless" only when the door is open.
fn slow_engine(door: Arc<AtomicBool>) -> Engine {
    Engine::with(
        || (),
        move |request, on_progress, cancel| {
            if matches!(&request.model, Source::Folder(folder) if folder.ends_with("endless")) {
                let part = ModelPart { role: Role::Student, network: Network::UNet };
                on_progress(LoadProgress { part, done: 100, total: 400 });
                while !door.load(Ordering::Relaxed) {
                    cancel.check()?;
                    std::thread::sleep(Duration::from_millis(1));
                }
                return Err(Error::Setting("there is nothing behind the door: open another folder".to_owned()));
            }
            Ok(Arc::new(Models::open(request, &mut |_| {})?))
        },
    )
}

/// Models that panic at the word "boat".
struct Panicking(Models);

impl Backend for Panicking {
    fn summary(&self) -> ModelSummary {
        self.0.summary()
    }

    fn draw(&self, settings: &Settings, observer: &mut dyn FnMut(Step), cancel: &Cancel) -> Result<Picture> {
        assert!(!settings.prompt.contains("boat"), "planted");
        Backend::draw(&self.0, settings, observer, cancel)
    }

    fn decode(&self, settings: &Settings, latents: &Latents, cancel: &Cancel) -> Result<Picture> {
        self.0.decode(settings, latents, cancel)
    }

    fn count_tokens(&self, settings: &Settings) -> TokenCount {
        self.0.count_tokens(settings)
    }
}

/// An engine that opens the fixture and panics at the word "boat".
fn panicking_engine() -> Engine {
    Engine::with(|| (), |request, on_progress, _| Ok(Arc::new(Panicking(Models::open(request, on_progress)?))))
}

fn a_panic_in_the_engine_costs_one_picture() {
    let folder = tempfile::tempdir().expect("a folder for the test");
    let mut window = Window::on(panicking_engine(), student(), folder);
    window.settle();
    window.type_text("my boat");
    window.settle();
    let [error] = &window.errors()[..] else { panic!("{:?}", window.errors()) };
    assert!(error.contains("drawing failed because of a bug in this program"), "{error}");
    window.get_by_label("planted");
    window.key_press_modifiers(Modifiers::COMMAND, Key::A);
    window.type_text("lake");
    window.settle();
    assert_eq!(window.picture(PaneId::Live).settings.prompt, "lake", "the next one is drawn");
    assert_eq!(window.errors().len(), 1);
}

fn endless(window: &Window) -> PathBuf {
    let folder = window.folder().join("endless");
    std::fs::create_dir_all(&folder).expect("a folder for the test");
    folder
}

fn opening_is_shown_with_its_progress_and_can_be_stopped() {
    for (theme, button) in [(Key::F7, true), (Key::F8, false)] {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let mut window = Window::on(slow_engine(Arc::default()), student(), folder);
        window.settle();
        window.key_press(theme);
        window.type_text("lake");
        window.settle();
        let before = window.picture(PaneId::Live).clone();
        let endless = endless(&window);
        window.drop_file(&endless);
        window.see(" MiB of 400 MiB");
        assert_eq!(window.query_all_by_label("Stop loading").count(), 2, "in the bar and on the pictures");
        assert!(!window.shot().is_empty());
        if button {
            window.query_all_by_label("Stop loading").next().expect("two").click();
        } else {
            window.key_press(Key::Escape);
        }
        window.settle();
        assert!(window.query_by_label_contains("Loading was stopped: the model that was open stays open").is_some());
        assert_eq!(window.errors(), [""; 0]);
        window.get_by_label("Prompt").focus();
        window.type_text("s");
        window.settle();
        let picture = window.picture(PaneId::Live);
        assert_eq!((picture.settings.prompt.as_str(), &picture.model), ("lakes", &before.model), "it draws on");
    }
}

fn what_is_asked_for_while_a_model_opens_is_done_by_the_one_that_is_open() {
    let folder = tempfile::tempdir().expect("a folder for the test");
    let door = Arc::new(AtomicBool::new(false));
    let mut window = Window::on(slow_engine(door.clone()), with_tiny(), folder);
    window.settle();
    window.press("Tiny decoder");
    window.press("Live");
    window.settle();
    window.get_by_label("Prompt").focus();
    window.type_text("lake");
    let endless = endless(&window);
    window.drop_file(&endless);
    window.see(" MiB of 400 MiB");

    window.key_press_modifiers(Modifiers::COMMAND | Modifiers::SHIFT, Key::S);
    let output = window.folder().join("output");
    window.until("the file", |_| !files(&output).is_empty());
    let saved = read_settings(&files(&output)[0]).expect("a picture");
    assert_eq!(saved.settings.decoder, Decoder::Tiny, "as it is on screen: the next model's decoder is another");

    window.key_press(Key::Enter);
    window.run();
    door.store(true, Ordering::Relaxed);
    window.settle();
    assert_eq!(window.errors(), ["there is nothing behind the door: open another folder"]);
    assert_eq!(window.picture(PaneId::Live).settings.prompt, "lake", "Enter was not forgotten");
}

fn an_errors_details_are_copied_without_the_prompt_unless_wanted() {
    let door = Arc::new(AtomicBool::new(true));
    let folder = tempfile::tempdir().expect("a folder for the test");
    let mut window = Window::on(slow_engine(door), pair(), folder);
    window.settle();
    window.type_text("my secret lake");
    window.settle();
    let endless = endless(&window);
    window.drop_file(&endless);
    window.wait("the failure", |app| app.errors().next().is_some());
    window.settle();

    let details = copied(&mut window, "Copy details: there is nothing behind the door: open another folder");
    for words in [
        "there is nothing behind the door",
        "The model that was open stays open.",
        concat!("InstaFlow ", env!("CARGO_PKG_VERSION")),
        "Device    CPU",
        "Student   model",
        "weights",
        "seed 0",
        "left out (14 characters)",
    ] {
        assert!(details.contains(words), "{words} is not in\n{details}");
    }
    assert!(!details.contains("secret"), "{details}");
    window.press("Copy details with the prompt: there is nothing behind the door: open another folder");
    let details = copied(&mut window, "Copy details: there is nothing behind the door: open another folder");
    assert!(details.contains("my secret lake"), "{details}");
}

/// What a button puts on the clipboard.
fn copied(window: &mut Window, button: &str) -> String {
    window.get_by_label(button).click();
    for _ in 0..10 {
        window.step();
        for command in &window.output().platform_output.commands {
            if let egui::OutputCommand::CopyText(text) = command {
                return text.clone();
            }
        }
    }
    panic!("nothing was copied")
}

fn the_log_is_shown_or_it_is_said_why_not() {
    let mut window = Window::ready(student());
    window.key_press(Key::F9);
    window.wait("a message", |app| app.errors().next().is_some());
    assert!(window.errors()[0].contains("The log could not be read"), "{:?}", window.errors());

    let lines: Vec<_> = (0..2000).map(|n| format!("2026-03-01 12:00:00.000 INFO  line {n}")).collect();
    std::fs::write(window.folder().join("instaflow.log"), lines.join("\n")).expect("a folder that can be written");
    for theme in [Key::F7, Key::F8] {
        window.key_press(theme);
        window.key_press(Key::F9);
        window.run();
        window.see("Copy log");
        window.run();
        assert!(window.query_by_label_contains("line 1999").is_some(), "its end is seen");
        assert!(window.query_by_label_contains("line 5").is_none(), "only what is seen is laid out");
        assert!(!window.shot().is_empty());
        window.press("Close");
    }
}

in_both_themes!(
    typing_shows_the_tiny_decoders_picture_and_rest_brings_the_full_ones,
    files_are_decoded_in_full_while_the_screen_takes_the_tiny_decoder,
    a_picture_that_waits_for_its_decoder_is_not_lost_with_the_window,
    without_a_tiny_decoder_the_settings_say_how_to_have_one,
    the_pattern_names_what_is_saved_and_a_wrong_one_changes_nothing,
    pages_are_reset_one_by_one_and_all_at_once,
    opening_is_shown_with_its_progress_and_can_be_stopped,
    a_panic_in_the_engine_costs_one_picture,
    what_is_asked_for_while_a_model_opens_is_done_by_the_one_that_is_open,
    an_errors_details_are_copied_without_the_prompt_unless_wanted,
    the_log_is_shown_or_it_is_said_why_not,
);
