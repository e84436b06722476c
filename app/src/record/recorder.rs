//! Who hears what the program says of itself: events go into the log, spans into the trace. Change which of them are
//! kept in [`Recorder::wants`].

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt::{Debug, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
use tracing::{Event, Level, Metadata, Subscriber};

use super::log::Log;
use super::trace::{self, Trace};

/// Hears everything.
pub(super) struct Recorder {
    pub log: Option<Arc<Log>>,
    pub trace: Option<Arc<Trace>>,
}

/// A span that is open somewhere.
struct Open {
    name: &'static str,
    values: trace::Values,
    holders: usize,
}

static NEXT: AtomicU64 = AtomicU64::new(1);
static OPEN: Mutex<Option<HashMap<u64, Open>>> = Mutex::new(None);

thread_local! {
    /// When the spans that this thread is in were entered, outermost first.
    static ENTERED: RefCell<Vec<Instant>> = const { RefCell::new(Vec::new()) };
}

impl Recorder {
    /// Our own spans and events; of other crates what warns.
    fn wants(&self, metadata: &Metadata<'_>) -> bool {
        let ours = is_ours(metadata.target());
        if metadata.is_span() || metadata.target() == trace::MARK {
            self.trace.is_some() && ours
        } else {
            let least = if ours { Level::INFO } else { Level::WARN };
            self.log.is_some() && *metadata.level() <= least
        }
    }
}

impl Subscriber for Recorder {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        // Asked once for each place in the code: what is not wanted costs next to nothing from then on.
        if self.wants(metadata) { Interest::always() } else { Interest::never() }
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.wants(metadata)
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        let mut values = Collected::default();
        span.record(&mut values);
        let name = span.metadata().name();
        open().get_or_insert_default().insert(id, Open { name, values: values.values, holders: 1 });
        Id::from_u64(id)
    }

    fn record(&self, span: &Id, new: &Record<'_>) {
        let mut values = Collected::default();
        new.record(&mut values);
        if let Some(span) = open().as_mut().and_then(|open| open.get_mut(&span.into_u64())) {
            span.values.extend(values.values);
        }
    }

    fn record_follows_from(&self, _span: &Id, _follows: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut said = Collected::default();
        event.record(&mut said);
        if event.metadata().target() == trace::MARK {
            if let Some(trace) = &self.trace {
                trace.marked(&said.values);
            }
        } else if let Some(log) = &self.log {
            let target = event.metadata().target();
            let mut line = if is_ours(target) { said.message } else { format!("{target}: {}", said.message) };
            for (name, value) in said.values {
                let _ = write!(line, "  {name}: {}", value.as_str().map_or_else(|| value.to_string(), str::to_owned));
            }
            log.line(event.metadata().level().as_str(), &line);
        }
    }

    fn enter(&self, _span: &Id) {
        ENTERED.with_borrow_mut(|entered| entered.push(Instant::now()));
    }

    fn exit(&self, span: &Id) {
        let Some(began) = ENTERED.with_borrow_mut(Vec::pop) else { return };
        let Some(trace) = &self.trace else { return };
        if let Some(span) = open().as_ref().and_then(|open| open.get(&span.into_u64())) {
            trace.span(span.name, began, Instant::now(), span.values.clone());
        }
    }

    fn clone_span(&self, span: &Id) -> Id {
        if let Some(span) = open().as_mut().and_then(|open| open.get_mut(&span.into_u64())) {
            span.holders += 1;
        }
        span.clone()
    }

    fn try_close(&self, id: Id) -> bool {
        let mut open = open();
        let Some(all) = open.as_mut() else { return false };
        let last = all.get_mut(&id.into_u64()).is_some_and(|span| {
            span.holders -= 1;
            span.holders == 0
        });
        if last {
            all.remove(&id.into_u64());
        }
        last
    }
}

/// Whether this program says it, and not a crate that it uses.
fn is_ours(target: &str) -> bool {
    target.starts_with("instaflow")
}

fn open() -> MutexGuard<'static, Option<HashMap<u64, Open>>> {
    OPEN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What was said: the message, and the values beside it.
#[derive(Default)]
struct Collected {
    message: String,
    values: trace::Values,
}

impl Collected {
    fn put(&mut self, field: &Field, value: serde_json::Value) {
        self.values.push((field.name(), value));
    }
}

impl Visit for Collected {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let text = format!("{value:?}");
        if field.name() == "message" {
            self.message = text;
        } else {
            self.put(field, text.into());
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value.into());
    }
}

/// What other crates say through `log`, where it warns: graphics drivers, the window system.
struct OtherCrates(Arc<Log>);

/// Puts it into the log from now on.
pub(super) fn forward_other_crates(log: Arc<Log>) {
    // Somebody else who listens already keeps that.
    if ::log::set_boxed_logger(Box::new(OtherCrates(log))).is_ok() {
        ::log::set_max_level(::log::LevelFilter::Warn);
    }
}

impl ::log::Log for OtherCrates {
    fn enabled(&self, metadata: &::log::Metadata<'_>) -> bool {
        metadata.level() <= ::log::Level::Warn
    }

    fn log(&self, record: &::log::Record<'_>) {
        if self.enabled(record.metadata()) {
            self.0.line(record.level().as_str(), &format!("{}: {}", record.target(), record.args()));
        }
    }

    fn flush(&self) {}
}
