//! When a live job begins, and whether it may finish although a newer one waits. Change how live drawing follows the
//! keyboard here. The clock is passed in, so that tests need none.
//!
//! If every stale job were abandoned, nothing would show while someone types faster than the model draws. If every one
//! were finished, the last thing typed would wait for a picture that nobody wants. The rules are those of Krita AI's
//! live mode, on the mean of the last [`AVERAGED`] pictures of the same kind:
//!
//! - A fast model (at most [`FAST`] a picture) is given every change at once, and a stale job may finish.
//! - A slow model is given a change after a debounce: [`MIN_DEBOUNCE`] if a word has just ended, otherwise one and a
//!   half times the gap between this person's keys, up to [`MAX_DEBOUNCE`]. So a half-typed word is not drawn over and
//!   over. A stale job is abandoned.
//! - If typing on a slow model goes on for [`PATIENCE`] without a picture, the lane is starved: the next job begins
//!   without debounce, and may finish if a picture takes no longer than [`FORCED`].
//! - While the speed of a kind is unknown, jobs begin at once and are abandoned until [`PATIENCE`] has passed.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::protocol::{Blend, Decoder, Role, Settings};

/// Krita AI's live mode draws the line between fast and slow models here, and averages as many pictures.
const FAST: Duration = Duration::from_millis(1500);
const AVERAGED: usize = 10;
/// How long typing may go on without a picture; Krita AI's.
const PATIENCE: Duration = Duration::from_secs(3);
/// The shortest debounce of a slow model; Krita AI's.
const MIN_DEBOUNCE: Duration = Duration::from_millis(250);
/// The longest debounce. Keys further apart than this are not unbroken typing.
const MAX_DEBOUNCE: Duration = Duration::from_secs(1);
/// A stale picture that takes longer than this is not worth making the last thing typed wait for it.
const FORCED: Duration = Duration::from_secs(6);
/// Gaps between keys that the debounce is computed from.
const GAPS: usize = 8;

/// Holds live jobs back while someone types on a slow model.
#[derive(Default)]
pub(super) struct Throttle {
    kind: Option<Kind>,
    recent: VecDeque<Duration>,
    typing: Typing,
}

/// What is known of the person's typing.
#[derive(Default)]
struct Typing {
    last: Option<(Instant, String)>,
    gaps: VecDeque<Duration>,
    /// How long the last request waits for another key.
    debounce: Duration,
    /// The first request of this unbroken typing that no picture has answered.
    starved_since: Option<Instant>,
}

/// What decides how long a picture takes.
type Kind = (Role, Option<(u32, u32)>, u32, bool, Decoder);

fn kind(settings: &Settings) -> Kind {
    (settings.role, settings.size, settings.steps, settings.guidance > 1.0, settings.decoder)
}

impl Throttle {
    /// Another model is open: its speed is unknown, but the person's typing stays the same.
    pub(super) fn forget_model(&mut self) {
        self.kind = None;
        self.recent.clear();
        self.typing.starved_since = None;
    }

    /// A live job is asked for.
    pub(super) fn asked(&mut self, settings: &Settings, now: Instant) {
        self.typing.asked(settings, now);
    }

    /// The person has stopped the lane.
    pub(super) fn stopped(&mut self) {
        self.typing.starved_since = None;
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
        self.typing.starved_since = None;
    }

    /// When the live job that waits may begin.
    pub(super) fn begins_at(&self, settings: &Settings, now: Instant) -> Instant {
        if self.mean(settings).is_none_or(|mean| mean <= FAST) {
            return now;
        }
        let typing = &self.typing;
        let rests = typing.last.as_ref().map_or(now, |(last, _)| *last + typing.debounce);
        typing.starved_since.map_or(rests, |since| rests.min(since + PATIENCE))
    }

    /// Whether the live job that began at `begun` may finish at `now`, although it is stale.
    pub(super) fn may_finish(&self, settings: &Settings, begun: Instant, now: Instant) -> bool {
        let runs = now.saturating_duration_since(begun);
        let forced = self.typing.starved_since.is_some_and(|since| begun >= since + PATIENCE);
        match self.mean(settings) {
            Some(mean) if mean <= FAST => runs <= FAST,
            Some(mean) => forced && mean <= FORCED && runs <= FORCED,
            None => {
                let starved = self.typing.starved_since.is_some_and(|since| now.duration_since(since) >= PATIENCE);
                starved && runs <= FAST
            }
        }
    }

    /// Mean time of a picture of this kind, if some were drawn.
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
            Some(gap) if gap <= MAX_DEBOUNCE => {
                if typed {
                    if self.gaps.len() == GAPS {
                        self.gaps.pop_front();
                    }
                    self.gaps.push_back(gap);
                }
                self.starved_since.get_or_insert(now);
            }
            // After a pause, starvation is counted anew.
            _ => self.starved_since = Some(now),
        }
        let in_word = typed && words.chars().next_back().is_some_and(char::is_alphanumeric);
        self.debounce = if in_word { self.rhythm() } else { MIN_DEBOUNCE };
        self.last = Some((now, words));
    }

    /// Half as long again as this person's keys lie apart.
    fn rhythm(&self) -> Duration {
        let mean = self.gaps.iter().sum::<Duration>() / self.gaps.len().max(1) as u32;
        (mean * 3 / 2).clamp(MIN_DEBOUNCE, MAX_DEBOUNCE)
    }
}

/// Whether one key press could lie between the two; a paste changes more.
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

    /// A throttle that knows its model: each picture takes this long.
    fn throttle(picture: Duration) -> Throttle {
        let mut throttle = Throttle::default();
        throttle.drawn(&prompt(""), picture);
        throttle
    }

    #[test]
    fn a_fast_model_may_finish_and_a_slow_one_may_not() {
        let settings = prompt("lake");
        let begun = Instant::now();
        let mut throttle = throttle(80 * MS);
        assert!(throttle.may_finish(&settings, begun, begun + 50 * MS));
        assert!(!throttle.may_finish(&settings, begun, begun + 2000 * MS), "this one is late");
        for _ in 0..AVERAGED {
            throttle.drawn(&settings, 4000 * MS);
        }
        assert!(!throttle.may_finish(&settings, begun, begun + 50 * MS));
    }

    #[test]
    fn an_unknown_model_may_finish_once_typing_has_gone_on_too_long() {
        let first = Instant::now();
        let mut throttle = Throttle::default();
        for key in 0..5 {
            throttle.asked(&prompt("lake"), first + 700 * MS * key);
        }
        assert_eq!(throttle.begins_at(&prompt("lake"), first), first, "nothing is known that would hold it back");
        let begun = first + 2900 * MS;
        assert!(!throttle.may_finish(&prompt("lake"), begun, begun));
        assert!(throttle.may_finish(&prompt("lake"), begun, begun + 200 * MS));
    }

    #[test]
    fn a_larger_picture_is_timed_by_itself() {
        let large = Settings { size: Some((1024, 1024)), ..prompt("lake") };
        let now = Instant::now();
        assert!(!throttle(80 * MS).may_finish(&large, now, now));
        assert_eq!(throttle(9000 * MS).begins_at(&large, now), now);
    }

    #[test]
    fn the_debounce_is_measured_at_the_keys_and_short_where_a_word_ends() {
        let mut now = Instant::now();
        let mut slow = throttle(5000 * MS);
        let mut held = |slow: &mut Throttle, after: Duration, words: &str| {
            now += after;
            slow.asked(&prompt(words), now);
            slow.begins_at(&prompt(words), now) - now
        };
        assert_eq!(held(&mut slow, 2000 * MS, "a"), 250 * MS, "the first key says nothing yet");
        for (words, debounce) in [("a", 250), ("a l", 600), ("a la", 600), ("a lak", 600), ("a lake,", 250)] {
            assert_eq!(held(&mut slow, 400 * MS, words), debounce * MS, "after {words:?}");
        }
        for words in ["b", "bo", "boa", "boat", "boats", "boatsw", "boatswa", "boatswai"] {
            held(&mut slow, 900 * MS, words);
        }
        slow.drawn(&prompt(""), 5000 * MS);
        assert_eq!(held(&mut slow, 900 * MS, "boatswain"), MAX_DEBOUNCE, "no longer than that");
    }

    #[test]
    fn a_slider_is_followed_with_the_shortest_debounce() {
        let now = Instant::now();
        let mut slow = throttle(5000 * MS);
        slow.asked(&prompt("lake"), now);
        for seed in 1..20 {
            let settings = Settings { seed, ..prompt("lake") };
            let at = now + 16 * MS * seed as u32;
            slow.asked(&settings, at);
            assert_eq!(slow.begins_at(&settings, at), at + MIN_DEBOUNCE);
        }
    }

    #[test]
    fn unbroken_typing_forces_a_run_that_may_finish_unless_it_takes_too_long() {
        let first = Instant::now();
        for (picture, may) in [(4000 * MS, true), (17_000 * MS, false)] {
            let mut slow = throttle(picture);
            let mut words = String::new();
            for key in 0..15 {
                words.push('a');
                slow.asked(&prompt(&words), first + 200 * MS * key);
            }
            let now = first + 2800 * MS;
            assert_eq!(slow.begins_at(&prompt(&words), now), first + PATIENCE, "sooner than the debounce alone");
            let begun = first + PATIENCE;
            assert_eq!(slow.may_finish(&prompt(&words), begun, begun + 1000 * MS), may);
            slow.asked(&prompt("after a pause"), first + 9000 * MS);
            assert!(!slow.may_finish(&prompt("a"), first + 9000 * MS, first + 9100 * MS), "starvation is counted anew");
        }
    }
}
