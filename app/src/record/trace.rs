//! The trace: every span with its thread, beginning and duration, in Chrome's trace event format (a JSON array), which
//! Perfetto (ui.perfetto.dev) and chrome://tracing show. Whoever is traced only sends; a thread of its own writes.
//! Change how events are written in [`Line`].

use std::cell::Cell;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::Context;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use serde_json::{Value, json};

/// Names and values that explain a span.
pub(super) type Values = Vec<(&'static str, Value)>;

/// The target of events that [`mark`] makes.
pub(super) const MARK: &str = "instaflow::mark";

/// Events that wait for the disk at most; more are counted, not kept.
const WAITING: usize = 1 << 16;

/// A program that is killed loses no more than this.
const FLUSH: Duration = Duration::from_millis(500);

/// Puts something that lies between two moments, on no thread in particular, into the trace: from a key to its picture.
/// Several of one name may overlap; `id` tells them apart.
pub fn mark(name: &'static str, began: Instant, id: u64) {
    tracing::info!(target: MARK, name, micros = began.elapsed().as_micros() as u64, id);
}

/// A trace and the thread that writes it.
pub(super) struct Trace {
    began: Instant,
    lines: Mutex<Option<Sender<Line>>>,
    lost: AtomicU64,
    threads: AtomicU64,
    writer: Mutex<Option<JoinHandle<()>>>,
}

/// What is written, as one JSON object each.
enum Line {
    /// The name of a thread.
    Thread(u64, String),
    /// A span: name, thread, beginning and duration in microseconds, values.
    Span(&'static str, u64, f64, f64, Values),
    /// Between two moments: name, number, beginning and end in microseconds.
    Between(String, u64, f64, f64),
}

thread_local! {
    /// This thread's number in the trace; 0 before its first span.
    static NUMBER: Cell<u64> = const { Cell::new(0) };
}

impl Trace {
    /// A new file.
    pub fn create(path: &Path) -> anyhow::Result<Self> {
        let file = File::create_new(path).with_context(|| match path.symlink_metadata() {
            Ok(_) => format!("{} exists already: give --trace another name", path.display()),
            Err(_) => format!("the trace cannot be written to {}", path.display()),
        })?;
        let (sender, lines) = bounded(WAITING);
        let writer = std::thread::Builder::new()
            .name("trace".to_owned())
            .spawn(move || {
                // A full disk costs the rest of the trace, and nothing else.
                let _ = write_all(BufWriter::new(file), &lines);
            })
            .context("the system gives no thread to write the trace")?;
        Ok(Self {
            began: Instant::now(),
            lines: Mutex::new(Some(sender)),
            lost: AtomicU64::new(0),
            threads: AtomicU64::new(0),
            writer: Mutex::new(Some(writer)),
        })
    }

    /// This thread was in a span.
    pub fn span(&self, name: &'static str, began: Instant, ended: Instant, values: Values) {
        let thread = self.thread();
        let duration = ended.saturating_duration_since(began).as_secs_f64() * 1e6;
        self.send(Line::Span(name, thread, self.at(began), duration, values));
    }

    /// [`mark`] was called.
    pub fn marked(&self, values: &Values) {
        let value = |name: &str| values.iter().find(|(other, _)| *other == name).map(|(_, value)| value);
        let number = |name| value(name).and_then(Value::as_u64).unwrap_or_default();
        let name = value("name").and_then(Value::as_str).unwrap_or_default().to_owned();
        let now = self.at(Instant::now());
        self.send(Line::Between(name, number("id"), (now - number("micros") as f64).max(0.0), now));
    }

    /// Writes all that waits, and no more from then on.
    pub fn finish(&self) {
        drop(lock(&self.lines).take());
        if let Some(writer) = lock(&self.writer).take() {
            // Where it panicked the trace is short of its end, and can still be read.
            let _ = writer.join();
        }
        let lost = self.lost.load(Ordering::Relaxed);
        if lost > 0 {
            tracing::warn!(lost, "the disk was too slow for the trace: it lacks some spans");
        }
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
        self.send(Line::Thread(number, name));
        number
    }

    fn send(&self, line: Line) {
        if lock(&self.lines).as_ref().is_some_and(|lines| lines.try_send(line).is_err()) {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Line {
    /// Trace Event Format: "M" names a thread, "X" is a span with its duration, "b" and "e" are the ends of what lies
    /// on no thread. Times are in microseconds.
    fn json(self) -> Vec<Value> {
        match self {
            Self::Thread(thread, name) => {
                vec![json!({ "ph": "M", "name": "thread_name", "pid": 1, "tid": thread, "args": { "name": name } })]
            }
            Self::Span(name, thread, at, duration, values) => {
                let mut span = json!({ "ph": "X", "name": name, "pid": 1, "tid": thread, "ts": at, "dur": duration });
                if !values.is_empty() {
                    span["args"] = values.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
                }
                vec![span]
            }
            Self::Between(name, id, from, to) => {
                let end =
                    |phase, at| json!({ "ph": phase, "cat": "between", "name": name, "id": id, "pid": 1, "ts": at });
                vec![end("b", from), end("e", to)]
            }
        }
    }
}

fn write_all(mut file: impl Write, lines: &Receiver<Line>) -> io::Result<()> {
    let program = concat!("instaflow ", env!("CARGO_PKG_VERSION"));
    write!(file, "[\n{}", json!({ "ph": "M", "name": "process_name", "pid": 1, "args": { "name": program } }))?;
    let mut flushed = Instant::now();
    loop {
        match lines.recv_timeout(FLUSH) {
            Ok(line) => {
                for event in line.json() {
                    write!(file, ",\n{event}")?;
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        if flushed.elapsed() >= FLUSH {
            file.flush()?;
            flushed = Instant::now();
        }
    }
    writeln!(file, "\n]")?;
    file.flush()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::super::recorder::Recorder;
    use super::*;

    #[test]
    fn spans_nest_and_all_is_json() {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let path = folder.path().join("trace.json");
        let trace = std::sync::Arc::new(Trace::create(&path).expect("a folder that can be written"));
        assert!(Trace::create(&path).is_err_and(|error| error.to_string().contains("exists already")));
        let recorder = Recorder { log: None, trace: Some(trace.clone()) };
        tracing::subscriber::with_default(recorder, || {
            for frame in 0..3 {
                let _outer = tracing::info_span!("outer", frame, words = "a \"b\"\n").entered();
                std::thread::sleep(Duration::from_millis(2));
                tracing::info_span!("inner").in_scope(|| std::thread::sleep(Duration::from_millis(1)));
                mark("key to picture", Instant::now(), frame);
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
        assert_eq!(outer[2]["args"]["frame"], 2);
        assert_eq!(outer[2]["args"]["words"], "a \"b\"\n");
        assert_eq!(spans("thread_name").len(), 1);
        let between: Vec<_> = spans("key to picture").iter().map(|event| event["ph"].clone()).collect();
        assert_eq!(between, ["b", "e", "b", "e", "b", "e"]);
    }
}
