//! What waits, what runs, and what a new request does to both: plain state, without threads, and with the time passed
//! in. Change here which lane is served when; when a live job may begin is [`super::throttle`]'s.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::throttle::Throttle;
use crate::Cancel;
use crate::protocol::{
    DecodeEvent, DecodeOutcome, DrawEvent, DrawOutcome, Event, Failure, JobId, Lane, Latents, OpenEvent, OpenOutcome,
    OpenRequest, Picture, Request, Settings,
};

/// One picture to draw, or several.
#[derive(Clone, Debug)]
pub(super) struct DrawJob {
    pub(super) id: JobId,
    pub(super) lane: Lane,
    /// At least one.
    pub(super) series: Vec<Settings>,
    /// Which of the series is drawn next.
    pub(super) next: usize,
    pub(super) asked: Instant,
}

impl DrawJob {
    /// The picture to draw next.
    pub(super) fn settings(&self) -> &Settings {
        &self.series[self.next]
    }
}

/// Latents to decode.
#[derive(Clone, Debug)]
pub(super) struct DecodeJob {
    pub(super) id: JobId,
    pub(super) settings: Settings,
    pub(super) latents: Arc<Latents>,
}

/// What the engine thread does next.
pub(super) enum Work {
    Open(JobId, OpenRequest, Cancel),
    Draw(DrawJob, Cancel),
    Decode(DecodeJob, Cancel),
    /// The lane's last pictures had this input.
    Unchanged(JobId, Lane),
    /// Nothing until this time has passed, unless something new comes.
    Wait(Duration),
}

/// How the work on a job's last picture ended.
pub(super) enum Done {
    Picture(Box<Picture>),
    Cancelled,
    Failed(Failure),
}

/// What kind of work runs, or has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Task {
    Open,
    Draw(Lane),
    Decode,
}

impl Task {
    /// The end of a request of this kind that never began.
    fn dropped(self, id: JobId) -> Ended {
        let event = match self {
            Self::Open => Event::Open(id, OpenEvent::End(OpenOutcome::Dropped)),
            Self::Draw(lane) => Event::Draw(id, lane, DrawEvent::End(DrawOutcome::Dropped)),
            Self::Decode => Event::Decode(id, DecodeEvent::End(DecodeOutcome::Dropped)),
        };
        Ended { task: self, event }
    }

    /// Whether running work of this kind is interrupted by a job of this lane.
    fn gives_way_to(self, lane: Lane) -> bool {
        match self {
            Self::Open => false,
            Self::Draw(own) => own > lane,
            Self::Decode => lane == Lane::Live,
        }
    }
}

/// The end of a request that never began.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) task: Task,
    pub(super) event: Event,
}

#[derive(Default)]
pub(super) struct Queue {
    open: Option<(JobId, OpenRequest)>,
    decode: Option<DecodeJob>,
    /// In the order of [`Lane::ALL`].
    lanes: [Slot; Lane::ALL.len()],
    running: Option<Running>,
    throttle: Throttle,
    closed: bool,
}

/// One lane.
#[derive(Default)]
struct Slot {
    waiting: Option<DrawJob>,
    /// The input of the pictures that stand.
    drawn: Option<Vec<Settings>>,
}

struct Running {
    task: Task,
    /// Empty unless it draws.
    series: Vec<Settings>,
    begun: Instant,
    cancel: Cancel,
    on_cancel: OnCancel,
}

/// What becomes of a running job once its cancellation is noticed.
#[derive(Clone, Copy, PartialEq)]
enum OnCancel {
    /// It was not cancelled.
    Finish,
    /// It waits again, unless a newer one waits.
    Requeue,
    /// It is dropped; if it had finished already, its picture still counts.
    Drop,
    /// It is dropped, whether or not it had finished.
    Stop,
}

impl Running {
    fn cancel(&mut self, on_cancel: OnCancel) {
        if self.on_cancel != OnCancel::Stop {
            self.on_cancel = on_cancel;
        }
        self.cancel.cancel();
    }
}

impl Queue {
    /// Takes a request in. Returns the ends of requests that will never begin.
    pub(super) fn accept(&mut self, request: Request, now: Instant) -> Vec<Ended> {
        if self.closed {
            return Vec::new();
        }
        match request {
            Request::Open(id, request) => {
                let mut ends = self.stop_all();
                ends.extend(self.open.replace((id, request)).map(|(id, _)| Task::Open.dropped(id)));
                self.cancel_running(Task::Open, OnCancel::Drop);
                ends
            }
            Request::StopOpening => {
                self.cancel_running(Task::Open, OnCancel::Drop);
                self.open.take().map(|(id, _)| Task::Open.dropped(id)).into_iter().collect()
            }
            Request::Draw { id, lane, settings, asked } => {
                self.place(DrawJob { id, lane, series: vec![settings], next: 0, asked }, now)
            }
            // An empty series is already drawn.
            Request::DrawSeries { id, lane, series, .. } if series.is_empty() => {
                let mut ends = self.stop(lane);
                ends.push(unchanged(id, lane));
                ends
            }
            Request::DrawSeries { id, lane, series, asked } => {
                self.place(DrawJob { id, lane, series, next: 0, asked }, now)
            }
            Request::Decode { id, settings, latents } => {
                self.cancel_running(Task::Decode, OnCancel::Drop);
                let before = self.decode.replace(DecodeJob { id, settings, latents });
                before.map(|job| Task::Decode.dropped(job.id)).into_iter().collect()
            }
            Request::Stop(lane) => self.stop(lane),
            Request::StopDecoding => self.stop_decoding(),
            // Answered by `token_counter` and `Shared::close`.
            Request::CountTokens(_) | Request::Shutdown => Vec::new(),
        }
    }

    /// The next piece of work, marked as running: a model to open, the live lane, latents to decode, the other lanes in
    /// their order. A live job that is not due yet holds everything else back, because it would only interrupt it.
    pub(super) fn next(&mut self, now: Instant) -> Option<Work> {
        let cancel = Cancel::default();
        if let Some((id, request)) = self.open.take() {
            self.run(Task::Open, Vec::new(), &cancel, now);
            return Some(Work::Open(id, request, cancel));
        }
        if let Some(job) = &self.slot(Lane::Live).waiting {
            let due = self.throttle.begins_at(job.settings(), now);
            if due > now {
                return Some(Work::Wait(due - now));
            }
        } else if let Some(job) = self.decode.take() {
            self.run(Task::Decode, Vec::new(), &cancel, now);
            return Some(Work::Decode(job, cancel));
        }
        let job = self.lanes.iter_mut().find_map(|slot| slot.waiting.take())?;
        if self.slot(job.lane).drawn.as_ref() == Some(&job.series) {
            return Some(Work::Unchanged(job.id, job.lane));
        }
        self.run(Task::Draw(job.lane), job.series.clone(), &cancel, now);
        Some(Work::Draw(job, cancel))
    }

    /// The running model has been loaded, or not.
    pub(super) fn opened(&mut self, success: bool) {
        self.running = None;
        if success {
            for slot in &mut self.lanes {
                slot.drawn = None;
            }
            self.throttle.forget_model();
        }
    }

    /// The running drawing job is over. Returns how it ended, or `None` if it waits to begin again.
    pub(super) fn drawn(&mut self, job: DrawJob, done: Done, now: Instant) -> Option<DrawOutcome> {
        let running = self.running.take()?;
        if running.on_cancel == OnCancel::Stop {
            return Some(DrawOutcome::Dropped);
        }
        match done {
            Done::Picture(picture) => {
                if job.lane == Lane::Live {
                    self.throttle.drawn(job.settings(), now.saturating_duration_since(running.begun));
                }
                let seconds = now.saturating_duration_since(job.asked).as_secs_f64();
                // The window may have put a batch away, and background work may be wanted twice.
                let stands = match job.lane {
                    Lane::Live | Lane::Teacher | Lane::Baseline => true,
                    Lane::Batch | Lane::Background => false,
                };
                self.slot_mut(job.lane).drawn = Some(job.series).filter(|_| stands);
                Some(DrawOutcome::Drawn { picture, seconds })
            }
            Done::Failed(failure) => Some(DrawOutcome::Failed(failure)),
            Done::Cancelled => {
                let slot = self.slot_mut(job.lane);
                if running.on_cancel == OnCancel::Requeue && slot.waiting.is_none() {
                    slot.waiting = Some(job);
                    return None;
                }
                Some(DrawOutcome::Dropped)
            }
        }
    }

    /// The running decode is over. Returns how it ended, or `None` if it waits to begin again.
    pub(super) fn decoded(&mut self, job: DecodeJob, done: Done) -> Option<DecodeOutcome> {
        let running = self.running.take()?;
        if running.on_cancel == OnCancel::Stop {
            return Some(DecodeOutcome::Dropped);
        }
        match done {
            Done::Picture(picture) => Some(DecodeOutcome::Decoded(picture)),
            Done::Failed(failure) => Some(DecodeOutcome::Failed(failure)),
            Done::Cancelled if running.on_cancel == OnCancel::Requeue && self.decode.is_none() => {
                self.decode = Some(job);
                None
            }
            Done::Cancelled => Some(DecodeOutcome::Dropped),
        }
    }

    /// Stops everything for good.
    pub(super) fn close(&mut self) -> Vec<Ended> {
        let mut ends = self.stop_all();
        ends.extend(self.open.take().map(|(id, _)| Task::Open.dropped(id)));
        if let Some(running) = &mut self.running {
            running.cancel(OnCancel::Stop);
        }
        self.closed = true;
        ends
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed
    }

    fn place(&mut self, job: DrawJob, now: Instant) -> Vec<Ended> {
        let lane = job.lane;
        let (id, task) = (job.id, Task::Draw(lane));
        if lane == Lane::Live {
            self.throttle.asked(job.settings(), now);
        }
        let mut ends: Vec<_> = self.slot_mut(lane).waiting.take().map(|old| task.dropped(old.id)).into_iter().collect();
        // Nothing that is still to come can change what the lane shows: no need to disturb whatever runs.
        let settled = self.open.is_none()
            && !self.running.as_ref().is_some_and(|running| [Task::Open, task].contains(&running.task));
        if settled && self.slot(lane).drawn.as_ref() == Some(&job.series) {
            ends.push(unchanged(id, lane));
            return ends;
        }
        match &mut self.running {
            Some(running) if running.task == task && running.series != job.series => {
                let finishes = lane == Lane::Live
                    && running.series.first().is_some_and(|drawn| self.throttle.may_finish(drawn, running.begun, now));
                if !finishes {
                    running.cancel(OnCancel::Drop);
                }
            }
            Some(running) if running.task.gives_way_to(lane) => {
                // A job that is stale already stays so.
                let stale = running.on_cancel == OnCancel::Drop;
                running.cancel(if stale { OnCancel::Drop } else { OnCancel::Requeue });
            }
            _ => {}
        }
        self.slot_mut(lane).waiting = Some(job);
        ends
    }

    fn stop_all(&mut self) -> Vec<Ended> {
        let mut ends: Vec<_> = Lane::ALL.into_iter().flat_map(|lane| self.stop(lane)).collect();
        ends.extend(self.stop_decoding());
        ends
    }

    fn stop(&mut self, lane: Lane) -> Vec<Ended> {
        if lane == Lane::Live {
            self.throttle.stopped();
        }
        let task = Task::Draw(lane);
        self.cancel_running(task, OnCancel::Stop);
        self.slot_mut(lane).waiting.take().map(|job| task.dropped(job.id)).into_iter().collect()
    }

    fn stop_decoding(&mut self) -> Vec<Ended> {
        self.cancel_running(Task::Decode, OnCancel::Stop);
        self.decode.take().map(|job| Task::Decode.dropped(job.id)).into_iter().collect()
    }

    /// Cancels what runs if it is work of this kind.
    fn cancel_running(&mut self, task: Task, on_cancel: OnCancel) {
        if let Some(running) = self.running.as_mut().filter(|running| running.task == task) {
            running.cancel(on_cancel);
        }
    }

    fn run(&mut self, task: Task, series: Vec<Settings>, cancel: &Cancel, now: Instant) {
        let cancel = cancel.clone();
        self.running = Some(Running { task, series, begun: now, cancel, on_cancel: OnCancel::Finish });
    }

    fn slot(&self, lane: Lane) -> &Slot {
        &self.lanes[lane as usize]
    }

    fn slot_mut(&mut self, lane: Lane) -> &mut Slot {
        &mut self.lanes[lane as usize]
    }
}

fn unchanged(id: JobId, lane: Lane) -> Ended {
    Ended { task: Task::Draw(lane), event: Event::Draw(id, lane, DrawEvent::End(DrawOutcome::Unchanged)) }
}

#[cfg(test)]
mod tests;
