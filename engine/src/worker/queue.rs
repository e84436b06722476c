//! What waits, what runs, and what a new request does to both: plain state, without threads, and with the time passed
//! in. Change which lane is served when here, and when a live job may begin in [`super::pace`].

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::pace::Pace;
use crate::Cancel;
use crate::protocol::{Event, Failure, JobId, Lane, Latents, OpenRequest, Outcome, Picture, Request, Settings, Task};

/// One picture to draw, or several.
#[derive(Clone, Debug)]
pub(super) struct Job {
    pub(super) id: JobId,
    pub(super) lane: Lane,
    /// At least one.
    pub(super) series: Vec<Settings>,
    /// What to decode, where nothing is to be drawn.
    pub(super) latents: Option<Arc<Latents>>,
    /// Which of the series is drawn next.
    pub(super) next: usize,
    pub(super) asked: Instant,
}

impl Job {
    /// The picture to draw next.
    pub(super) fn settings(&self) -> &Settings {
        &self.series[self.next]
    }
}

/// What the engine thread does next.
pub(super) enum Work {
    Open(JobId, OpenRequest, Cancel),
    Draw(Job, Cancel),
    /// The lane's last pictures had this input.
    Unchanged(JobId, Lane),
    /// Nothing before this time has passed, unless something new comes.
    Wait(Duration),
}

/// How the drawing of a job's last picture ended.
pub(super) enum Done {
    Picture(Box<Picture>),
    Cancelled,
    Failed(Failure),
}

#[derive(Default)]
pub(super) struct Queue {
    open: Option<(JobId, OpenRequest)>,
    /// In the order of [`Lane::ALL`].
    lanes: [Slot; Lane::ALL.len()],
    running: Option<Running>,
    pace: Pace,
    closed: bool,
}

/// One lane.
#[derive(Default)]
struct Slot {
    waiting: Option<Job>,
    /// The input of the pictures that stand.
    drawn: Option<Vec<Settings>>,
}

struct Running {
    task: Task,
    /// Empty while a model is opened.
    series: Vec<Settings>,
    begun: Instant,
    cancel: Cancel,
    fate: Fate,
}

/// What becomes of a running job that was cancelled.
#[derive(Clone, Copy, PartialEq)]
enum Fate {
    /// It was not cancelled.
    Finish,
    /// It waits again, unless a newer one waits.
    Wait,
    /// It is dropped; where it had finished already, its picture still counts.
    Drop,
    /// It is dropped whether or not it had finished.
    Stop,
}

impl Running {
    fn end(&mut self, fate: Fate) {
        if self.fate != Fate::Stop {
            self.fate = fate;
        }
        self.cancel.cancel();
    }
}

impl Queue {
    /// Takes a request in. Returns the ends of requests that will never begin.
    pub(super) fn accept(&mut self, request: Request, now: Instant) -> Vec<Event> {
        if self.closed {
            return Vec::new();
        }
        match request {
            Request::Open(id, request) => {
                let mut ends = self.stop_all();
                ends.extend(self.open.replace((id, request)).map(|(id, _)| dropped(id, Task::Open)));
                if let Some(running) = self.running.as_mut().filter(|running| running.task == Task::Open) {
                    running.end(Fate::Drop);
                }
                ends
            }
            Request::StopOpening => {
                if let Some(running) = self.running.as_mut().filter(|running| running.task == Task::Open) {
                    running.end(Fate::Drop);
                }
                self.open.take().map(|(id, _)| dropped(id, Task::Open)).into_iter().collect()
            }
            Request::Draw { id, lane, settings, asked } => {
                self.place(Job { id, lane, series: vec![settings], latents: None, next: 0, asked }, now)
            }
            Request::Decode { id, settings, latents, asked } => {
                let (lane, latents) = (Lane::Kept, Some(latents));
                self.place(Job { id, lane, series: vec![settings], latents, next: 0, asked }, now)
            }
            // Nothing to draw is drawn already.
            Request::DrawSeries { id, lane, series, .. } if series.is_empty() => {
                let mut ends = self.stop(lane);
                ends.push(Event::End { id, task: Task::Draw(lane), outcome: Outcome::Unchanged });
                ends
            }
            Request::DrawSeries { id, lane, series, asked } => {
                self.place(Job { id, lane, series, latents: None, next: 0, asked }, now)
            }
            Request::Stop(lane) => self.stop(lane),
            // Answered by `counter` and `Shared::close`.
            Request::CountTokens(_) | Request::Shutdown => Vec::new(),
        }
    }

    /// The next piece of work, marked as running: a model, then the lanes in their order. A live job that is not due
    /// yet holds the other lanes back, which it would only interrupt.
    pub(super) fn next(&mut self, now: Instant) -> Option<Work> {
        let cancel = Cancel::default();
        if let Some((id, request)) = self.open.take() {
            self.run(Task::Open, Vec::new(), &cancel, now);
            return Some(Work::Open(id, request, cancel));
        }
        if let Some(job) = &self.slot(Lane::Live).waiting {
            let due = self.pace.begins_at(job.settings(), now);
            if due > now {
                return Some(Work::Wait(due - now));
            }
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
            self.pace.forget_model();
        }
    }

    /// The running job is over. Returns how it ended, or `None` where it waits to begin again.
    pub(super) fn drawn(&mut self, job: Job, done: Done, now: Instant) -> Option<Outcome> {
        let running = self.running.take()?;
        if running.fate == Fate::Stop {
            return Some(Outcome::Dropped);
        }
        match done {
            Done::Picture(picture) => {
                if job.lane == Lane::Live {
                    self.pace.drawn(job.settings(), now.saturating_duration_since(running.begun));
                }
                let seconds = now.saturating_duration_since(job.asked).as_secs_f64();
                // What goes into a file stands nowhere, and a sheet goes with its view: asked for again, they are drawn
                // again.
                let stands = !matches!(job.lane, Lane::Export | Lane::Kept | Lane::Sheet);
                self.slot_mut(job.lane).drawn = Some(job.series).filter(|_| stands);
                Some(Outcome::Drawn(*picture, seconds))
            }
            Done::Failed(failure) => Some(Outcome::Failed(failure)),
            Done::Cancelled => {
                let slot = self.slot_mut(job.lane);
                if running.fate == Fate::Wait && slot.waiting.is_none() {
                    slot.waiting = Some(job);
                    return None;
                }
                Some(Outcome::Dropped)
            }
        }
    }

    /// Stops everything for good.
    pub(super) fn close(&mut self) -> Vec<Event> {
        let mut ends = self.stop_all();
        ends.extend(self.open.take().map(|(id, _)| dropped(id, Task::Open)));
        if let Some(running) = &mut self.running {
            running.end(Fate::Stop);
        }
        self.closed = true;
        ends
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed
    }

    fn place(&mut self, job: Job, now: Instant) -> Vec<Event> {
        let lane = job.lane;
        let (id, task) = (job.id, Task::Draw(lane));
        if lane == Lane::Live {
            self.pace.asked(job.settings(), now);
        }
        let mut ends: Vec<_> =
            self.slot_mut(lane).waiting.take().map(|old| dropped(old.id, task)).into_iter().collect();
        // Nothing that is still to come can change what the lane shows: no need to disturb whatever runs.
        let settled = self.open.is_none()
            && !self.running.as_ref().is_some_and(|running| [Task::Open, task].contains(&running.task));
        if settled && self.slot(lane).drawn.as_ref() == Some(&job.series) {
            ends.push(Event::End { id, task, outcome: Outcome::Unchanged });
            return ends;
        }
        match &mut self.running {
            Some(running) if running.task == task && running.series != job.series => {
                let finishes = lane == Lane::Live
                    && running.series.first().is_some_and(|drawn| self.pace.may_finish(drawn, running.begun, now));
                if !finishes {
                    running.end(Fate::Drop);
                }
            }
            Some(running) if lane != Lane::Kept && matches!(running.task, Task::Draw(other) if other > lane) => {
                // A job that is stale already stays so.
                let fate = if running.fate == Fate::Drop { Fate::Drop } else { Fate::Wait };
                running.end(fate);
            }
            _ => {}
        }
        self.slot_mut(lane).waiting = Some(job);
        ends
    }

    fn stop_all(&mut self) -> Vec<Event> {
        Lane::ALL.into_iter().flat_map(|lane| self.stop(lane)).collect()
    }

    fn stop(&mut self, lane: Lane) -> Vec<Event> {
        if lane == Lane::Live {
            self.pace.stopped();
        }
        let task = Task::Draw(lane);
        if let Some(running) = self.running.as_mut().filter(|running| running.task == task) {
            running.end(Fate::Stop);
        }
        self.slot_mut(lane).waiting.take().map(|job| dropped(job.id, task)).into_iter().collect()
    }

    fn run(&mut self, task: Task, series: Vec<Settings>, cancel: &Cancel, now: Instant) {
        let cancel = cancel.clone();
        self.running = Some(Running { task, series, begun: now, cancel, fate: Fate::Finish });
    }

    fn slot(&self, lane: Lane) -> &Slot {
        &self.lanes[lane as usize]
    }

    fn slot_mut(&mut self, lane: Lane) -> &mut Slot {
        &mut self.lanes[lane as usize]
    }
}

fn dropped(id: JobId, task: Task) -> Event {
    Event::End { id, task, outcome: Outcome::Dropped }
}

#[cfg(test)]
mod tests;
