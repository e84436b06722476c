//! The real program on a virtual display: keys are typed, the picture on screen changes, and after a kill all is there
//! again.
//!
//! Needs Xvfb, xdotool, ImageMagick and a Vulkan driver (Debian: xvfb, xdotool, imagemagick, mesa-vulkan-drivers). If one
//! is missing, the test is skipped and says so; in CI (`CI=true`) it fails.

use std::path::Path;
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use crate::common::display::{Ended, find_window, is_picture, lacks_tools, middle, start_display, wait, xdotool};
use instaflow_test_support::fixture;

/// What is typed.
const PROMPT: &str = "a snowy mountain near a lake at sunset";

#[test]
fn typed_keys_change_the_picture_and_are_remembered() {
    if lacks_tools() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder for the test");
    let (_server, display) = start_display("1180x760");
    let program = start_program(&display, folder.path(), None);
    let window = find_window(&display);
    let before = wait("the first picture", || Some(middle(&display)).filter(|pixels| is_picture(pixels)));
    sleep(Duration::from_secs(1));
    assert!(middle(&display) == before, "without a key the picture stands still");

    // There is no window manager to give the keyboard, and a window takes it only once it is on screen.
    xdotool(&display, &["windowfocus", &window]);
    sleep(Duration::from_millis(500));
    xdotool(&display, &["type", "--delay", "30", PROMPT]);
    wait("another picture", || Some(middle(&display)).filter(|now| *now != before && is_picture(now)));
    let state = folder.path().join("instaflow").join("window.json");
    // Between quotes: what stood in the field at the first start has given way.
    let quoted = format!("\"{PROMPT}\"");
    wait("what is set to be written", || std::fs::read_to_string(&state).ok().filter(|text| text.contains(&quoted)));
    // The picture of the last key may still be on its way.
    let after = wait("a picture that stays", || {
        let shown = middle(&display);
        sleep(Duration::from_secs(2));
        (shown == middle(&display)).then_some(shown)
    });

    // Killed, not closed. And a session of Wayland that is over does not keep the window away.
    drop(program);
    let _program = start_program(&display, folder.path(), Some("wayland-of-yesterday"));
    find_window(&display);
    wait("the same picture again", || Some(middle(&display)).filter(|now| *now == after));
}

/// The program on the fixture model; all it remembers is in `folder`.
fn start_program(display: &str, folder: &Path, wayland: Option<&str>) -> Ended {
    let mut command = Command::new(env!("CARGO_BIN_EXE_instaflow"));
    command
        .arg("--model")
        .arg(fixture("model"))
        .env("DISPLAY", display)
        .env("XDG_RUNTIME_DIR", folder)
        .env("XDG_STATE_HOME", folder)
        .env("XDG_DATA_HOME", folder)
        .env_remove("WAYLAND_DISPLAY");
    if let Some(wayland) = wayland {
        command.env("WAYLAND_DISPLAY", wayland);
    }
    Ended(command.spawn().expect("the program starts"))
}
