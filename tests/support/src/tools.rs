//! Tests that need a program or a driver that the machine may lack. Change here when such a test may be skipped.

use std::collections::BTreeSet;
use std::io::Write;
use std::sync::{Mutex, PoisonError};

/// Call this before returning early from a test because `what` is missing. It says so on the terminal, past the
/// capturing of output, once for each `what`. In CI (`CI=true`), where every tool is installed, it fails the test instead.
#[track_caller]
pub fn skip_or_fail(what: &str) {
    assert!(!must_run(std::env::var("CI").ok().as_deref()), "{what} is missing, and CI=true lets no test be skipped");
    if SAID.lock().unwrap_or_else(PoisonError::into_inner).insert(what.to_owned()) {
        // If standard error is closed, nobody reads the message anyway.
        let _ = writeln!(std::io::stderr(), "tests are skipped: {what} is missing");
    }
}

/// What was said to be missing.
static SAID: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// Whether skipping is forbidden, by the value of `CI`.
fn must_run(ci: Option<&str>) -> bool {
    ci == Some("true")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_ci_forbids_skipping() {
        assert!(must_run(Some("true")));
        assert!(!must_run(Some("false")) && !must_run(Some("")) && !must_run(None));
    }
}
