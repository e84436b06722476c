//! The log: one line for each event, in a file of at most [`LARGEST`] bytes; the file before it is kept. Prompts do not
//! belong in it. Change what is logged in [`wants`]. (Rotation is done here: `tracing-appender` rotates by date, and
//! `file-rotate` cuts lines in two or lets the file grow beyond its limit.)

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crossbeam_channel::Receiver;
use jiff::Zoned;
use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::layer::Layer;
use tracing_subscriber::registry::LookupSpan;

use super::queue::Queue;
use super::{is_ours, trace};

/// Bytes after which a new file is begun: some ten thousand lines.
const LARGEST: u64 = 1 << 20;

/// How many lines wait for the disk at most.
const WAITING: usize = 1024;

/// A log and the thread that writes it.
pub(super) struct Log {
    lines: Queue<String>,
    /// For what must be on disk before the program is gone.
    path: PathBuf,
}

/// What puts events into the log.
pub(super) fn layer<S: Subscriber + for<'a> LookupSpan<'a>>(log: Arc<Log>) -> impl Layer<S> {
    tracing_subscriber::fmt::layer()
        .with_ansi(false)
        .with_timer(LocalTime)
        .with_writer(log)
        .with_filter(filter_fn(wants))
}

/// Our own events, and warnings of other crates.
fn wants(metadata: &Metadata<'_>) -> bool {
    let least = if is_ours(metadata.target()) { Level::INFO } else { Level::WARN };
    metadata.is_event() && metadata.target() != trace::MARK && *metadata.level() <= least
}

impl Log {
    /// A log at `path`, after what is there already.
    pub fn open(path: &Path) -> io::Result<Self> {
        let mut file = Rotating::open(path, LARGEST)?;
        let lines = Queue::start("log", WAITING, move |lines: Receiver<String>| {
            for line in &lines {
                // A full disk costs lines, and nothing else.
                let _ = file.write(&line);
            }
        })?;
        Ok(Self { lines, path: path.to_owned() })
    }

    /// Logs an error before it returns: the program may be about to end.
    pub fn error_now(&self, text: &str) {
        // If the log cannot be written, that is no reason to fail, least of all while something else fails.
        if let Ok(mut file) = OpenOptions::new().append(true).create(true).open(&self.path) {
            let _ = file.write_all(one_line(&format!("{} ERROR {text}", now())).as_bytes());
        }
    }

    /// Writes all that waits, and nothing from then on.
    pub fn finish(&self) {
        let lost = self.lines.take_lost();
        self.lines.finish((lost > 0).then(|| lost_lines(lost)));
    }
}

/// Takes one event at a time, as the layer writes them; returns at once.
impl Write for &Log {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let lost = self.lines.take_lost();
        let before = if lost > 0 { lost_lines(lost) } else { String::new() };
        if !self.lines.send(before + &one_line(&String::from_utf8_lossy(event))) {
            self.lines.still_lost(lost);
        }
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct LocalTime;

impl FormatTime for LocalTime {
    fn format_time(&self, to: &mut Writer<'_>) -> fmt::Result {
        to.write_str(&now())
    }
}

fn now() -> String {
    Zoned::now().strftime("%Y-%m-%d %H:%M:%S%.3f").to_string()
}

/// Text as one line, whatever a file or a system has put into it.
fn one_line(text: &str) -> String {
    let mut line: String = text.trim_end().chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    line.push('\n');
    line
}

fn lost_lines(count: u64) -> String {
    format!("{}  WARN {count} lines are missing here: the disk was too slow\n", now())
}

/// The last `bytes` of the log from a whole line on, with those of the file before it as far as they fit.
pub fn tail(path: &Path, bytes: u64) -> io::Result<String> {
    let now = read_end(path, bytes)?;
    let room = bytes.saturating_sub(now.len() as u64);
    let before = if room > 0 { read_end(&before(path), room).unwrap_or_default() } else { String::new() };
    Ok(before + &now)
}

fn read_end(path: &Path, bytes: u64) -> io::Result<String> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    let skipped = length.saturating_sub(bytes);
    file.seek(SeekFrom::Start(skipped))?;
    let mut end = Vec::new();
    file.take(bytes).read_to_end(&mut end)?;
    let end = String::from_utf8_lossy(&end);
    let whole = if skipped > 0 { end.split_once('\n').map_or("", |(_, rest)| rest) } else { &end };
    Ok(whole.to_owned())
}

/// A file that is replaced by a new one before it grows beyond `largest`.
struct Rotating {
    path: PathBuf,
    file: File,
    length: u64,
    largest: u64,
}

impl Rotating {
    fn open(path: &Path, largest: u64) -> io::Result<Self> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let file = OpenOptions::new().append(true).create(true).open(path)?;
        let length = file.metadata()?.len();
        Ok(Self { path: path.to_owned(), file, length, largest })
    }

    fn write(&mut self, line: &str) -> io::Result<()> {
        if self.length > 0 && self.length + line.len() as u64 > self.largest {
            fs::rename(&self.path, before(&self.path))?;
            *self = Self::open(&self.path, self.largest)?;
        }
        self.file.write_all(line.as_bytes())?;
        self.length += line.len() as u64;
        Ok(())
    }
}

/// Where the log before this one is kept.
fn before(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".1");
    name.into()
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    #[test]
    fn a_log_gives_way_before_it_is_too_large_and_one_is_kept() {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let path = folder.path().join("state").join("a.log");
        let mut log = Rotating::open(&path, 100).expect("a folder that can be written");
        for number in 0..30 {
            log.write(&format!("line {number:02}\n")).expect("a disk with room");
            assert!(fs::metadata(&path).expect("a log").len() <= 100, "after line {number}");
        }
        let mut files: Vec<_> = fs::read_dir(path.parent().expect("a folder")).expect("a folder").flatten().collect();
        files.sort_by_key(fs::DirEntry::file_name);
        let names: Vec<_> = files.iter().map(|file| file.file_name().into_string().expect("ASCII")).collect();
        assert_eq!(names, ["a.log", "a.log.1"]);
        // 12 lines of 8 bytes fit into 100: the files hold lines 24 to 29, and 12 to 23.
        let text = |name| fs::read_to_string(path.with_file_name(name)).expect("a log");
        assert!(text("a.log").starts_with("line 24") && text("a.log").ends_with("line 29\n"));
        assert!(text("a.log.1").starts_with("line 12") && text("a.log.1").ends_with("line 23\n"));

        assert_eq!(tail(&path, 1000).expect("both"), text("a.log.1") + &text("a.log"));
        assert_eq!(tail(&path, 20).expect("an end"), "line 28\nline 29\n", "from a whole line on");
    }

    #[test]
    fn events_are_in_order_whole_and_one_line_each() {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let path = folder.path().join("b.log");
        let log = Arc::new(Log::open(&path).expect("a folder that can be written"));
        let events = |first| {
            for number in first..first + 100 {
                tracing::info!(number, "event");
            }
        };
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer(log.clone())), || {
            let _span = tracing::info_span!("prompts are not logged, nor are spans", prompt = "secret").entered();
            events(0);
            tracing::debug!("too small");
            tracing::info!(target: "another", "too small for another crate");
            tracing::warn!(target: "another", cause = ?"a \"b\"", "two\nlines\u{1b}[31m\u{9b}");
            trace::mark("key to picture", std::time::Instant::now(), 1);
            log.error_now("a panic\nin the middle");
            log.finish();
            tracing::info!("after the end");
        });
        let text = fs::read_to_string(&path).expect("a log");
        assert!(!text.contains("secret") && !text.contains("small") && !text.contains("key to"), "{text}");
        let mut lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 102, "{text}");
        // The panic did not wait for its turn.
        let panic = lines.iter().position(|line| line.ends_with(" ERROR a panic in the middle")).expect("a line");
        lines.remove(panic);
        let target = module_path!();
        for (number, line) in lines[..100].iter().enumerate() {
            assert_eq!(line.get(23..), Some(format!("  INFO {target}: event number={number}").as_str()), "{text}");
        }
        assert!(lines[100].contains("  WARN another: two lines"), "{text}");
        assert!(lines[100].ends_with("cause=\"a \\\"b\\\"\"") && !lines[100].contains(char::is_control), "{text}");
    }

    #[test]
    fn lines_that_found_no_room_are_counted_in_the_log() {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let path = folder.path().join("c.log");
        let (go, wait) = crossbeam_channel::bounded::<()>(0);
        let mut file = Rotating::open(&path, LARGEST).expect("a folder that can be written");
        let lines = Queue::start("test", 2, move |lines| {
            wait.recv().ok();
            lines.iter().for_each(|line: String| file.write(&line).expect("a disk with room"));
        });
        let log = Log { lines: lines.expect("a thread"), path: path.clone() };
        for number in 0..5 {
            (&log).write_all(format!("line {number}\n").as_bytes()).expect("it returns at once");
        }
        drop(go);
        log.finish();
        let text = fs::read_to_string(&path).expect("a log");
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[..2], ["line 0", "line 1"]);
        assert!(
            lines.len() == 3 && lines[2].ends_with("  WARN 3 lines are missing here: the disk was too slow"),
            "{text}"
        );
    }
}
