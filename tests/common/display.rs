//! A virtual display, and the real program on it.
//!
//! Needs Xvfb, xdotool, ImageMagick and a Vulkan driver (Debian: xvfb, xdotool, imagemagick, mesa-vulkan-drivers).

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use instaflow_test_support::skip_or_fail;

use super::window::lacks_adapter;

/// A loaded machine draws the window slowly.
const PATIENCE: Duration = Duration::from_secs(90);

/// The middle of the picture: nothing there blinks, and no pointer is near.
const MIDDLE: &str = "200x200+300+350";

/// Whether something is missing without which the program cannot be shown. Says what, and fails in CI.
pub fn lacks_tools() -> bool {
    let missing = ["Xvfb", "xdotool", "import"]
        .into_iter()
        .find(|tool| Command::new(tool).arg("-version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_err());
    if let Some(tool) = missing {
        skip_or_fail(tool);
    }
    missing.is_some() || lacks_adapter()
}

/// Waits for the window and puts it where the display shows it whole.
pub fn find_window(display: &str) -> String {
    let window = wait("the window", || {
        let found = xdotool(display, &["search", "--name", "^InstaFlow$"]);
        found.lines().next().map(str::to_owned)
    });
    xdotool(display, &["windowmove", &window, "0", "0"]);
    window
}

/// A process that ends with the test.
pub struct Ended(pub Child);

impl Drop for Ended {
    fn drop(&mut self) {
        // It may have ended already.
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// A virtual display of so many pixels, on the first free number.
pub fn start_display(size: &str) -> (Ended, String) {
    let mut server = Command::new("Xvfb")
        .args(["-displayfd", "1", "-noreset", "-screen", "0", &format!("{size}x24"), "-nolisten", "tcp"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("Xvfb starts");
    let mut number = String::new();
    let mut out = BufReader::new(server.stdout.take().expect("piped"));
    out.read_line(&mut number).expect("Xvfb names its display");
    (Ended(server), format!(":{}", number.trim()))
}

/// Sends keys, and asks for windows.
pub fn xdotool(display: &str, arguments: &[&str]) -> String {
    let out = Command::new("xdotool").args(arguments).env("DISPLAY", display).output().expect("xdotool starts");
    String::from_utf8_lossy(&out.stdout).into_owned()
}

/// The middle of the screen as RGB bytes.
pub fn middle(display: &str) -> Vec<u8> {
    let arguments = ["-window", "root", "-crop", MIDDLE, "-depth", "8", "rgb:-"];
    Command::new("import").args(arguments).env("DISPLAY", display).output().expect("import starts").stdout
}

/// Whether a picture is there: the fixture's are as colourful as noise, and whatever is there before them is of few
/// colours.
pub fn is_picture(pixels: &[u8]) -> bool {
    pixels.chunks_exact(3).collect::<std::collections::HashSet<_>>().len() > 500
}

/// Waits until there is something.
pub fn wait<T>(what: &str, mut ready: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = ready() {
            return found;
        }
        assert!(began.elapsed() < PATIENCE, "waited in vain for {what}");
        sleep(Duration::from_millis(100));
    }
}
