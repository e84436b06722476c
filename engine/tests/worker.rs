//! The engine thread under the loads a window can put on it, with drawings that the tests hold up, and once with the
//! fixture's real model.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use instaflow_engine::protocol::{
    DecodeEvent, DecodeOutcome, DrawEvent, DrawOutcome, Event, JobId, Lane, Latents, LoadProgress, ModelPart,
    ModelSummary, Network, OpenEvent, OpenOutcome, OpenRequest, Picture, Precision, Request, Role, Settings, Source,
    Step, TokenCount,
};
use instaflow_engine::worker::{Backend, Engine};
use instaflow_engine::{Cancel, Error, Result};
use instaflow_test_support::fixture;

const PATIENCE: Duration = Duration::from_secs(20);

/// The part that the tests' models say they load.
const PART: ModelPart = ModelPart { role: Role::Student, network: Network::UNet };

/// What the tests' drawing does: a prompt with "slow" runs until it is cancelled or the door opens, one with "panic"
/// panics, one with "nan" fails, every other one is drawn at once.
#[derive(Default)]
struct Studio {
    door: AtomicBool,
    draws: AtomicUsize,
    wakes: AtomicUsize,
}

impl Backend for Studio {
    fn summary(&self) -> ModelSummary {
        ModelSummary {
            student: None,
            teacher: None,
            baseline: None,
            device: "studio".to_owned(),
            precision: Precision::F32,
            remarks: Vec::new(),
        }
    }

    fn draw(&self, settings: &Settings, observer: &mut dyn FnMut(Step), cancel: &Cancel) -> Result<Picture> {
        self.draws.fetch_add(1, Ordering::SeqCst);
        assert!(!settings.prompt.contains("panic"), "planted");
        if settings.prompt.contains("nan") {
            return Err(Error::NotANumber { part: "U-Net" });
        }
        while settings.prompt.contains("slow") && !self.door.load(Ordering::SeqCst) {
            cancel.check()?;
            std::thread::sleep(Duration::from_millis(1));
        }
        for done in 1..=settings.steps {
            let estimate = (settings.steps > 1).then(|| Box::new(picture(settings)));
            observer(Step { done, total: settings.steps, estimate });
        }
        Ok(picture(settings))
    }

    fn decode(&self, settings: &Settings, latents: &Latents, _: &Cancel) -> Result<Picture> {
        Ok(Picture { latents: Some(Arc::new(latents.clone())), ..picture(settings) })
    }

    fn count_tokens(&self, settings: &Settings) -> TokenCount {
        TokenCount { prompt: settings.prompt.clone(), used: 3, limit: 75, ..TokenCount::default() }
    }
}

fn picture(settings: &Settings) -> Picture {
    Picture {
        model: "studio".to_owned(),
        model_hash: "0123456789".to_owned(),
        ..Picture::new(1, 1, [0, 0, 0].into(), settings.clone())
    }
}

/// An engine on the studio, with a model open. Folders called "broken" fail to open.
fn engine(studio: &Arc<Studio>) -> Engine {
    let engine = closed_engine(studio);
    engine.send(Request::Open(JobId(0), OpenRequest::default()));
    until(&engine, |event| matches!(event, Event::Open(_, OpenEvent::End(OpenOutcome::Opened(_)))));
    engine
}

fn closed_engine(studio: &Arc<Studio>) -> Engine {
    let (waking, studio) = (studio.clone(), studio.clone());
    Engine::with(
        move || {
            waking.wakes.fetch_add(1, Ordering::SeqCst);
        },
        move |request, on_progress, cancel| {
            on_progress(LoadProgress { part: PART, done: 0, total: 1 });
            match &request.model {
                Source::Folder(path) if path.ends_with("broken") => {
                    return Err(Error::Checkpoint { path: path.clone(), message: "broken".to_owned() });
                }
                Source::Folder(path) if path.ends_with("endless") => loop {
                    cancel.check()?;
                    std::thread::sleep(Duration::from_millis(1));
                },
                _ => {}
            }
            Ok(studio.clone() as Arc<dyn Backend>)
        },
    )
}

/// Takes events out until one satisfies `last`; that one is the last returned.
fn until(engine: &Engine, mut last: impl FnMut(&Event) -> bool) -> Vec<Event> {
    let started = Instant::now();
    let mut events = Vec::new();
    loop {
        let left = PATIENCE.saturating_sub(started.elapsed());
        let event = engine.events().recv_timeout(left).unwrap_or_else(|_| panic!("no such event: {events:#?}"));
        let found = last(&event);
        events.push(event);
        if found {
            return events;
        }
    }
}

fn open(engine: &Engine, id: u64, folder: &str) {
    let model = Source::Folder(folder.into());
    engine.send(Request::Open(JobId(id), OpenRequest { model, ..OpenRequest::default() }));
}

fn draw(engine: &Engine, id: u64, lane: Lane, prompt: &str) {
    let settings = Settings::student(prompt);
    engine.send(Request::Draw { id: JobId(id), lane, settings, asked: Instant::now() });
}

/// What an event says in short: of which request, and that it began or how it ended.
fn moment(event: &Event) -> Option<(&'static str, u64)> {
    let (id, word) = match event {
        Event::Open(id, OpenEvent::Begin)
        | Event::Draw(id, _, DrawEvent::Begin)
        | Event::Decode(id, DecodeEvent::Begin) => (id, "begin"),
        Event::Open(id, OpenEvent::End(outcome)) => match outcome {
            OpenOutcome::Opened(_) => (id, "opened"),
            OpenOutcome::Dropped => (id, "dropped"),
            OpenOutcome::Failed(_) | OpenOutcome::Asks { .. } => (id, "failed"),
        },
        Event::Draw(id, _, DrawEvent::End(outcome)) => match outcome {
            DrawOutcome::Drawn { .. } => (id, "drawn"),
            DrawOutcome::Unchanged => (id, "unchanged"),
            DrawOutcome::Dropped => (id, "dropped"),
            DrawOutcome::Failed(_) => (id, "failed"),
        },
        Event::Decode(id, DecodeEvent::End(outcome)) => match outcome {
            DecodeOutcome::Decoded(_) => (id, "decoded"),
            DecodeOutcome::Dropped => (id, "dropped"),
            DecodeOutcome::Failed(_) => (id, "failed"),
        },
        Event::Open(_, OpenEvent::Progress(_))
        | Event::Draw(_, _, DrawEvent::Step(_) | DrawEvent::Part { .. })
        | Event::Tokens(_) => return None,
    };
    Some((word, id.0))
}

fn begins(id: u64) -> impl Fn(&Event) -> bool {
    move |event| moment(event) == Some(("begin", id))
}

fn ends(id: u64) -> impl Fn(&Event) -> bool {
    move |event| moment(event).is_some_and(|(word, its)| word != "begin" && its == id)
}

/// Begins and ends in short: ("begin", 3), ("drawn", 3) …
fn story(events: &[Event]) -> Vec<(&'static str, u64)> {
    events.iter().filter_map(moment).collect()
}

/// Resident memory of this process in MiB; `None` where the system does not say.
fn resident_mib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().trim_end_matches(" kB").parse::<u64>().ok()? / 1024)
}

#[test]
fn a_storm_draws_the_last_request_in_flat_memory() {
    const REQUESTS: u64 = 10_000;
    let studio = Arc::new(Studio::default());
    let engine = engine(&studio);
    draw(&engine, 1, Lane::Live, "slow");
    until(&engine, begins(1));
    let before = resident_mib();
    let started = Instant::now();
    // 10 kB each: 100 MB, were they kept.
    let words = "snow ".repeat(2_000);
    for id in 2..=REQUESTS {
        draw(&engine, id, Lane::Live, &format!("{id} slow {words}"));
    }
    let took = started.elapsed();
    assert!(took < Duration::from_secs(10), "handing over took {took:?}");
    assert!(engine.events().len() <= 64, "{} events wait", engine.events().len());
    if let (Some(before), Some(after)) = (before, resident_mib()) {
        assert!(after < before + 40, "memory grew from {before} to {after} MiB");
    }
    studio.door.store(true, Ordering::SeqCst);
    let events = until(&engine, ends(REQUESTS));
    let story = story(&events);
    assert_eq!(story.last(), Some(&("drawn", REQUESTS)));
    let drawn = story.iter().filter(|(what, _)| *what == "drawn").count();
    assert!(drawn <= 3, "{drawn} of {REQUESTS} were drawn");
    assert!(story.iter().all(|(what, _)| ["begin", "drawn", "dropped"].contains(what)), "{story:?}");
}

#[test]
fn a_panic_costs_one_job() {
    let studio = Arc::new(Studio::default());
    let engine = engine(&studio);
    for (id, prompt) in [(1, "panic"), (2, "nan")] {
        draw(&engine, id, Lane::Live, prompt);
        let events = until(&engine, ends(id));
        let Some(Event::Draw(_, _, DrawEvent::End(DrawOutcome::Failed(failure)))) = events.last() else {
            panic!("{events:#?}");
        };
        assert!(!failure.message.is_empty());
        assert!(id != 1 || failure.causes == ["planted"], "{failure:?}");
    }
    draw(&engine, 3, Lane::Live, "lake");
    assert_eq!(story(&until(&engine, ends(3))), [("begin", 3), ("drawn", 3)]);
}

#[test]
fn the_teacher_gives_way_and_starts_again() {
    let studio = Arc::new(Studio::default());
    let engine = engine(&studio);
    draw(&engine, 1, Lane::Teacher, "slow");
    until(&engine, begins(1));
    draw(&engine, 2, Lane::Live, "lake");
    let first = until(&engine, begins(1));
    studio.door.store(true, Ordering::SeqCst);
    let second = until(&engine, ends(1));
    assert_eq!(story(&first), [("begin", 2), ("drawn", 2), ("begin", 1)]);
    assert_eq!(story(&second), [("drawn", 1)]);
}

#[test]
fn a_teacher_job_that_gave_way_is_dropped_for_a_newer_one() {
    let studio = Arc::new(Studio::default());
    let engine = engine(&studio);
    draw(&engine, 1, Lane::Teacher, "slow");
    until(&engine, begins(1));
    draw(&engine, 2, Lane::Live, "slow lake");
    draw(&engine, 3, Lane::Teacher, "newer");
    let mut events = until(&engine, begins(2));
    studio.door.store(true, Ordering::SeqCst);
    events.extend(until(&engine, ends(3)));
    let mut story = story(&events);
    // It may have been waiting already, or still on its way out, when the newer one came.
    let dropped = story.iter().position(|entry| *entry == ("dropped", 1)).expect("the older teacher job is dropped");
    story.remove(dropped);
    let expected = [("begin", 2), ("drawn", 2), ("begin", 3), ("drawn", 3)];
    assert_eq!(story, expected, "the live job runs first although the teacher's waits too");
}

#[test]
fn a_newer_request_abandons_the_running_one() {
    let studio = Arc::new(Studio::default());
    let engine = engine(&studio);
    for lane in [Lane::Live, Lane::Teacher] {
        draw(&engine, 1, lane, "slow");
        until(&engine, begins(1));
        draw(&engine, 2, lane, "lake");
        let events = until(&engine, ends(2));
        assert_eq!(story(&events), [("dropped", 1), ("begin", 2), ("drawn", 2)]);
    }
}

#[test]
fn stop_empties_one_lane() {
    let studio = Arc::new(Studio::default());
    let engine = engine(&studio);
    draw(&engine, 1, Lane::Live, "slow");
    until(&engine, begins(1));
    draw(&engine, 2, Lane::Teacher, "waits");
    engine.send(Request::Stop(Lane::Live));
    assert_eq!(story(&until(&engine, ends(2))), [("dropped", 1), ("begin", 2), ("drawn", 2)]);

    draw(&engine, 3, Lane::Live, "slow again");
    until(&engine, begins(3));
    draw(&engine, 4, Lane::Teacher, "waits for long");
    engine.send(Request::Stop(Lane::Teacher));
    assert_eq!(story(&until(&engine, ends(4))), [("dropped", 4)], "it had not begun");
    engine.send(Request::Stop(Lane::Live));
    assert_eq!(story(&until(&engine, ends(3))), [("dropped", 3)]);
}

#[test]
fn the_same_input_is_drawn_once() {
    let studio = Arc::new(Studio::default());
    let engine = engine(&studio);
    let draws = || studio.draws.load(Ordering::SeqCst);
    draw(&engine, 1, Lane::Live, "lake");
    until(&engine, ends(1));
    draw(&engine, 2, Lane::Live, "lake");
    assert_eq!(story(&until(&engine, ends(2))), [("unchanged", 2)]);
    assert_eq!(draws(), 1);

    // The other lane shows nothing yet.
    draw(&engine, 3, Lane::Teacher, "lake");
    assert_eq!(story(&until(&engine, ends(3))), [("begin", 3), ("drawn", 3)]);

    // Asked for again while it is being drawn: finished, then found unchanged.
    draw(&engine, 4, Lane::Live, "slow");
    until(&engine, begins(4));
    draw(&engine, 5, Lane::Live, "slow");
    studio.door.store(true, Ordering::SeqCst);
    assert_eq!(story(&until(&engine, ends(5))), [("drawn", 4), ("unchanged", 5)]);

    // Another model gives another picture.
    engine.send(Request::Open(JobId(6), OpenRequest::default()));
    draw(&engine, 7, Lane::Live, "slow");
    let expected = [("begin", 6), ("opened", 6), ("begin", 7), ("drawn", 7)];
    assert_eq!(story(&until(&engine, ends(7))), expected);
}

#[test]
fn unchanged_input_does_not_disturb_the_teacher() {
    let studio = Arc::new(Studio::default());
    let engine = engine(&studio);
    draw(&engine, 1, Lane::Live, "lake");
    until(&engine, ends(1));
    draw(&engine, 2, Lane::Teacher, "slow");
    until(&engine, begins(2));
    draw(&engine, 3, Lane::Live, "lake");
    assert_eq!(story(&until(&engine, ends(3))), [("unchanged", 3)]);
    studio.door.store(true, Ordering::SeqCst);
    assert_eq!(story(&until(&engine, ends(2))), [("drawn", 2)]);
}

#[test]
fn a_model_that_fails_to_open_leaves_the_old_one() {
    let studio = Arc::new(Studio::default());
    let engine = engine(&studio);
    open(&engine, 1, "broken");
    let events = until(&engine, ends(1));
    assert_eq!(story(&events), [("begin", 1), ("failed", 1)]);
    draw(&engine, 2, Lane::Live, "lake");
    assert_eq!(story(&until(&engine, ends(2))), [("begin", 2), ("drawn", 2)]);
}

#[test]
fn opening_empties_both_lanes_and_gives_way_to_a_newer_opening() {
    let studio = Arc::new(Studio::default());
    let engine = engine(&studio);
    draw(&engine, 1, Lane::Teacher, "slow");
    until(&engine, begins(1));
    draw(&engine, 2, Lane::Live, "slow lake");
    open(&engine, 3, "endless");
    let mut events = until(&engine, begins(3));
    open(&engine, 4, "other");
    events.extend(until(&engine, ends(4)));
    let mut story = story(&events);
    assert_eq!(story.split_off(story.len() - 3), [("dropped", 3), ("begin", 4), ("opened", 4)]);
    assert!(story.contains(&("dropped", 1)) && story.contains(&("dropped", 2)), "{story:?}");
}

#[test]
fn opening_can_be_stopped_and_the_model_that_was_open_draws_on() {
    let studio = Arc::new(Studio::default());
    let engine = engine(&studio);
    open(&engine, 1, "endless");
    until(&engine, begins(1));
    engine.send(Request::StopOpening);
    assert_eq!(story(&until(&engine, ends(1))), [("dropped", 1)]);
    draw(&engine, 2, Lane::Live, "lake");
    assert_eq!(story(&until(&engine, ends(2))), [("begin", 2), ("drawn", 2)]);
    engine.send(Request::StopOpening);
    draw(&engine, 3, Lane::Live, "slow");
    until(&engine, begins(3));
    engine.send(Request::StopOpening);
    studio.door.store(true, Ordering::SeqCst);
    assert_eq!(story(&until(&engine, ends(3))), [("drawn", 3)], "nothing else is stopped");
}

#[test]
fn nothing_gives_way_to_decoding_again_but_it_comes_next() {
    let studio = Arc::new(Studio::default());
    let engine = engine(&studio);
    draw(&engine, 1, Lane::Batch, "slow");
    until(&engine, begins(1));
    draw(&engine, 2, Lane::Teacher, "lake");
    let latents = Arc::new(Latents { shape: [1, 1, 1, 1], values: vec![0.0] });
    engine.send(Request::Decode { id: JobId(3), settings: Settings::student("x"), latents });
    studio.door.store(true, Ordering::SeqCst);
    let events = until(&engine, ends(2));
    assert_eq!(story(&events), [("drawn", 1), ("begin", 3), ("decoded", 3), ("begin", 2), ("drawn", 2)]);
}

#[test]
fn a_stopped_opening_of_real_weights_is_no_failure() {
    let model = Source::Folder(fixture("model"));
    let request = OpenRequest { model, ..OpenRequest::default() };
    let cancel = Cancel::default();
    let mut parts = Vec::new();
    let stop = &mut |LoadProgress { part, done, total }| {
        assert!(done <= total, "{done} of {total}");
        parts.push(part.to_string());
        // Asked again before the first tensor.
        cancel.cancel();
    };
    let result = instaflow_engine::pipeline::Models::open_reusing(None, &request, stop, &cancel);
    assert!(result.is_err_and(|error| error.is_cancelled()));
    assert_eq!(parts, ["student: text encoder"]);
}

#[test]
fn without_a_model_a_sentence_says_so() {
    let engine = closed_engine(&Arc::default());
    draw(&engine, 1, Lane::Live, "lake");
    let events = until(&engine, ends(1));
    let Some(Event::Draw(_, _, DrawEvent::End(DrawOutcome::Failed(failure)))) = events.last() else {
        panic!("{events:#?}");
    };
    assert!(failure.message.contains("no model is open"), "{failure:?}");
}

#[test]
fn tokens_are_counted_while_a_picture_is_drawn() {
    let studio = Arc::new(Studio::default());
    let engine = engine(&studio);
    draw(&engine, 1, Lane::Live, "slow");
    until(&engine, begins(1));
    engine.send(Request::CountTokens(Settings::student("a lake").into()));
    let events = until(&engine, |event| matches!(event, Event::Tokens(count) if count.prompt == "a lake"));
    assert!(!story(&events).contains(&("drawn", 1)), "the picture is still being drawn");
}

#[test]
fn progress_carries_estimates_and_every_event_wakes() {
    let studio = Arc::new(Studio::default());
    let engine = engine(&studio);
    // An event can be read a moment before its wake is called.
    let patience = Instant::now() + Duration::from_secs(10);
    let woken = loop {
        let woken = studio.wakes.load(Ordering::SeqCst);
        if woken >= 3 || Instant::now() > patience {
            break woken;
        }
        std::thread::yield_now();
    };
    assert!(woken >= 3, "begin, progress and end of the opening woke {woken} times");
    let settings = Settings { steps: 4, ..Settings::teacher("lake") };
    engine.send(Request::Draw { id: JobId(1), lane: Lane::Teacher, settings, asked: Instant::now() });
    let events = until(&engine, ends(1));
    let steps: Vec<_> = events
        .iter()
        .filter_map(|event| match event {
            Event::Draw(_, Lane::Teacher, DrawEvent::Step(Step { done, total: 4, estimate: Some(_) })) => Some(*done),
            _ => None,
        })
        .collect();
    assert_eq!(steps, [1, 2, 3, 4]);
}

#[test]
fn a_window_that_looks_away_costs_no_memory_and_misses_no_picture() {
    let studio = Arc::new(Studio::default());
    let engine = engine(&studio);
    let mut id = 0;
    // Until the channel is full and the engine waits.
    while engine.events().len() < 64 {
        id += 1;
        draw(&engine, id, Lane::Live, &format!("{id}"));
        std::thread::sleep(Duration::from_millis(2));
        assert!(id < 5_000, "the channel never fills");
    }
    for _ in 0..1_000 {
        id += 1;
        draw(&engine, id, Lane::Live, &format!("{id}"));
    }
    assert!(engine.events().len() <= 64);
    let events = until(&engine, ends(id));
    let story = story(&events);
    assert_eq!(story.last(), Some(&("drawn", id)));
    let count = |word| story.iter().filter(|(what, _)| *what == word).count();
    assert_eq!(count("begin"), count("drawn"), "every job that began has ended: {story:?}");
}

#[test]
fn dropping_the_engine_stops_a_running_job() {
    let studio = Arc::new(Studio::default());
    let engine = engine(&studio);
    draw(&engine, 1, Lane::Live, "slow");
    until(&engine, begins(1));
    let started = Instant::now();
    drop(engine);
    assert!(started.elapsed() < Duration::from_secs(2));
}

#[test]
fn latents_are_decoded_again_to_the_same_picture_in_a_lane_that_gives_way() {
    let engine = Engine::spawn(|| {});
    open(&engine, 1, &fixture("model").to_string_lossy());
    until(&engine, ends(1));
    draw(&engine, 2, Lane::Live, "a lake");
    let drawn = picture_of(until(&engine, ends(2)));
    let latents = drawn.latents.clone().expect("what it was decoded from");
    assert_eq!(latents.shape, [1, 4, 16, 16]);

    let decode = |id, settings: &Settings, latents: Arc<Latents>| {
        let settings = settings.clone();
        engine.send(Request::Decode { id: JobId(id), settings, latents });
        until(&engine, ends(id))
    };
    let again = picture_of(decode(3, &drawn.settings, latents.clone()));
    assert_eq!((&again.rgb, &again.settings), (&drawn.rgb, &drawn.settings));
    assert_eq!(again.latents, drawn.latents);
    let twice = decode(4, &drawn.settings, latents.clone());
    assert!(
        matches!(twice.last(), Some(Event::Decode(_, DecodeEvent::End(DecodeOutcome::Decoded(_))))),
        "decoded twice"
    );

    for (shape, words) in [
        ([2, 4, 16, 8], "cannot decode latents of shape [2, 4, 16, 8]"),
        ([1, 8, 16, 8], "cannot decode latents of shape [1, 8, 16, 8]"),
        ([1, 4, 0, 16], "cannot decode latents of shape [1, 4, 0, 16]"),
        ([1, 4, 16, 99], "cannot hold 1024 values"),
    ] {
        let wrong = Latents { shape, values: latents.values.clone() };
        let events = decode(wrong.shape.iter().sum::<usize>() as u64 + 100, &drawn.settings, Arc::new(wrong));
        let Some(Event::Decode(_, DecodeEvent::End(DecodeOutcome::Failed(failure)))) = events.last() else {
            panic!("{events:#?}");
        };
        assert!(failure.message.contains(words), "{failure:?}");
    }
}

fn picture_of(events: Vec<Event>) -> Picture {
    match events.into_iter().last() {
        Some(
            Event::Draw(_, _, DrawEvent::End(DrawOutcome::Drawn { picture, .. }))
            | Event::Decode(_, DecodeEvent::End(DecodeOutcome::Decoded(picture))),
        ) => *picture,
        other => panic!("{other:#?}"),
    }
}

#[test]
fn the_real_model_draws_and_survives_a_bad_folder() {
    let engine = Engine::spawn(|| {});
    open(&engine, 1, &fixture("model").to_string_lossy());
    let events = until(&engine, ends(1));
    let Some(Event::Open(_, OpenEvent::End(OpenOutcome::Opened(summary)))) = events.last() else {
        panic!("{events:#?}");
    };
    let card = summary.student.as_ref().expect("a single folder is a student");
    assert_eq!((card.size, card.num_stacks, card.token_limit), ((128, 128), 1, 77));

    draw(&engine, 2, Lane::Live, "a lake");
    let events = until(&engine, ends(2));
    let Some(Event::Draw(_, Lane::Live, DrawEvent::End(DrawOutcome::Drawn { picture, seconds }))) = events.last()
    else {
        panic!("{events:#?}");
    };
    assert_eq!((picture.width, picture.height, picture.rgb.len()), (128, 128, 128 * 128 * 3));
    assert!(*seconds >= picture.timings.total && picture.timings.unet > 0.0, "{:?}", picture.timings);

    open(&engine, 3, &fixture("no-such-model").to_string_lossy());
    assert_eq!(story(&until(&engine, ends(3))), [("begin", 3), ("failed", 3)]);
    draw(&engine, 4, Lane::Live, "a lake at night");
    assert_eq!(story(&until(&engine, ends(4))), [("begin", 4), ("drawn", 4)]);
}
