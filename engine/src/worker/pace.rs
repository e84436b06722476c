//! When a live job begins, and whether it may finish although a newer one waits. Change how live drawing follows the
//! keyboard here; the clock is passed in, so that tests need none.
//!
//! Abandoning every stale job would show nothing at all while someone types faster than the model draws; finishing
//! every one would make the last thing typed wait for a picture that nobody wants. The rules, after Krita AI's live
//! mode, on the mean of the last [`AVERAGED`] pictures of the same kind:
//!
//! - A fast model (at most [`FAST`] a picture) is given every change at once, and a stale job may finish.
//! - A slow one is given a change after a grace: [`LEAST_GRACE`] where a word has just ended, else as long as this
//!   person's keys lie apart, up to [`MOST_GRACE`]. A half-typed word is thus not drawn over and over. A stale job is
//!   abandoned.
//! - Where typing on a slow model goes on for [`PATIENCE`] without a picture, the next job begins without grace, and
//!   where a picture takes no longer than [`FORCED`] that job may finish.
//! - While the pace of a kind is unknown, jobs begin at once and are abandoned until [`PATIENCE`] has passed.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::protocol::{Blend, Decoder, Role, Settings};

/// Krita AI's live mode draws the line between fast and slow models here, and averages as many pictures.
const FAST: Duration = Duration::from_millis(1500);
const AVERAGED: usize = 10;
/// How long typing may go on without a picture; Krita AI's.
const PATIENCE: Duration = Duration::from_secs(3);
/// The grace of a slow model; Krita AI's.
const LEAST_GRACE: Duration = Duration::from_millis(250);
/// The longest grace. Keys that lie further apart are no unbroken typing.
const MOST_GRACE: Duration = Duration::from_secs(1);
/// A stale picture that takes longer than this is not worth making the last thing typed wait for it.
const FORCED: Duration = Duration::from_secs(6);
/// Gaps between keys of which the grace is made.
const GAPS: usize = 8;

#[derive(Default)]
pub(super) struct Pace {
    kind: Option<Kind>,
    recent: VecDeque<Duration>,
    typing: Typing,
}

/// What is known of the person's hands.
#[derive(Default)]
struct Typing {
    last: Option<(Instant, String)>,
    gaps: VecDeque<Duration>,
    /// The grace that the last request asks for.
    grace: Duration,
    /// The first request of this unbroken typing that no picture has answered.
    hungry_since: Option<Instant>,
}

/// What decides how long a picture takes.
type Kind = (Role, Option<(u32, u32)>, u32, bool, Decoder);

fn kind(settings: &Settings) -> Kind {
    (settings.role, settings.size, settings.steps, settings.guidance > 1.0, settings.decoder)
}

impl Pace {
    /// Another model is open; the hands stay the same.
    pub(super) fn forget_model(&mut self) {
        self.kind = None;
        self.recent.clear();
        self.typing.hungry_since = None;
    }

    /// A live job is asked for.
    pub(super) fn asked(&mut self, settings: &Settings, now: Instant) {
        self.typing.asked(settings, now);
    }

    /// Whoever typed has stopped the lane.
    pub(super) fn stopped(&mut self) {
        self.typing.hungry_since = None;
    }

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
        self.typing.hungry_since = None;
    }

    /// When the live job that waits may begin.
    pub(super) fn begins_at(&self, settings: &Settings, now: Instant) -> Instant {
        if self.mean(settings).is_none_or(|mean| mean <= FAST) {
            return now;
        }
        let typing = &self.typing;
        let rests = typing.last.as_ref().map_or(now, |(last, _)| *last + typing.grace);
        typing.hungry_since.map_or(rests, |since| rests.min(since + PATIENCE))
    }

    /// Whether the live job that began at `begun` may finish at `now`, although it is stale.
    pub(super) fn may_finish(&self, settings: &Settings, begun: Instant, now: Instant) -> bool {
        let runs = now.saturating_duration_since(begun);
        let forced = self.typing.hungry_since.is_some_and(|since| begun >= since + PATIENCE);
        match self.mean(settings) {
            Some(mean) if mean <= FAST => runs <= FAST,
            Some(mean) => forced && mean <= FORCED && runs <= FORCED,
            None => {
                let hungry = self.typing.hungry_since.is_some_and(|since| now.duration_since(since) >= PATIENCE);
                hungry && runs <= FAST
            }
        }
    }

    /// Seconds per picture of this kind, where some were drawn.
    fn mean(&self, settings: &Settings) -> Option<Duration> {
        let known = self.kind == Some(kind(settings)) && !self.recent.is_empty();
        known.then(|| self.recent.iter().sum::<Duration>() / self.recent.len() as u32)
    }
}

impl Typing {
    fn asked(&mut self, settings: &Settings, now: Instant) {
        let words = words(settings);
        let gap = self.last.as_ref().map(|(last, _)| now.saturating_duration_since(*last));
        let typed = self.last.as_ref().is_some_and(|(_, before)| *before != words && near(before, &words));
        match gap {
            Some(gap) if gap <= MOST_GRACE => {
                if typed {
                    if self.gaps.len() == GAPS {
                        self.gaps.pop_front();
                    }
                    self.gaps.push_back(gap);
                }
                self.hungry_since.get_or_insert(now);
            }
            // A pause: hunger begins anew.
            _ => self.hungry_since = Some(now),
        }
        let in_word = typed && words.chars().next_back().is_some_and(char::is_alphanumeric);
        self.grace = if in_word { self.rhythm() } else { LEAST_GRACE };
        self.last = Some((now, words));
    }

    /// Half as long again as this person's keys lie apart.
    fn rhythm(&self) -> Duration {
        let mean = self.gaps.iter().sum::<Duration>() / self.gaps.len().max(1) as u32;
        (mean * 3 / 2).clamp(LEAST_GRACE, MOST_GRACE)
    }
}

/// Whether a key could lie between the two, which a paste does not.
fn near(before: &str, after: &str) -> bool {
    before.len().abs_diff(after.len()) <= 4
}

/// All that is typed of a picture's settings.
fn words(settings: &Settings) -> String {
    let Blend { prompt: second, .. } = &settings.blend;
    let second = second.as_ref().map_or("", |toward| toward.to.as_str());
    format!("{second}\n{}\n{}", settings.negative_prompt, settings.prompt)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn prompt(words: &str) -> Settings {
        Settings::student(words)
    }

    /// A pace that knows its model: each picture takes this long.
    fn pace(picture: Duration) -> Pace {
        let mut pace = Pace::default();
        pace.drawn(&prompt(""), picture);
        pace
    }

    #[test]
    fn a_fast_model_may_finish_and_a_slow_one_may_not() {
        let settings = prompt("lake");
        let begun = Instant::now();
        let mut pace = pace(80 * MS);
        assert!(pace.may_finish(&settings, begun, begun + 50 * MS));
        assert!(!pace.may_finish(&settings, begun, begun + 2000 * MS), "this one is late");
        for _ in 0..AVERAGED {
            pace.drawn(&settings, 4000 * MS);
        }
        assert!(!pace.may_finish(&settings, begun, begun + 50 * MS));
    }

    #[test]
    fn an_unknown_model_may_finish_once_typing_has_gone_on_too_long() {
        let first = Instant::now();
        let mut pace = Pace::default();
        for key in 0..5 {
            pace.asked(&prompt("lake"), first + 700 * MS * key);
        }
        assert_eq!(pace.begins_at(&prompt("lake"), first), first, "nothing is known that would hold it back");
        let begun = first + 2900 * MS;
        assert!(!pace.may_finish(&prompt("lake"), begun, begun));
        assert!(pace.may_finish(&prompt("lake"), begun, begun + 200 * MS));
    }

    #[test]
    fn a_larger_picture_has_a_pace_of_its_own() {
        let large = Settings { size: Some((1024, 1024)), ..prompt("lake") };
        let now = Instant::now();
        assert!(!pace(80 * MS).may_finish(&large, now, now));
        assert_eq!(pace(9000 * MS).begins_at(&large, now), now);
    }

    #[test]
    fn the_grace_is_measured_at_the_keys_and_short_where_a_word_ends() {
        let mut now = Instant::now();
        let mut slow = pace(5000 * MS);
        let mut held = |slow: &mut Pace, after: Duration, words: &str| {
            now += after;
            slow.asked(&prompt(words), now);
            slow.begins_at(&prompt(words), now) - now
        };
        assert_eq!(held(&mut slow, 2000 * MS, "a"), 250 * MS, "the first key says nothing yet");
        for (words, grace) in [("a", 250), ("a l", 600), ("a la", 600), ("a lak", 600), ("a lake,", 250)] {
            assert_eq!(held(&mut slow, 400 * MS, words), grace * MS, "after {words:?}");
        }
        for words in ["b", "bo", "boa", "boat", "boats", "boatsw", "boatswa", "boatswai"] {
            held(&mut slow, 900 * MS, words);
        }
        slow.drawn(&prompt(""), 5000 * MS);
        assert_eq!(held(&mut slow, 900 * MS, "boatswain"), MOST_GRACE, "no longer than that");
    }

    #[test]
    fn a_slider_is_followed_with_the_least_grace() {
        let now = Instant::now();
        let mut slow = pace(5000 * MS);
        slow.asked(&prompt("lake"), now);
        for seed in 1..20 {
            let settings = Settings { seed, ..prompt("lake") };
            let at = now + 16 * MS * seed;
            slow.asked(&settings, at);
            assert_eq!(slow.begins_at(&settings, at), at + LEAST_GRACE);
        }
    }

    #[test]
    fn unbroken_typing_forces_a_run_that_may_finish_unless_it_takes_too_long() {
        let first = Instant::now();
        for (picture, may) in [(4000 * MS, true), (17_000 * MS, false)] {
            let mut slow = pace(picture);
            let mut words = String::new();
            for key in 0..15 {
                words.push('a');
                slow.asked(&prompt(&words), first + 200 * MS * key);
            }
            let now = first + 2800 * MS;
            assert_eq!(slow.begins_at(&prompt(&words), now), first + PATIENCE, "sooner than the grace alone");
            let begun = first + PATIENCE;
            assert_eq!(slow.may_finish(&prompt(&words), begun, begun + 1000 * MS), may);
            slow.asked(&prompt("after a pause"), first + 9000 * MS);
            assert!(!slow.may_finish(&prompt("a"), first + 9000 * MS, first + 9100 * MS), "the hunger is a new one");
        }
    }
}
