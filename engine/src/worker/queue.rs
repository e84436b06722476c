//! What waits, what runs, and what a new request does to both: plain state, without threads.

use std::time::Instant;

use super::pace::Pace;
use crate::Cancel;
use crate::protocol::{Event, Failure, JobId, Lane, OpenRequest, Outcome, Picture, Request, Settings, Task};

/// One picture to draw.
#[derive(Clone, Debug)]
pub(super) struct Job {
    pub(super) id: JobId,
    pub(super) lane: Lane,
    pub(super) settings: Settings,
    pub(super) asked: Instant,
}

/// What the engine thread does next.
pub(super) enum Work {
    Open(JobId, OpenRequest, Cancel),
    Draw(Job, Cancel),
    /// The lane's last picture had this input.
    Unchanged(JobId, Lane),
}

/// How the drawing of a picture ended.
pub(super) enum Done {
    Picture(Picture),
    Cancelled,
    Failed(Failure),
}

#[derive(Default)]
pub(super) struct Queue {
    open: Option<(JobId, OpenRequest)>,
    live: Slot,
    teacher: Slot,
    running: Option<Running>,
    pace: Pace,
    closed: bool,
}

/// One lane.
#[derive(Default)]
struct Slot {
    waiting: Option<Job>,
    /// The input of the picture that stands.
    drawn: Option<Settings>,
}

struct Running {
    task: Task,
    /// `None` while a model is opened.
    settings: Option<Settings>,
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
                let mut ends = self.stop(Lane::Live);
                ends.extend(self.stop(Lane::Teacher));
                ends.extend(self.open.replace((id, request)).map(|(id, _)| dropped(id, Task::Open)));
                if let Some(running) = self.running.as_mut().filter(|running| running.task == Task::Open) {
                    running.end(Fate::Drop);
                }
                ends
            }
            Request::Draw { id, lane, settings, asked } => self.place(Job { id, lane, settings, asked }, now),
            Request::Stop(lane) => self.stop(lane),
            // Answered by `counter` and `Shared::close`.
            Request::CountTokens(_) | Request::Shutdown => Vec::new(),
        }
    }

    /// The next piece of work: a model, then the live lane, then the teacher's. Marks it as running.
    pub(super) fn next(&mut self) -> Option<Work> {
        let cancel = Cancel::default();
        if let Some((id, request)) = self.open.take() {
            self.run(Task::Open, None, &cancel);
            return Some(Work::Open(id, request, cancel));
        }
        let job = self.live.waiting.take().or_else(|| self.teacher.waiting.take())?;
        if self.slot(job.lane).drawn.as_ref() == Some(&job.settings) {
            return Some(Work::Unchanged(job.id, job.lane));
        }
        self.run(Task::Draw(job.lane), Some(job.settings.clone()), &cancel);
        Some(Work::Draw(job, cancel))
    }

    /// The running model has been loaded, or not.
    pub(super) fn opened(&mut self, success: bool) {
        self.running = None;
        if success {
            self.live.drawn = None;
            self.teacher.drawn = None;
            self.pace = Pace::default();
        }
    }

    /// The running job is over. Returns how it ended, or `None` where it waits to begin again.
    pub(super) fn drawn(&mut self, job: Job, done: Done) -> Option<Outcome> {
        let running = self.running.take()?;
        let took = running.begun.elapsed();
        if running.fate == Fate::Stop {
            return Some(Outcome::Dropped);
        }
        match done {
            Done::Picture(picture) => {
                if job.lane == Lane::Live {
                    self.pace.drawn(&job.settings, took);
                }
                let seconds = job.asked.elapsed().as_secs_f64();
                self.slot_mut(job.lane).drawn = Some(job.settings);
                Some(Outcome::Drawn(picture, seconds))
            }
            Done::Failed(failure) => Some(Outcome::Failed(failure)),
            Done::Cancelled => {
                if job.lane == Lane::Live {
                    self.pace.abandoned(running.begun);
                }
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
        let mut ends = self.stop(Lane::Live);
        ends.extend(self.stop(Lane::Teacher));
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
        let mut ends: Vec<_> =
            self.slot_mut(lane).waiting.take().map(|old| dropped(old.id, task)).into_iter().collect();
        // Nothing that is still to come can change what the lane shows: no need to disturb whatever runs.
        let settled = self.open.is_none()
            && !self.running.as_ref().is_some_and(|running| [Task::Open, task].contains(&running.task));
        if settled && self.slot(lane).drawn.as_ref() == Some(&job.settings) {
            ends.push(Event::End { id, task, outcome: Outcome::Unchanged });
            return ends;
        }
        match &mut self.running {
            Some(running) if running.task == task && running.settings.as_ref() != Some(&job.settings) => {
                let finishes = lane == Lane::Live
                    && running
                        .settings
                        .as_ref()
                        .is_some_and(|settings| self.pace.may_finish(settings, running.begun, now));
                if !finishes {
                    running.end(Fate::Drop);
                }
            }
            Some(running) if lane == Lane::Live && running.task == Task::Draw(Lane::Teacher) => {
                // A teacher job that is stale already stays so.
                let fate = if running.fate == Fate::Drop { Fate::Drop } else { Fate::Wait };
                running.end(fate);
            }
            _ => {}
        }
        self.slot_mut(lane).waiting = Some(job);
        ends
    }

    fn stop(&mut self, lane: Lane) -> Vec<Event> {
        let task = Task::Draw(lane);
        if let Some(running) = self.running.as_mut().filter(|running| running.task == task) {
            running.end(Fate::Stop);
        }
        self.slot_mut(lane).waiting.take().map(|job| dropped(job.id, task)).into_iter().collect()
    }

    fn run(&mut self, task: Task, settings: Option<Settings>, cancel: &Cancel) {
        let cancel = cancel.clone();
        self.running = Some(Running { task, settings, begun: Instant::now(), cancel, fate: Fate::Finish });
    }

    fn slot(&self, lane: Lane) -> &Slot {
        match lane {
            Lane::Live => &self.live,
            Lane::Teacher => &self.teacher,
        }
    }

    fn slot_mut(&mut self, lane: Lane) -> &mut Slot {
        match lane {
            Lane::Live => &mut self.live,
            Lane::Teacher => &mut self.teacher,
        }
    }
}

fn dropped(id: JobId, task: Task) -> Event {
    Event::End { id, task, outcome: Outcome::Dropped }
}
