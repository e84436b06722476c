//! The engine thread's loop: takes work, does it, reports it.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{RecvTimeoutError, bounded};
use tracing::info_span;

use super::queue::{DecodeJob, Done, DrawJob, Work};
use super::{Backend, OnProgress, Shared};
use crate::protocol::{
    BUG, DecodeEvent, DrawEvent, DrawOutcome, Event, Failure, JobId, LoadProgress, OpenEvent, OpenOutcome, OpenRequest,
    Picture,
};
use crate::{Cancel, Error, Result};

/// Works until the engine closes.
pub(super) fn run(
    shared: &Shared,
    mut open: impl FnMut(&OpenRequest, &mut OnProgress<'_>, &Cancel) -> Result<Arc<dyn Backend>>,
) {
    let mut model = None;
    while let Some(work) = shared.next() {
        match work {
            Work::Unchanged(id, lane) => {
                shared.outbox.send(Event::Draw(id, lane, DrawEvent::End(DrawOutcome::Unchanged)));
            }
            Work::Open(id, request, cancel) => {
                let opened = open_one(shared, id, &cancel, |on_progress| open(&request, on_progress, &cancel));
                if let Some(loaded) = opened {
                    shared.token_counter.set_model(loaded.clone());
                    model = Some(loaded);
                }
            }
            Work::Draw(job, cancel) => draw_one(shared, job, model.as_deref(), &cancel),
            Work::Decode(job, cancel) => decode_one(shared, job, model.as_deref(), &cancel),
            // `Shared::next` waits itself.
            Work::Wait(_) => {}
        }
    }
}

/// Between two reports of how much of a model is read.
const REPORT: Duration = Duration::from_millis(100);

fn open_one(
    shared: &Shared,
    id: JobId,
    cancel: &Cancel,
    open: impl FnOnce(&mut OnProgress<'_>) -> Result<Arc<dyn Backend>>,
) -> Option<Arc<dyn Backend>> {
    let _span = info_span!("open model", id = id.0).entered();
    shared.outbox.send(Event::Open(id, OpenEvent::Begin));
    let report = |progress| shared.outbox.send_if_room(Event::Open(id, OpenEvent::Progress(progress)));
    // A part may take many seconds: meanwhile another thread reports how much of it is read.
    let (parts, reading) = bounded::<LoadProgress>(1);
    let result = std::thread::scope(|scope| {
        scope.spawn(move || {
            let mut now = None;
            loop {
                match reading.recv_timeout(REPORT) {
                    Ok(progress) => now = Some(progress),
                    Err(RecvTimeoutError::Disconnected) => return,
                    Err(RecvTimeoutError::Timeout) => {
                        if let Some(LoadProgress { part, total, .. }) = now {
                            let done = ((cancel.bytes_read() >> 20) as u32).min(total);
                            report(LoadProgress { part, done, total });
                        }
                    }
                }
            }
        });
        let mut on_progress = |progress: LoadProgress| {
            report(progress);
            // If the other thread is late, it misses a part.
            let _ = parts.try_send(progress);
        };
        let result = catch_unwind(AssertUnwindSafe(|| open(&mut on_progress)));
        drop(parts);
        result
    });
    shared.queue().opened(matches!(result, Ok(Ok(_))));
    let (loaded, outcome) = match result {
        Ok(Ok(loaded)) => {
            let summary = Box::new(loaded.summary());
            (Some(loaded), OpenOutcome::Opened(summary))
        }
        Ok(Err(Error::Cancelled)) => (None, OpenOutcome::Dropped),
        Ok(Err(error)) => {
            let failure = Failure::from(&error);
            let outcome = match error.choices() {
                Some(choices) => OpenOutcome::Asks { failure, choices },
                None => OpenOutcome::Failed(failure),
            };
            (None, outcome)
        }
        Err(panic) => (None, OpenOutcome::Failed(failure("loading", panic.as_ref()))),
    };
    shared.outbox.send(Event::Open(id, OpenEvent::End(outcome)));
    loaded
}

fn draw_one(shared: &Shared, mut job: DrawJob, model: Option<&dyn Backend>, cancel: &Cancel) {
    let (id, lane) = (job.id, job.lane);
    let _span = info_span!("draw", ?lane, id = id.0).entered();
    shared.outbox.send(Event::Draw(id, lane, DrawEvent::Begin));
    let done = loop {
        let settings = job.settings();
        let done = attempt("drawing", model, |model| {
            let mut observer = |step| shared.outbox.send_if_room(Event::Draw(id, lane, DrawEvent::Step(step)));
            model.draw(settings, &mut observer, cancel)
        });
        match done {
            Done::Picture(picture) if job.next + 1 < job.series.len() => {
                let index = job.next as u32;
                shared.outbox.send(Event::Draw(id, lane, DrawEvent::Part { index, picture }));
                job.next += 1;
                if cancel.check().is_err() {
                    break Done::Cancelled;
                }
            }
            done => break done,
        }
    };
    let outcome = shared.queue().drawn(job, done, Instant::now());
    if let Some(outcome) = outcome {
        shared.outbox.send(Event::Draw(id, lane, DrawEvent::End(outcome)));
    }
}

fn decode_one(shared: &Shared, job: DecodeJob, model: Option<&dyn Backend>, cancel: &Cancel) {
    let id = job.id;
    let _span = info_span!("decode", id = id.0).entered();
    shared.outbox.send(Event::Decode(id, DecodeEvent::Begin));
    let done = attempt("decoding", model, |model| model.decode(&job.settings, &job.latents, cancel));
    let outcome = shared.queue().decoded(job, done);
    if let Some(outcome) = outcome {
        shared.outbox.send(Event::Decode(id, DecodeEvent::End(outcome)));
    }
}

/// Makes one picture with the open model; a panic costs this picture and nothing else.
fn attempt(doing: &str, model: Option<&dyn Backend>, make: impl FnOnce(&dyn Backend) -> Result<Picture>) -> Done {
    let result = catch_unwind(AssertUnwindSafe(|| {
        make(model.ok_or_else(|| Error::Setting("no model is open: open a model folder first".to_owned()))?)
    }));
    match result {
        Ok(Ok(picture)) => Done::Picture(Box::new(picture)),
        Ok(Err(Error::Cancelled)) => Done::Cancelled,
        Ok(Err(error)) => Done::Failed((&error).into()),
        Err(panic) => Done::Failed(failure(doing, panic.as_ref())),
    }
}

/// What a panic looks like to a person.
fn failure(doing: &str, panic: &(dyn Any + Send)) -> Failure {
    let text = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("a panic without a message");
    Failure {
        message: format!("{doing} {BUG}; nothing else was lost: try again, and please report it"),
        causes: vec![text.to_owned()],
    }
}
