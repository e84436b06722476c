//! The engine thread's loop: takes work, does it, reports it.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{RecvTimeoutError, bounded};
use tracing::info_span;

use super::queue::{Done, Job, Work};
use super::{Loaded, OnPart, Shared};
use crate::protocol::{Event, Failure, JobId, OpenRequest, Outcome, Task};
use crate::{Cancel, Error, Result};

/// Works until the engine closes.
pub(super) fn run(shared: &Shared, mut open: impl FnMut(&OpenRequest, &mut OnPart<'_>, &Cancel) -> Result<Loaded>) {
    let mut model = None;
    while let Some(work) = shared.next() {
        match work {
            Work::Unchanged(id, lane) => {
                shared.outbox.send(Event::End { id, task: Task::Draw(lane), outcome: Outcome::Unchanged });
            }
            Work::Open(id, request, cancel) => {
                let opened = open_one(shared, id, &cancel, |on_part| open(&request, on_part, &cancel));
                if let Some(loaded) = opened {
                    shared.counter.set_model(loaded.clone());
                    model = Some(loaded);
                }
            }
            Work::Draw(job, cancel) => draw_one(shared, job, model.as_deref(), &cancel),
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
    open: impl FnOnce(&mut OnPart<'_>) -> Result<Loaded>,
) -> Option<Arc<Loaded>> {
    let task = Task::Open;
    let _span = info_span!("open model", id = id.0).entered();
    shared.outbox.send(Event::Begin { id, task });
    let tell = |done: u32, total: u32, part: &str| {
        shared.outbox.send_if_room(Event::Progress { id, task, done, total, what: part.to_owned(), estimate: None });
    };
    // A part may take many seconds: another thread tells meanwhile how far it is.
    let (parts, reading) = bounded::<(u32, String)>(1);
    let result = std::thread::scope(|scope| {
        scope.spawn(move || {
            let mut now = None;
            loop {
                match reading.recv_timeout(REPORT) {
                    Ok(part) => now = Some(part),
                    Err(RecvTimeoutError::Disconnected) => return,
                    Err(RecvTimeoutError::Timeout) => {
                        if let Some((total, part)) = &now {
                            tell(((cancel.bytes_read() >> 20) as u32).min(*total), *total, part);
                        }
                    }
                }
            }
        });
        let mut on_part = |done: u32, total: u32, part: &str| {
            tell(done, total, part);
            // Where the other thread is late, a report is missed.
            let _ = parts.try_send((total, part.to_owned()));
        };
        let result = catch_unwind(AssertUnwindSafe(|| open(&mut on_part)));
        drop(parts);
        result
    });
    shared.queue().opened(matches!(result, Ok(Ok(_))));
    let (loaded, outcome) = match result {
        Ok(Ok(loaded)) => {
            let summary = loaded.summary.clone();
            (Some(Arc::new(loaded)), Outcome::Opened(summary))
        }
        Ok(Err(Error::Cancelled)) => (None, Outcome::Dropped),
        Ok(Err(error)) => (None, Outcome::Failed((&error).into())),
        Err(panic) => (None, Outcome::Failed(failure("loading", panic.as_ref()))),
    };
    shared.outbox.send(Event::End { id, task, outcome });
    loaded
}

fn draw_one(shared: &Shared, mut job: Job, model: Option<&Loaded>, cancel: &Cancel) {
    let (id, task) = (job.id, Task::Draw(job.lane));
    let _span = info_span!("draw", lane = ?job.lane, id = id.0).entered();
    shared.outbox.send(Event::Begin { id, task });
    let done = loop {
        match draw_picture(shared, &job, model, cancel) {
            Done::Picture(picture) if job.next + 1 < job.series.len() => {
                let index = job.next as u32;
                shared.outbox.send(Event::Part { id, task, index, picture: *picture });
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
        shared.outbox.send(Event::End { id, task, outcome });
    }
}

/// The job's next picture.
fn draw_picture(shared: &Shared, job: &Job, model: Option<&Loaded>, cancel: &Cancel) -> Done {
    let (id, task) = (job.id, Task::Draw(job.lane));
    let result = catch_unwind(AssertUnwindSafe(|| {
        let model = model.ok_or_else(|| Error::Setting("no model is open: open a model folder first".to_owned()))?;
        if let Some(latents) = &job.latents {
            return (model.decode)(job.settings(), latents, cancel);
        }
        (model.draw)(
            job.settings(),
            &mut |step| {
                let (done, total, estimate) = (step.done, step.total, step.estimate);
                shared.outbox.send_if_room(Event::Progress { id, task, done, total, what: String::new(), estimate });
            },
            cancel,
        )
    }));
    match result {
        Ok(Ok(picture)) => Done::Picture(Box::new(picture)),
        Ok(Err(Error::Cancelled)) => Done::Cancelled,
        Ok(Err(error)) => Done::Failed((&error).into()),
        Err(panic) => Done::Failed(failure("drawing", panic.as_ref())),
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
        message: format!(
            "{doing} failed because of a mistake in this program; nothing else was lost: try again, and please report it"
        ),
        causes: vec![text.to_owned()],
    }
}
