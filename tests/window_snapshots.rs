//! Pictures of the window's main states, light and dark, held to those in `tests/snapshots`: Pocket draws, and the
//! rasteriser in software paints. Add a state here; then, and after every wanted change of looks or of Pocket, run
//! `UPDATE_SNAPSHOTS=1 cargo test --release -p instaflow --test main window_snapshots::` and look at what changed.

use std::path::PathBuf;

use crate::common::window::{Window, lacks_adapter};
use egui::{Event, Key, Modifiers, Rect, Vec2};
use egui_kittest::SnapshotOptions;
use egui_kittest::kittest::{AccessKitNode, NodeT, Queryable};
use image::{RgbaImage, imageops};
use instaflow_engine::protocol::{OpenRequest, Source};

const PROMPT: &str = "a snowy mountain near a lake at sunset";
const BOTH: Modifiers = Modifiers::COMMAND.plus(Modifiers::SHIFT);

/// How far a picture may be from the one that is kept. Processors round sums differently (AVX2, AVX-512), which moves
/// a pixel of Pocket's pictures by one level of 255, and one of the difference map by a sixteenth of its scale; halving
/// the picture's size halves that again. A squared distance of 16 in YIQ is about five levels of grey, and a few pixels may
/// lie at an edge. A missing button is hundreds of pixels, a missing panel ten thousand.
fn tolerance() -> SnapshotOptions {
    SnapshotOptions::new().threshold(16.0).max_failed_pixels(16).output_path("../tests/snapshots")
}

/// A window, and what was found to differ in it.
struct Album {
    window: Window,
    wrong: Vec<String>,
}

impl Album {
    /// A window on this model, or `None` if nothing can paint it.
    fn open(request: OpenRequest) -> Option<Self> {
        if lacks_adapter() {
            return None;
        }
        let mut window = Window::new(request);
        window.settle();
        // The caret would blink.
        window.ctx.all_styles_mut(|style| style.visuals.text_cursor.blink = false);
        Some(Self { window, wrong: Vec::new() })
    }

    fn press(&mut self, modifiers: Modifiers, key: Key) {
        self.window.key_press_modifiers(modifiers, key);
        self.window.settle();
    }

    /// Holds the window to its pictures in both themes.
    fn snap(&mut self, state: &str) {
        for (theme, key) in [("light", Key::F7), ("dark", Key::F8)] {
            self.press(Modifiers::NONE, key);
            self.snap_as_it_is(&format!("{state}-{theme}"));
        }
    }

    /// Holds the window to one picture.
    fn snap_as_it_is(&mut self, name: &str) {
        self.window.event(Event::PointerGone);
        // Until notices are gone and nothing fades: ten seconds of the window's own time.
        for _ in 0..40 {
            self.window.step();
        }
        let mut picture = self.window.render().expect("a graphics adapter, if only in software");
        self.cover(&mut picture);
        let half = imageops::resize(
            &picture,
            picture.width() / 2,
            picture.height() / 2,
            // Each pixel the mean of four.
            imageops::FilterType::Triangle,
        );
        if let Err(error) = egui_kittest::try_image_snapshot_options(&half, name, &tolerance()) {
            self.wrong.push(error.to_string());
        }
    }

    /// Takes away what differs from machine to machine: times, what follows from them, and the number of threads; and
    /// what stands in one row with them and moves as they grow. What is left is the row's own ground.
    fn cover(&self, picture: &mut RgbaImage) {
        let middle = picture.width() as f32 / 2.0;
        // A window over the window has a name and no place of its own.
        let is_text = |node: &AccessKitNode<'_>| words(node).is_some() && node.bounding_box().is_some();
        let texts: Vec<_> = self.window.query_all_by(is_text).collect();
        let texts: Vec<_> =
            texts.iter().map(|node| (words(&node.accesskit_node()).unwrap_or_default(), node.rect())).collect();
        // The numbers under a comparison, and the right half of the bar at the bottom.
        let moves = |text: &str, left: f32| text.ends_with(" dB") || (text.contains("Key to picture") && left > middle);
        let rows: Vec<_> =
            texts.iter().filter(|(text, place)| moves(text, place.left())).map(|(_, place)| *place).collect();
        for (text, place) in &texts {
            let in_row = |row: &Rect| {
                (row.center().y - place.center().y).abs() < 4.0 && (row.left() <= middle || place.left() > middle)
            };
            if !is_measured(text) && !rows.iter().any(in_row) {
                continue;
            }
            let at = |x: f32, limit: u32| (x.max(0.0) as u32).min(limit - 1);
            let (width, height) = picture.dimensions();
            let ground = *picture.get_pixel(at(place.left(), width), at(place.top() - 1.0, height));
            for y in at(place.top() - 4.0, height)..=at(place.bottom() + 4.0, height) {
                for x in at(place.left() - 24.0, width)..=at(place.right() + 24.0, width) {
                    picture.put_pixel(x, y, ground);
                }
            }
        }
    }

    fn check(self) {
        assert!(self.wrong.is_empty(), "{}", self.wrong.join("\n"));
    }
}

/// What a label or a control says.
fn words(node: &AccessKitNode<'_>) -> Option<String> {
    node.label().or_else(|| node.value())
}

/// Whether a text tells a time, a distance between pictures, or what the processor is.
fn is_measured(text: &str) -> bool {
    let unit = |unit: &str| {
        text.split(' ').zip(text.split(' ').skip(1)).any(|(number, after)| {
            number.chars().all(|letter| letter.is_ascii_digit() || letter == '.') && after.trim_end_matches(',') == unit
        })
    };
    let numbers = |between: &str| !text.is_empty() && text.split(between).all(|part| part.parse::<f64>().is_ok());
    let line = text.contains(" : ") && numbers(" : ");
    ["ms", "s", "min", "dB", "thread", "threads"].into_iter().any(unit)
        || line
        || text.contains("S = ")
        || (text.contains('.') && numbers(" and "))
}

#[test]
fn texts_that_differ_from_machine_to_machine_are_told_from_others() {
    for (text, expected) in [
        ("63 ms and 1.3 s", true),
        ("25 steps, 1.3 s", true),
        ("1 : 21", true),
        ("34.4 dB", true),
        ("0.023", true),
        ("CPU, 2 threads, f32", true),
        ("Off the line, S = 44.8", true),
        ("Key to picture 191 ms", true),
        ("1 and 50", false),
        ("10/48", false),
        ("128 × 128", false),
        ("a snowy mountain near a lake at sunset", false),
        ("3 kept", false),
    ] {
        assert_eq!(is_measured(text), expected, "{text}");
    }
}

#[test]
fn first_start() {
    let Some(mut album) = Album::open(OpenRequest::default()) else { return };
    album.snap("first-start");
    album.check();
}

#[test]
fn drawing_and_keeping() {
    let Some(mut album) = Album::open(OpenRequest::default()) else { return };
    album.window.type_text(PROMPT);
    album.window.settle();
    album.snap("live");
    album.press(Modifiers::COMMAND, Key::G);
    album.snap("variations");
    album.press(Modifiers::COMMAND, Key::D);
    for kept in 1..=3 {
        album.press(Modifiers::COMMAND, Key::CloseBracket);
        album.press(Modifiers::COMMAND, Key::K);
        album.window.wait("the picture is kept", |app| app.kept().0 == kept);
    }
    album.window.wait("the thumbnails", |app| app.thumbnails() == app.kept().0);
    album.snap("filmstrip");
    album.check();
}

#[test]
fn comparing() {
    let Some(mut album) = Album::open(OpenRequest::default()) else { return };
    album.window.type_text(PROMPT);
    album.press(Modifiers::COMMAND, Key::T);
    album.window.get_by_label("Step of the path").focus();
    album.window.run();
    album.press(Modifiers::NONE, Key::Home);
    album.press(Modifiers::NONE, Key::ArrowRight);
    album.snap("teachers-path");
    album.press(Modifiers::COMMAND, Key::P);
    album.window.press("Back to the picture");
    album.press(BOTH, Key::T);
    for (key, state) in [(Key::Num3, "side-by-side"), (Key::Num4, "split"), (Key::Num6, "difference")] {
        album.press(Modifiers::COMMAND, key);
        album.snap(state);
    }
    album.press(Modifiers::COMMAND, Key::Num3);
    album.press(BOTH, Key::T);
    album.window.set_size(Vec2::new(900.0, 600.0));
    album.window.settle();
    album.snap("narrow");
    album.check();
}

#[test]
fn windows_over_the_window() {
    let Some(mut album) = Album::open(OpenRequest::default()) else { return };
    album.window.type_text(PROMPT);
    album.window.settle();
    for (theme, key) in [("light", Key::F7), ("dark", Key::F8)] {
        album.press(Modifiers::NONE, key);
        album.press(Modifiers::COMMAND, Key::Comma);
        album.snap_as_it_is(&format!("settings-{theme}"));
        album.press(Modifiers::NONE, Key::Escape);
        album.press(BOTH, Key::P);
        album.window.type_text("seed");
        album.snap_as_it_is(&format!("palette-{theme}"));
        album.press(Modifiers::NONE, Key::Escape);
    }
    album.check();
}

#[test]
fn an_error_with_its_cause() {
    // Nobody has this folder, so that the sentence is the same everywhere.
    let nowhere = Source::Folder(PathBuf::from("/no/such/model"));
    let Some(mut album) = Album::open(OpenRequest { model: nowhere, ..OpenRequest::default() }) else { return };
    album.snap("error");
    album.check();
}
