//! Tests that need a program or a driver that the machine may lack. Change here when such a test may be skipped.

use std::io::Write;

/// Call this before returning early from a test because `what` is missing. It says so on the terminal, past the
/// capturing of output. In CI (`CI=true`), where every tool is installed, it fails the test instead.
#[track_caller]
pub fn skip_or_fail(what: &str) {
    assert!(!in_ci(), "{what} is missing, and CI=true lets no test be skipped");
    // If standard error is closed, nobody reads the message anyway.
    let _ = writeln!(std::io::stderr(), "skipped, because {what} is missing");
}

/// Whether skipping is forbidden.
fn in_ci() -> bool {
    std::env::var_os("CI").is_some_and(|value| value == "true")
}
