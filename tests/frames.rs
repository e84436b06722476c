//! How long the window's own thread works on a frame while the engine draws, and how many frames a second are reached:
//! the real program under Xvfb, measured by its own `--trace`. Not run with the other tests, for it is the machine that
//! is measured:
//!
//! ```text
//! cargo test --release -p instaflow --test main frames:: -- --ignored --nocapture
//! ```
//!
//! `INSTAFLOW_MEASURE_MODEL=FOLDER` measures another model, too. A graphics driver in software (lavapipe) takes the
//! processor for its own part of every frame, in a large window all of it; what is held to the target is what comes before
//! it: logic and ui. Whether the engine leaves the window a way in shows in a small one, where that driver itself has more
//! frames a second than a screen.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::common::display::{Ended, find_window, lacks_tools, start_display, xdotool};
use serde_json::{Value, json};

const PROMPT: &str = "a snowy mountain near a lake at sunset with a red sailboat on the left";

/// Sizes of the window: a usual one, and the smallest.
const USUAL: (f64, f64) = (1280.0, 800.0);
const SMALLEST: (f64, f64) = (640.0, 440.0);

/// Milliseconds that logic and ui may take: the middle of all frames, and the longest.
const TARGET: (f64, f64) = (4.0, 16.0);

/// One frame on the window's thread.
struct FrameTime {
    /// Microseconds from the trace's beginning.
    at: f64,
    /// Milliseconds.
    logic_and_ui: f64,
    /// All of the frame before it: with layout, tessellation and rasterising.
    whole_before: f64,
    /// The spans within, longest first.
    spans: Vec<(String, f64)>,
}

#[test]
#[ignore = "measures the machine it runs on"]
fn the_windows_thread_is_quick_while_the_engine_works() {
    if lacks_tools() {
        return;
    }
    let mut slow = Vec::new();
    let keys = |window: &str, display: &str| {
        xdotool(display, &["windowfocus", window]);
        sleep(Duration::from_millis(300));
        xdotool(display, &["type", "--delay", "100", PROMPT]);
        sleep(Duration::from_secs(2));
    };
    let rest = |_: &str, _: &str| sleep(Duration::from_secs(5));
    let repaint = ["--repaint"];
    slow.extend(measure("Pocket follows typing, compared", &[], "Compare", USUAL, keys));
    slow.extend(measure("the same, frames without a pause", &repaint, "Compare", USUAL, keys));
    slow.extend(measure("idle, frames without a pause", &repaint, "Compare", USUAL, rest));
    slow.extend(measure(
        "Pocket follows typing, smallest window, frames without a pause",
        &repaint,
        "Picture",
        SMALLEST,
        keys,
    ));
    slow.extend(measure("idle, smallest window, frames without a pause", &repaint, "Picture", SMALLEST, rest));
    if let Some(folder) = std::env::var_os("INSTAFLOW_MEASURE_MODEL") {
        let folder = PathBuf::from(folder);
        let model = ["--model", folder.to_str().expect("a path of letters")];
        slow.extend(measure("the other model follows typing", &model, "Picture", USUAL, keys));
        let repaint = [model[0], model[1], "--repaint"];
        slow.extend(measure("the same, frames without a pause", &repaint, "Picture", USUAL, keys));
        slow.extend(measure("the same, smallest window", &repaint, "Picture", SMALLEST, keys));
    }
    assert!(slow.is_empty(), "beyond the target: {slow:?}");
}

/// Starts the program, lets `act` do something with it, and prints how long its frames took. Returns its name where that
/// is beyond the target.
fn measure<'a>(
    name: &'a str,
    arguments: &[&str],
    show: &str,
    size: (f64, f64),
    act: impl Fn(&str, &str),
) -> Option<&'a str> {
    let folder = tempfile::tempdir().expect("a folder for the test");
    let (_server, display) = start_display("1280x800");
    let state = folder.path().join("instaflow");
    std::fs::create_dir(&state).expect("a folder that can be written");
    let remembered = json!({
        "window": { "size": [size.0, size.1], "position": [0.0, 0.0], "maximized": false },
        "controls": { "show": show },
    });
    std::fs::write(state.join("window.json"), remembered.to_string()).expect("a folder that can be written");
    let trace = folder.path().join("trace.json");
    let began = Instant::now();
    let program = Command::new(env!("CARGO_BIN_EXE_instaflow"))
        .args(arguments)
        .arg("--trace")
        .arg(&trace)
        .env("DISPLAY", &display)
        .env("XDG_RUNTIME_DIR", folder.path())
        .env("XDG_STATE_HOME", folder.path())
        .env("XDG_DATA_HOME", folder.path())
        .env("HOME", folder.path())
        .env_remove("WAYLAND_DISPLAY")
        .spawn();
    let mut program = Ended(program.expect("the program starts"));
    let window = find_window(&display);
    // Loading, first pictures and first glyphs are not what is measured.
    sleep(Duration::from_secs(8));
    let from = began.elapsed().as_secs_f64() * 1e6;
    act(&window, &display);
    let to = began.elapsed().as_secs_f64() * 1e6;
    xdotool(&display, &["windowfocus", &window, "key", "ctrl+q"]);
    program.0.wait().expect("it closes");

    let frames: Vec<_> = frames(&trace).into_iter().filter(|frame| (from..to).contains(&frame.at)).collect();
    report(name, &frames, (to - from) / 1e6).then_some(name)
}

/// Prints, and says whether it is beyond the target.
fn report(name: &str, frames: &[FrameTime], seconds: f64) -> bool {
    let sorted = |value: fn(&FrameTime) -> f64| {
        let mut values: Vec<f64> = frames.iter().map(value).collect();
        values.sort_by(f64::total_cmp);
        values
    };
    let (own, whole) = (sorted(|frame| frame.logic_and_ui), sorted(|frame| frame.whole_before));
    let at = |values: &[f64], part: f64| values[((values.len() - 1) as f64 * part).round() as usize];
    println!(
        "{name}: {} frames, {:.1} a second; logic and ui: median {:.2} ms, 95 of 100 {:.2} ms, longest {:.2} ms; whole \
         frames: median {:.1} ms, longest {:.1} ms",
        frames.len(),
        frames.len() as f64 / seconds,
        at(&own, 0.5),
        at(&own, 0.95),
        at(&own, 1.0),
        at(&whole, 0.5),
        at(&whole, 1.0),
    );
    let longest = frames.iter().max_by(|a, b| a.logic_and_ui.total_cmp(&b.logic_and_ui)).expect("at least one frame");
    let spans: Vec<_> = longest.spans.iter().take(6).map(|(name, ms)| format!("{name} {ms:.2}")).collect();
    println!("    the longest: {}", spans.join(", "));
    at(&own, 0.5) > TARGET.0 || at(&own, 1.0) > TARGET.1
}

/// The frames of a trace: each `logic` with the `ui` after it.
fn frames(trace: &Path) -> Vec<FrameTime> {
    let text = std::fs::read_to_string(trace).expect("a trace");
    let events: Vec<Value> = serde_json::from_str(&text).expect("JSON");
    let number = |event: &Value, name: &str| event[name].as_f64().unwrap_or_default();
    let mut spans: Vec<_> = events.iter().filter(|event| event["ph"] == "X").collect();
    let window = spans.iter().find(|event| event["name"] == "logic").expect("a frame")["tid"].clone();
    spans.retain(|event| event["tid"] == window);
    spans.sort_by(|a, b| number(a, "ts").total_cmp(&number(b, "ts")));
    let mut frames: Vec<FrameTime> = Vec::new();
    for event in spans {
        let (name, at, ms) =
            (event["name"].as_str().unwrap_or_default(), number(event, "ts"), number(event, "dur") / 1e3);
        if name == "logic" {
            frames.push(FrameTime { at, logic_and_ui: 0.0, whole_before: 0.0, spans: Vec::new() });
        }
        let Some(frame) = frames.last_mut() else { continue };
        if name == "logic" || name == "ui" {
            frame.logic_and_ui += ms;
        }
        if name == "ui" {
            frame.whole_before = number(&event["args"], "frame_before");
        }
        frame.spans.push((name.to_owned(), ms));
    }
    for frame in &mut frames {
        frame.spans.sort_by(|a, b| b.1.total_cmp(&a.1));
    }
    frames
}
