//! Whether a live job may finish although a newer one waits.
//!
//! Abandoning every stale job would show nothing at all while someone types faster than the model draws; finishing
//! every one would make the last thing typed wait for a picture that nobody wants. So a job may finish where that
//! costs little: on a model whose last pictures took at most [`FAST`] on average, for at most [`FAST`]. On a slower
//! model stale work is always abandoned. Before the first picture the pace is unknown; then jobs are abandoned until
//! [`PATIENCE`] has passed without a picture.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::protocol::{Decoder, Role, Settings};

/// Krita AI's live mode draws the line between fast and slow models here, and averages as many pictures.
const FAST: Duration = Duration::from_millis(1500);
const AVERAGED: usize = 10;
/// How long typing may go on without a picture while the pace is unknown.
const PATIENCE: Duration = Duration::from_secs(3);

#[derive(Default)]
pub(super) struct Pace {
    kind: Option<Kind>,
    recent: VecDeque<Duration>,
    /// When the first of the jobs abandoned since the last picture began.
    hungry_since: Option<Instant>,
}

/// What decides how long a picture takes.
type Kind = (Role, Option<(u32, u32)>, u32, bool, Decoder);

fn kind(settings: &Settings) -> Kind {
    (settings.role, settings.size, settings.steps, settings.guidance > 1.0, settings.decoder)
}

impl Pace {
    /// A live picture is done.
    pub(super) fn drawn(&mut self, settings: &Settings, took: Duration) {
        if self.kind != Some(kind(settings)) {
            self.recent.clear();
            self.kind = Some(kind(settings));
        }
        if self.recent.len() == AVERAGED {
            self.recent.pop_front();
        }
        self.recent.push_back(took);
        self.hungry_since = None;
    }

    /// A live job that began at `begun` is abandoned.
    pub(super) fn abandoned(&mut self, begun: Instant) {
        self.hungry_since.get_or_insert(begun);
    }

    /// Whether the live job that began at `begun` may finish at `now`.
    pub(super) fn may_finish(&self, settings: &Settings, begun: Instant, now: Instant) -> bool {
        if now.duration_since(begun) > FAST {
            return false;
        }
        if self.kind == Some(kind(settings)) {
            let sum: Duration = self.recent.iter().sum();
            sum <= FAST * self.recent.len() as u32
        } else {
            self.hungry_since.is_some_and(|since| now.duration_since(since) >= PATIENCE)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fast_model_may_finish_and_a_slow_one_may_not() {
        let settings = Settings::student("lake");
        let begun = Instant::now();
        let mut pace = Pace::default();
        pace.drawn(&settings, Duration::from_millis(80));
        assert!(pace.may_finish(&settings, begun, begun + Duration::from_millis(50)));
        assert!(!pace.may_finish(&settings, begun, begun + Duration::from_secs(2)), "this one is late");
        for _ in 0..AVERAGED {
            pace.drawn(&settings, Duration::from_secs(4));
        }
        assert!(!pace.may_finish(&settings, begun, begun + Duration::from_millis(50)));
    }

    #[test]
    fn an_unknown_model_may_finish_once_typing_has_gone_on_too_long() {
        let settings = Settings::student("lake");
        let first = Instant::now();
        let mut pace = Pace::default();
        pace.abandoned(first);
        pace.abandoned(first + Duration::from_secs(2));
        let begun = first + Duration::from_millis(2900);
        assert!(!pace.may_finish(&settings, begun, begun));
        assert!(pace.may_finish(&settings, begun, begun + Duration::from_millis(200)));
    }

    #[test]
    fn a_larger_picture_has_a_pace_of_its_own() {
        let small = Settings::student("lake");
        let large = Settings { size: Some((1024, 1024)), ..small.clone() };
        let now = Instant::now();
        let mut pace = Pace::default();
        pace.drawn(&small, Duration::from_millis(80));
        assert!(!pace.may_finish(&large, now, now));
    }
}
