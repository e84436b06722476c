//! The trace: every span with its thread, beginning and duration, in Chrome's trace event format (a JSON array), which
//! Perfetto (ui.perfetto.dev) and chrome://tracing show. Change how events are written in [`Line`]. (The crate
//! `tracing-chrome` lacks what lies between two moments, writes every value as text, queues without a bound, and loses
//! the end of the file when the program is killed.)

use std::cell::{Cell, RefCell};
use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use crossbeam_channel::Receiver;
use serde_json::{Map, Value, json};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};
use tracing_serde::fields::AsMap;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::{Context, Layer};
use tracing_subscriber::registry::LookupSpan;

use super::is_ours;
use super::queue::Queue;

/// Names and values that explain a span.
type Values = Map<String, Value>;

/// The target of events that [`mark`] makes.
pub(super) const MARK: &str = "instaflow::mark";

/// How many events wait for the disk at most.
const WAITING: usize = 1 << 16;

/// How much of its end the trace of a program that is killed may lack.
const FLUSH: Duration = Duration::from_millis(500);

/// What ends the file; the next events overwrite it, so that the file is valid whenever the program ends.
const END: &str = "\n]\n";

/// Puts something that lies between two moments, on no thread in particular, into the trace: from a key to its picture.
/// Several of one name may overlap; `id` tells them apart.
pub fn mark(name: &'static str, began: Instant, id: u64) {
    tracing::info!(target: MARK, name, micros = began.elapsed().as_micros() as u64, id);
}

/// A trace and the thread that writes it.
pub(super) struct Trace {
    began: Instant,
    lines: Queue<Line>,
    threads: AtomicU64,
}

/// What is written, as one JSON object or two.
enum Line {
    /// The name of a thread.
    Thread(u64, String),
    /// A span: name, thread, beginning and duration in microseconds, values.
    Span(&'static str, u64, f64, f64, Values),
    /// Between two moments: name, number, beginning and end in microseconds.
    Between(String, u64, f64, f64),
    /// How many events found no room, up to a moment in microseconds.
    Lost(u64, f64),
}

/// What puts spans and marks into the trace.
pub(super) fn layer<S: Subscriber + for<'a> LookupSpan<'a>>(trace: Arc<Trace>) -> impl Layer<S> {
    Spans(trace).with_filter(filter_fn(wants))
}

/// Our own spans, and marks.
fn wants(metadata: &Metadata<'_>) -> bool {
    is_ours(metadata.target()) && (metadata.is_span() || metadata.target() == MARK)
}

thread_local! {
    /// This thread's number in the trace; 0 before its first span.
    static NUMBER: Cell<u64> = const { Cell::new(0) };

    /// When the spans that this thread is in were entered, outermost first.
    static ENTERED: RefCell<Vec<Instant>> = const { RefCell::new(Vec::new()) };
}

struct Spans(Arc<Trace>);

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Spans {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        if let Some(span) = context.span(id) {
            span.extensions_mut().insert(values(&attributes.field_map()));
        }
    }

    fn on_record(&self, id: &Id, more: &Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        if let Some(known) = span.extensions_mut().get_mut::<Values>() {
            known.extend(values(&more.field_map()));
        }
    }

    fn on_enter(&self, _id: &Id, _context: Context<'_, S>) {
        ENTERED.with_borrow_mut(|entered| entered.push(Instant::now()));
    }

    fn on_exit(&self, id: &Id, context: Context<'_, S>) {
        let Some(began) = ENTERED.with_borrow_mut(Vec::pop) else { return };
        if let Some(span) = context.span(id) {
            let values = span.extensions().get::<Values>().cloned().unwrap_or_default();
            self.0.span(span.name(), began, Instant::now(), values);
        }
    }

    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        self.0.marked(&values(&event.field_map()));
    }
}

fn values(fields: &impl serde::Serialize) -> Values {
    match serde_json::to_value(fields) {
        Ok(Value::Object(values)) => values,
        _ => Values::new(),
    }
}

impl Trace {
    /// A new file.
    pub fn create(path: &Path) -> anyhow::Result<Self> {
        let file = File::create_new(path).with_context(|| match path.symlink_metadata() {
            Ok(_) => format!("{} already exists: give --trace another name", path.display()),
            Err(_) => format!("the trace cannot be written to {}", path.display()),
        })?;
        let lines = Queue::start("trace", WAITING, move |lines| {
            // A full disk costs the rest of the trace, and nothing else.
            let _ = write_all(file, &lines);
        });
        let lines = lines.context("no thread could be started to write the trace")?;
        Ok(Self { began: Instant::now(), lines, threads: AtomicU64::new(0) })
    }

    /// This thread was in a span.
    fn span(&self, name: &'static str, began: Instant, ended: Instant, values: Values) {
        let thread = self.thread();
        let duration = ended.saturating_duration_since(began).as_secs_f64() * 1e6;
        self.lines.send(Line::Span(name, thread, self.at(began), duration, values));
    }

    /// [`mark`] was called.
    fn marked(&self, values: &Values) {
        let number = |name| values.get(name).and_then(Value::as_u64).unwrap_or_default();
        let name = values.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
        let now = self.at(Instant::now());
        self.lines.send(Line::Between(name, number("id"), (now - number("micros") as f64).max(0.0), now));
    }

    /// Writes all that waits, and nothing from then on.
    pub fn finish(&self) {
        let lost = self.lines.take_lost();
        self.lines.finish((lost > 0).then(|| Line::Lost(lost, self.at(Instant::now()))));
    }

    fn at(&self, moment: Instant) -> f64 {
        moment.saturating_duration_since(self.began).as_secs_f64() * 1e6
    }

    fn thread(&self) -> u64 {
        let known = NUMBER.get();
        if known > 0 {
            return known;
        }
        let number = self.threads.fetch_add(1, Ordering::Relaxed) + 1;
        NUMBER.set(number);
        let name = std::thread::current().name().map_or_else(|| format!("thread {number}"), str::to_owned);
        self.lines.send(Line::Thread(number, name));
        number
    }
}

impl Line {
    /// Trace Event Format: "M" names a thread, "X" is a span with its duration, "b" and "e" are the ends of what lies
    /// on no thread, "i" is a moment. Times are in microseconds.
    fn json(self) -> Vec<Value> {
        match self {
            Self::Thread(thread, name) => {
                vec![json!({ "ph": "M", "name": "thread_name", "pid": 1, "tid": thread, "args": { "name": name } })]
            }
            Self::Span(name, thread, at, duration, values) => {
                let mut span = json!({ "ph": "X", "name": name, "pid": 1, "tid": thread, "ts": at, "dur": duration });
                if !values.is_empty() {
                    span["args"] = values.into();
                }
                vec![span]
            }
            Self::Between(name, id, from, to) => {
                let end =
                    |phase, at| json!({ "ph": phase, "cat": "between", "name": name, "id": id, "pid": 1, "ts": at });
                vec![end("b", from), end("e", to)]
            }
            Self::Lost(count, at) => {
                let name = format!("{count} events are missing: the disk was too slow");
                vec![json!({ "ph": "i", "s": "g", "name": name, "pid": 1, "tid": 0, "ts": at })]
            }
        }
    }
}

fn write_all(mut file: File, lines: &Receiver<Line>) -> io::Result<()> {
    let program = concat!("instaflow ", env!("CARGO_PKG_VERSION"));
    let first = json!({ "ph": "M", "name": "process_name", "pid": 1, "args": { "name": program } });
    file.write_all(format!("[\n{first}{END}").as_bytes())?;
    for line in lines {
        let mut text = String::new();
        let due = Instant::now() + FLUSH;
        let mut next = Some(line);
        while let Some(line) = next {
            for event in line.json() {
                text.push_str(",\n");
                text.push_str(&event.to_string());
            }
            next = lines.recv_deadline(due).ok();
        }
        text.push_str(END);
        // One write: a program that is killed leaves the file as it was before or as it is after.
        file.seek(SeekFrom::End(-(END.len() as i64)))?;
        file.write_all(text.as_bytes())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    #[test]
    fn spans_nest_and_all_is_json() {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let path = folder.path().join("trace.json");
        let trace = Arc::new(Trace::create(&path).expect("a folder that can be written"));
        assert!(Trace::create(&path).is_err_and(|error| error.to_string().contains("already exists")));
        let recorder = tracing_subscriber::registry().with(layer(trace.clone()));
        tracing::subscriber::with_default(recorder, || {
            for frame in 0..3 {
                let outer = tracing::info_span!("outer", frame, words = "a \"b\"\n", later = tracing::field::Empty);
                let _entered = outer.enter();
                std::thread::sleep(Duration::from_millis(2));
                tracing::info_span!("inner").in_scope(|| std::thread::sleep(Duration::from_millis(1)));
                mark("key to picture", Instant::now(), frame);
                outer.record("later", 0.5);
                tracing::info!("events are the log's business");
            }
        });
        trace.finish();

        let text = std::fs::read_to_string(&path).expect("a trace");
        let events: Vec<Value> = serde_json::from_str(&text).expect("JSON");
        let spans = |name: &str| events.iter().filter(|event| event["name"] == name).cloned().collect::<Vec<_>>();
        let (outer, inner) = (spans("outer"), spans("inner"));
        assert_eq!((outer.len(), inner.len()), (3, 3), "{text}");
        let ends = |event: &Value| {
            let begins = event["ts"].as_f64().expect("a number");
            (begins, begins + event["dur"].as_f64().expect("a number"))
        };
        for (outer, inner) in outer.iter().zip(&inner) {
            assert!(ends(outer).0 <= ends(inner).0 && ends(inner).1 <= ends(outer).1, "{text}");
            assert!(inner["dur"].as_f64() >= Some(1000.0) && outer["dur"].as_f64() >= Some(3000.0), "{text}");
            assert_eq!(outer["tid"], inner["tid"]);
        }
        assert_eq!(outer[2]["args"], json!({ "frame": 2, "words": "a \"b\"\n", "later": 0.5 }));
        assert!(!text.contains("business"), "{text}");
        assert_eq!(spans("thread_name").len(), 1);
        let between: Vec<_> = spans("key to picture").iter().map(|event| event["ph"].clone()).collect();
        assert_eq!(between, ["b", "e", "b", "e", "b", "e"]);
    }

    #[test]
    fn the_file_is_valid_before_its_end_and_says_what_it_lacks() {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let path = folder.path().join("trace.json");
        let trace = Trace::create(&path).expect("a folder that can be written");
        let read = || serde_json::from_str::<Vec<Value>>(&std::fs::read_to_string(&path).expect("a trace"));
        let began = Instant::now();
        for count in 1..4 {
            trace.span("work", began, Instant::now(), Values::new());
            // The name of the process, the name of the thread, and the spans so far.
            while read().ok().is_none_or(|events| events.len() < 2 + count) {
                assert!(began.elapsed() < Duration::from_secs(30), "the file is not valid, or the span is not in it");
                std::thread::sleep(Duration::from_millis(10));
            }
        }
        trace.lines.still_lost(7);
        trace.finish();
        let last = read().expect("JSON").pop().expect("events");
        assert_eq!(last["name"], "7 events are missing: the disk was too slow");
    }
}
