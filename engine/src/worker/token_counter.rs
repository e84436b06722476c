//! Counts tokens on a thread of its own, so that the count follows the keyboard even if a picture takes seconds.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use super::outbox::Outbox;
use super::{Backend, lock};
use crate::protocol::{Event, Settings};

/// The latest prompt to count, and the model that counts it.
#[derive(Default)]
pub(super) struct TokenCounter {
    desk: Mutex<Desk>,
    changed: Condvar,
}

#[derive(Default)]
struct Desk {
    /// The prompt to count next, in its settings: the latest that was asked for.
    settings: Option<Box<Settings>>,
    /// The tokenizer's owner; prompts wait until there is one.
    model: Option<Arc<dyn Backend>>,
    closed: bool,
}

impl TokenCounter {
    pub(super) fn ask(&self, settings: Box<Settings>) {
        lock(&self.desk).settings = Some(settings);
        self.changed.notify_one();
    }

    pub(super) fn set_model(&self, model: Arc<dyn Backend>) {
        lock(&self.desk).model = Some(model);
        self.changed.notify_one();
    }

    pub(super) fn close(&self) {
        let mut desk = lock(&self.desk);
        desk.closed = true;
        desk.model = None;
        drop(desk);
        self.changed.notify_one();
    }

    /// The thread's body: answers until [`close`](Self::close).
    pub(super) fn run(&self, outbox: &Outbox) {
        while let Some((settings, model)) = self.next() {
            // A tokenizer that panics costs this count, nothing else.
            if let Ok(count) = catch_unwind(AssertUnwindSafe(|| model.count_tokens(&settings))) {
                outbox.send(Event::Tokens(count));
            }
        }
    }

    fn next(&self) -> Option<(Box<Settings>, Arc<dyn Backend>)> {
        let mut desk = lock(&self.desk);
        loop {
            if desk.closed {
                return None;
            }
            if let Some(model) = desk.model.clone()
                && let Some(settings) = desk.settings.take()
            {
                return Some((settings, model));
            }
            desk = self.changed.wait(desk).unwrap_or_else(PoisonError::into_inner);
        }
    }
}
