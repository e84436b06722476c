//! The engine thread: requests in, events out, and nothing that the window does can make it pile up work.
//!
//! - Each [`Lane`](crate::protocol::Lane) holds one waiting request, the latest; what it replaces ends as `Dropped`.
//! - A live job begins at once on a fast model and after a short debounce on a slow one (see `throttle`).
//! - A request makes a running job of a later lane give way between two network blocks. That job then waits again,
//!   unless a newer one has taken its place, and its picture restarts from the first step once the earlier lanes are
//!   empty. A series continues with the first picture that it still lacks.
//! - Decoding comes right after the live lane and gives way to it alone; nothing gives way to decoding.
//! - A newer request of the same lane abandons the running job between two network blocks, with one exception: a live
//!   job may finish if that costs little (see `throttle`), so that unbroken typing shows pictures all along.
//! - The input of a lane's last pictures is not drawn a second time, except in [`Lane::Batch`] and
//!   [`Lane::Background`].
//! - A panic, an error or a value that is not a number ends the job as `Failed`; the next job works.
//!
//! Events wait in a channel of fixed size. If nobody takes them out, progress is skipped, the ends of requests that
//! were waiting are merged (the latest of each task stands for the earlier ones), and the engine waits with the rest:
//! memory stays flat however long the window is away.
//!
//! [`Lane::Batch`]: crate::protocol::Lane::Batch
//! [`Lane::Background`]: crate::protocol::Lane::Background

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

use crossbeam_channel::Receiver;

use crate::pipeline::Models;
use crate::protocol::{
    Event, Latents, LoadProgress, ModelSummary, OpenRequest, Picture, Request, Settings, Step, TokenCount,
};
use crate::threads::{self, Priority};
use crate::{Cancel, Result};

use outbox::Outbox;
use queue::{Queue, Work};
use token_counter::TokenCounter;

mod outbox;
mod queue;
mod run;
mod throttle;
mod token_counter;

/// Told before each part is loaded.
pub type OnProgress<'a> = dyn FnMut(LoadProgress) + 'a;

/// An open model as the engine's threads see it. [`Models`] is one; tests have others.
pub trait Backend: Send + Sync {
    /// Describes what is open.
    fn summary(&self) -> ModelSummary;

    /// Draws one picture with its latents, on the engine thread. `observer` is called after every step.
    fn draw(&self, settings: &Settings, observer: &mut dyn FnMut(Step), cancel: &Cancel) -> Result<Picture>;

    /// Decodes latents that were drawn before, on the engine thread.
    fn decode(&self, settings: &Settings, latents: &Latents, cancel: &Cancel) -> Result<Picture>;

    /// Counts the tokens of the settings' prompt, on a thread of its own, so that the count never waits for a picture.
    fn count_tokens(&self, settings: &Settings) -> TokenCount;
}

impl Backend for Models {
    fn summary(&self) -> ModelSummary {
        self.summary()
    }

    fn draw(&self, settings: &Settings, observer: &mut dyn FnMut(Step), cancel: &Cancel) -> Result<Picture> {
        let drawn = self.draw(settings, None, observer, cancel)?;
        Ok(Picture { latents: Some(Arc::new(drawn.latents)), ..drawn.picture })
    }

    fn decode(&self, settings: &Settings, latents: &Latents, cancel: &Cancel) -> Result<Picture> {
        self.decode(settings, latents, cancel)
    }

    fn count_tokens(&self, settings: &Settings) -> TokenCount {
        self.count_tokens(settings)
    }
}

/// The engine: two threads and the way to them. Dropping it stops what runs and waits for both threads.
pub struct Engine {
    shared: Arc<Shared>,
    events: Receiver<Event>,
    threads: Vec<JoinHandle<()>>,
}

impl Engine {
    /// Starts the engine with no model open. `wake` is called from its threads whenever an event waits.
    pub fn spawn(wake: impl Fn() + Send + Sync + 'static) -> Self {
        let mut current: Option<Arc<Models>> = None;
        Self::with(wake, move |request, on_progress, cancel| {
            let models = Arc::new(Models::open_reusing(current.as_deref(), request, on_progress, cancel)?);
            current = Some(models.clone());
            Ok(models)
        })
    }

    /// Like [`Engine::spawn`], with another way to open a model.
    pub fn with(
        wake: impl Fn() + Send + Sync + 'static,
        open: impl FnMut(&OpenRequest, &mut OnProgress<'_>, &Cancel) -> Result<Arc<dyn Backend>> + Send + 'static,
    ) -> Self {
        let (outbox, events) = Outbox::new(wake);
        let shared = Arc::new(Shared {
            queue: Mutex::default(),
            changed: Condvar::new(),
            token_counter: TokenCounter::default(),
            outbox,
        });
        let drawing = shared.clone();
        let counting = shared.clone();
        let threads = vec![
            spawn("engine", move || {
                threads::compute_here(Priority::BelowWindow);
                run::run(&drawing, open);
            }),
            spawn("token counter", move || counting.token_counter.run(&counting.outbox)),
        ];
        Self { shared, events, threads }
    }

    /// Hands a request over; returns at once. What this itself ends (replaced and stopped requests that had not begun,
    /// input that is drawn already) is among the [`events`](Self::events) when it returns, without a call of `wake`.
    /// After [`Request::Shutdown`] requests are ignored.
    pub fn send(&self, request: Request) {
        match request {
            Request::CountTokens(settings) => self.shared.token_counter.ask(settings),
            Request::Shutdown => self.shared.close(),
            request => {
                let mut queue = self.shared.queue();
                // Under the queue's lock, so that the ends come in the order of the requests.
                for end in queue.accept(request, Instant::now()) {
                    self.shared.outbox.offer_end(end);
                }
                drop(queue);
                self.shared.changed.notify_one();
            }
        }
    }

    /// Where the events arrive.
    pub fn events(&self) -> &Receiver<Event> {
        &self.events
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.shared.close();
        for thread in self.threads.drain(..) {
            // A thread that panicked has nothing left to wait for.
            let _ = thread.join();
        }
    }
}

/// What the window's thread and the engine's threads share.
struct Shared {
    queue: Mutex<Queue>,
    changed: Condvar,
    token_counter: TokenCounter,
    outbox: Outbox,
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        lock(&self.queue)
    }

    /// The next piece of work, waiting for it; `None` once the engine closes.
    fn next(&self) -> Option<Work> {
        let mut queue = self.queue();
        loop {
            if queue.is_closed() {
                return None;
            }
            let held = match queue.next(Instant::now()) {
                Some(Work::Wait(time)) => Some(time),
                Some(work) => return Some(work),
                None => None,
            };
            if self.outbox.has_backlog() {
                drop(queue);
                self.outbox.flush();
                queue = self.queue();
                continue;
            }
            queue = match held {
                Some(time) => self.changed.wait_timeout(queue, time).unwrap_or_else(PoisonError::into_inner).0,
                None => self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }

    fn close(&self) {
        let ends = self.queue().close();
        for end in ends {
            self.outbox.offer_end(end);
        }
        self.outbox.close();
        self.token_counter.close();
        self.changed.notify_all();
    }
}

/// A thread whose name debuggers and traces show.
fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> JoinHandle<()> {
    let builder = std::thread::Builder::new().name(name.to_owned());
    builder.spawn(work).expect("the system gives a thread, without which nothing works")
}

/// A lock that a panic elsewhere does not take away: the data behind it is replaced as a whole or not at all.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
