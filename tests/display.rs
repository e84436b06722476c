//! The real program on a virtual display: keys are typed, the picture on screen changes, and after a kill all is there
//! again.
//!
//! Needs Xvfb, xdotool, ImageMagick and a Vulkan driver (Debian: xvfb, xdotool, imagemagick, mesa-vulkan-drivers);
//! where one is missing there is nothing to test, and the test says so.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// A loaded machine draws the window slowly.
const PATIENCE: Duration = Duration::from_secs(90);

/// What is typed.
const PROMPT: &str = "a snowy mountain near a lake at sunset";

/// The middle of the picture: nothing there blinks, and no pointer is near.
const MIDDLE: &str = "200x200+300+350";

#[test]
fn typed_keys_change_the_picture_and_are_remembered() {
    for tool in ["Xvfb", "xdotool", "import"] {
        if Command::new(tool).arg("-version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_err() {
            eprintln!("skipped: {tool} is not installed");
            return;
        }
    }
    let folder = tempfile::tempdir().expect("a folder for the test");
    let (_server, display) = start_display();
    let program = start_program(&display, folder.path());
    let window = find_window(&display);
    // The fixture's pictures are as colourful as noise; whatever is there before them is of few colours.
    let before = wait("the first picture", || Some(middle(&display)).filter(|pixels| colours(pixels) > 500));
    sleep(Duration::from_secs(1));
    assert!(middle(&display) == before, "without a key the picture stands still");

    // There is no window manager to give the keyboard, and a window takes it only once it is on screen.
    xdotool(&display, &["windowfocus", &window]);
    sleep(Duration::from_millis(500));
    xdotool(&display, &["type", "--delay", "30", PROMPT]);
    wait("another picture", || Some(middle(&display)).filter(|now| *now != before && colours(now) > 500));
    let state = folder.path().join("instaflow").join("window.json");
    wait("what is set to be written", || std::fs::read_to_string(&state).ok().filter(|text| text.contains(PROMPT)));
    let after = middle(&display);

    // Killed, not closed.
    drop(program);
    let _program = start_program(&display, folder.path());
    find_window(&display);
    wait("the same picture again", || Some(middle(&display)).filter(|now| *now == after));
}

/// The program on the fixture model; all it remembers is in `folder`.
fn start_program(display: &str, folder: &Path) -> Ended {
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/tiny-sd/model");
    let program = Command::new(env!("CARGO_BIN_EXE_instaflow"))
        .arg("--model")
        .arg(model)
        .env("DISPLAY", display)
        .env("XDG_RUNTIME_DIR", folder)
        .env("XDG_STATE_HOME", folder)
        .env_remove("WAYLAND_DISPLAY")
        .spawn();
    Ended(program.expect("the program starts"))
}

/// Waits for the window and puts it where the display shows it whole.
fn find_window(display: &str) -> String {
    let window = wait("the window", || {
        let found = xdotool(display, &["search", "--name", "^InstaFlow$"]);
        found.lines().next().map(str::to_owned)
    });
    xdotool(display, &["windowmove", &window, "0", "0"]);
    window
}

/// A process that ends with the test.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        // It may have ended already.
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// A virtual display on the first free number.
fn start_display() -> (Ended, String) {
    let mut server = Command::new("Xvfb")
        .args(["-displayfd", "1", "-noreset", "-screen", "0", "1180x760x24", "-nolisten", "tcp"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("Xvfb starts");
    let mut number = String::new();
    let mut out = BufReader::new(server.stdout.take().expect("piped"));
    out.read_line(&mut number).expect("Xvfb names its display");
    (Ended(server), format!(":{}", number.trim()))
}

fn xdotool(display: &str, arguments: &[&str]) -> String {
    let out = Command::new("xdotool").args(arguments).env("DISPLAY", display).output().expect("xdotool starts");
    String::from_utf8_lossy(&out.stdout).into_owned()
}

/// The middle of the screen as RGB bytes.
fn middle(display: &str) -> Vec<u8> {
    let arguments = ["-window", "root", "-crop", MIDDLE, "-depth", "8", "rgb:-"];
    Command::new("import").args(arguments).env("DISPLAY", display).output().expect("import starts").stdout
}

fn colours(pixels: &[u8]) -> usize {
    pixels.chunks_exact(3).collect::<std::collections::HashSet<_>>().len()
}

fn wait<T>(what: &str, mut ready: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = ready() {
            return found;
        }
        assert!(began.elapsed() < PATIENCE, "waited in vain for {what}");
        sleep(Duration::from_millis(100));
    }
}
