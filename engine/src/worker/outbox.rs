//! Events on their way out: a channel of fixed size that the window's thread never waits for.

use std::mem;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, SendTimeoutError, Sender, TrySendError, bounded};

use super::lock;
use super::queue::{Ended, Task};
use crate::protocol::Event;

/// Events that wait at most. A window takes them all out once per frame; with a picture of 512² in each they hold
/// 48 MiB.
pub(super) const CAPACITY: usize = 64;

pub(super) struct Outbox {
    sender: Sender<Event>,
    /// Ends that found the channel full, at most one per task.
    backlog: Mutex<Vec<(Task, Event)>>,
    closed: AtomicBool,
    wake: Box<dyn Fn() + Send + Sync>,
}

impl Outbox {
    pub(super) fn new(wake: impl Fn() + Send + Sync + 'static) -> (Self, Receiver<Event>) {
        let (sender, receiver) = bounded(CAPACITY);
        let outbox = Self { sender, backlog: Mutex::default(), closed: AtomicBool::new(false), wake: Box::new(wake) };
        (outbox, receiver)
    }

    /// Sends the end of a request that never began. Never waits: if the channel is full, only the latest end of each
    /// task is kept, for [`flush`](Self::flush).
    pub(super) fn offer_end(&self, Ended { task, event }: Ended) {
        let mut backlog = lock(&self.backlog);
        // Behind the backlog, or a merged end would arrive after a later one.
        let event = if backlog.is_empty() {
            match self.sender.try_send(event) {
                Err(TrySendError::Full(event)) => event,
                _ => return,
            }
        } else {
            event
        };
        backlog.retain(|(other, _)| *other != task);
        backlog.push((task, event));
    }

    /// Sends an event that must arrive: waits until there is room, or until the engine closes.
    pub(super) fn send(&self, event: Event) {
        self.flush();
        self.deliver(event);
    }

    /// Sends an event that the next one of its kind makes worthless: skips it if there is no room.
    pub(super) fn send_if_room(&self, event: Event) {
        if self.sender.try_send(event).is_ok() {
            (self.wake)();
        }
    }

    pub(super) fn has_backlog(&self) -> bool {
        !lock(&self.backlog).is_empty()
    }

    /// Sends the backlog, waiting for room.
    pub(super) fn flush(&self) {
        let backlog = mem::take(&mut *lock(&self.backlog));
        for (_, event) in backlog {
            self.deliver(event);
        }
    }

    /// No send waits any more; what finds no room is lost.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
    }

    fn deliver(&self, mut event: Event) {
        loop {
            match self.sender.send_timeout(event, Duration::from_millis(20)) {
                Err(SendTimeoutError::Timeout(back)) if !self.closed.load(Ordering::Relaxed) => {
                    // Whoever sleeps on a full channel is told again that something waits.
                    (self.wake)();
                    event = back;
                }
                _ => break,
            }
        }
        (self.wake)();
    }
}
