//! Someone types, a model draws, and the clock is a number: what begins, what is abandoned and what is shown.

use super::*;

const MS: Duration = Duration::from_millis(1);

/// An engine thread without a thread. Every picture takes as long as the model is slow; a cancelled one ends at once.
struct Desk {
    queue: Queue,
    now: Instant,
    start: Instant,
    picture: Duration,
    job: Option<(DrawJob, Cancel, Instant)>,
    ids: u64,
    /// Prompts of the live lane: when each was begun and shown, in milliseconds from the start.
    begun: Vec<(String, u128)>,
    shown: Vec<(String, u128)>,
}

impl Desk {
    /// A desk whose model has drawn its first picture.
    fn new(picture: Duration) -> Self {
        let now = Instant::now();
        let (begun, shown) = (Vec::new(), Vec::new());
        let mut desk = Self { queue: Queue::default(), now, start: now, picture, job: None, ids: 0, begun, shown };
        desk.ask("");
        desk.rest();
        desk.pass(Duration::from_secs(5));
        desk.begun.clear();
        desk.shown.clear();
        desk.start = desk.now;
        desk
    }

    fn ask(&mut self, prompt: &str) {
        self.ids += 1;
        let (id, asked, settings) = (JobId(self.ids), self.now, Settings::student(prompt));
        self.queue.accept(Request::Draw { id, lane: Lane::Live, settings, asked }, self.now);
    }

    fn stop(&mut self) {
        self.queue.accept(Request::Stop(Lane::Live), self.now);
    }

    fn type_keys(&mut self, prompt: &str, gap: Duration) {
        for (at, letter) in prompt.char_indices() {
            self.ask(&prompt[..at + letter.len_utf8()]);
            self.pass(gap);
        }
    }

    /// Lets a millisecond pass at a time.
    fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        while self.now < until {
            self.work();
            self.now += MS;
        }
    }

    /// Until nothing is left to do.
    fn rest(&mut self) {
        for _ in 0..120_000 {
            let rests = self.work();
            self.now += MS;
            if rests {
                return;
            }
        }
        panic!("it never rests: {:?}", self.begun);
    }

    /// Returns whether nothing runs, waits or is held back.
    fn work(&mut self) -> bool {
        if let Some((job, cancel, end)) = self.job.take() {
            let cancelled = cancel.check().is_err();
            if !cancelled && self.now < end {
                self.job = Some((job, cancel, end));
                return false;
            }
            let prompt = job.settings().prompt.clone();
            let done = if cancelled { Done::Cancelled } else { Done::Picture(Box::new(picture(job.settings()))) };
            if let Some(DrawOutcome::Drawn { .. }) = self.queue.drawn(job, done, self.now) {
                self.shown.push((prompt, (self.now - self.start).as_millis()));
            }
        }
        match self.queue.next(self.now) {
            Some(Work::Draw(job, cancel)) => {
                let prompt = job.settings().prompt.clone();
                self.begun.push((prompt, (self.now - self.start).as_millis()));
                self.job = Some((job, cancel, self.now + self.picture));
                false
            }
            work => work.is_none(),
        }
    }
}

fn picture(settings: &Settings) -> Picture {
    Picture::new(1, 1, [0; 3].into(), settings.clone())
}

const SENTENCE: &str = "a snowy mountain near a lake";

#[test]
fn a_fast_model_follows_every_key_without_delay() {
    let mut desk = Desk::new(40 * MS);
    desk.type_keys(SENTENCE, 100 * MS);
    desk.rest();
    assert_eq!(desk.shown.len(), SENTENCE.len(), "{:?}", desk.shown);
    for (key, (_, begun)) in desk.begun.iter().enumerate() {
        assert_eq!(*begun, 100 * key as u128, "begun with the key");
    }
}

#[test]
fn a_model_a_little_slower_than_the_keys_shows_pictures_all_along() {
    let mut desk = Desk::new(450 * MS);
    desk.type_keys(SENTENCE, 100 * MS);
    desk.rest();
    assert!(desk.shown.len() >= 6, "{:?}", desk.shown);
    assert_eq!(desk.begun.len(), desk.shown.len(), "what is begun is shown");
    assert_eq!(desk.shown.last().map(|(prompt, _)| prompt.as_str()), Some(SENTENCE));
}

#[test]
fn a_slow_model_does_not_draw_half_typed_words_over_and_over() {
    // Keys 350 ms apart: each would begin a picture, if the debounce were not measured at the keys.
    let mut desk = Desk::new(5000 * MS);
    desk.type_keys("snowy lake", 350 * MS);
    let half_typed: Vec<_> = desk.begun.iter().filter(|(prompt, _)| !prompt.ends_with(' ')).collect();
    assert!(half_typed.len() <= 2, "the first key, when nothing is measured yet, and the forced run: {half_typed:?}");
    desk.rest();
    assert_eq!(desk.shown.last().map(|(prompt, _)| prompt.as_str()), Some("snowy lake"));
}

#[test]
fn a_slow_model_begins_a_short_debounce_after_the_last_key() {
    let mut desk = Desk::new(17_000 * MS);
    desk.type_keys("lake", 100 * MS);
    desk.rest();
    // The last key came at 300 ms.
    assert_eq!(desk.begun, [("lake".to_owned(), 550)]);
}

#[test]
fn unbroken_typing_shows_a_picture_after_three_seconds_and_ends_on_the_last_word() {
    let mut desk = Desk::new(2000 * MS);
    desk.type_keys(&SENTENCE.repeat(3), 150 * MS);
    let during = desk.shown.len();
    assert!(during >= 2, "shown while typing goes on: {:?}", desk.shown);
    let (_, first) = &desk.begun[0];
    assert_eq!(*first, 3000, "forced");
    desk.rest();
    assert_eq!(desk.shown.last().map(|(prompt, _)| prompt.clone()), Some(SENTENCE.repeat(3)));
}

#[test]
fn a_stop_stops_what_runs_what_waits_and_what_is_held_back() {
    for wait in [0, 100, 400, 2000] {
        let mut desk = Desk::new(5000 * MS);
        desk.ask("lake");
        desk.pass(MS * wait);
        desk.stop();
        desk.rest();
        assert!(desk.shown.is_empty(), "stopped after {wait} ms: {:?}", desk.shown);
        desk.ask("lake");
        desk.rest();
        assert_eq!(desk.shown.len(), 1, "asked for again, it is drawn");
    }
}

#[test]
fn lanes_are_served_in_their_order_and_a_series_goes_on_where_it_was() {
    let mut queue = Queue::default();
    let now = Instant::now();
    let series = |lane, id, count| {
        let series = (0..count).map(|seed| Settings { seed, ..Settings::student("lake") }).collect();
        Request::DrawSeries { id: JobId(id), lane, series, asked: now }
    };
    assert!(queue.accept(series(Lane::Background, 1, 3), now).is_empty());
    let Some(Work::Draw(mut long, cancel)) = queue.next(now) else { panic!("the only work") };
    assert!(queue.accept(series(Lane::Baseline, 8, 1), now).is_empty());
    assert!(queue.accept(series(Lane::Teacher, 2, 1), now).is_empty());
    assert!(queue.accept(series(Lane::Batch, 3, 4), now).is_empty());
    assert!(queue.accept(series(Lane::Live, 4, 1), now).is_empty());
    assert!(cancel.check().is_err(), "it gives way");
    long.next = 2;
    assert!(queue.drawn(long, Done::Cancelled, now).is_none(), "and waits");
    let mut order = Vec::new();
    while let Some(Work::Draw(job, _)) = queue.next(now) {
        order.push((job.lane, job.next));
        let shown = picture(job.settings());
        queue.drawn(job, Done::Picture(Box::new(shown)), now);
    }
    let expected = [(Lane::Live, 0), (Lane::Batch, 0), (Lane::Teacher, 0), (Lane::Baseline, 0), (Lane::Background, 2)];
    assert_eq!(order, expected);
    let ends = queue.accept(series(Lane::Teacher, 5, 1), now);
    assert!(
        matches!(ends[..], [Ended { event: Event::Draw(_, _, DrawEvent::End(DrawOutcome::Unchanged)), .. }]),
        "drawn already: {ends:?}"
    );
    assert!(queue.accept(series(Lane::Background, 7, 3), now).is_empty(), "a file may be wanted twice");
    assert!(queue.accept(series(Lane::Batch, 9, 4), now).is_empty(), "and so may a batch that was put away");
    let ends = queue.accept(series(Lane::Batch, 6, 0), now);
    assert!(
        matches!(ends[1..], [Ended { event: Event::Draw(JobId(6), _, DrawEvent::End(DrawOutcome::Unchanged)), .. }]),
        "nothing to draw"
    );
}
