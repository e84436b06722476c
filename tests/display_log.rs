//! The real program on a virtual display: what its log says of a model that was opened and of pictures that were drawn,
//! and what it does not say.

use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use crate::common::display::{Ended, find_window, is_picture, lacks_tools, middle, start_display, wait, xdotool};
use instaflow_test_support::fixture;

#[test]
fn the_log_has_models_and_speeds_and_no_prompts() {
    if lacks_tools() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder for the test");
    let (_server, display) = start_display("1180x760");
    let program = Command::new(env!("CARGO_BIN_EXE_instaflow"))
        .arg("--model")
        .arg(fixture("model"))
        .env("DISPLAY", &display)
        .env("XDG_RUNTIME_DIR", folder.path())
        .env("XDG_STATE_HOME", folder.path())
        .env("XDG_DATA_HOME", folder.path())
        .env_remove("WAYLAND_DISPLAY")
        .spawn();
    let mut program = Ended(program.expect("the program starts"));
    let window = find_window(&display);
    let path = folder.path().join("instaflow").join("instaflow.log");
    let logged = |words: &str| std::fs::read_to_string(&path).ok().filter(|text| text.contains(words));
    wait("the model in the log", || logged("open: model, "));
    let before = wait("the first picture", || Some(middle(&display)).filter(|pixels| is_picture(pixels)));

    xdotool(&display, &["windowfocus", &window]);
    sleep(Duration::from_millis(500));
    xdotool(&display, &["type", "--delay", "30", "my boat at sea"]);
    wait("another picture", || Some(middle(&display)).filter(|now| *now != before && is_picture(now)));
    xdotool(&display, &["key", "ctrl+q"]);
    assert!(program.0.wait().expect("it ends").success());
    let text = logged("live pictures").expect("how fast they came, at the end");
    assert!(text.contains("the window is shown by"), "{text}");
    assert!(!text.contains("boat") && !text.contains("at sea"), "{text}");
}
