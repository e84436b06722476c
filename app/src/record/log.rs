//! The log: lines in a file that never grows beyond [`LARGEST`]; the one before it is kept. Whoever logs waits for
//! nothing: a thread of its own writes. Change how large logs may grow here.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, bounded};
use jiff::Zoned;

/// Bytes after which a new file is begun: some ten thousand lines.
const LARGEST: u64 = 1 << 20;

/// Lines that wait for the disk at most; more are counted, not kept.
const WAITING: usize = 1024;

/// A log and the thread that writes it.
pub(super) struct Log {
    lines: Mutex<Option<Sender<String>>>,
    lost: AtomicU64,
    writer: Mutex<Option<JoinHandle<()>>>,
    /// For what must be on disk before the program is gone.
    path: PathBuf,
}

impl Log {
    /// A log at `path`, after what is there already.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = Rotating::open(path, LARGEST)?;
        let (sender, lines) = bounded(WAITING);
        let writer = std::thread::Builder::new().name("log".to_owned()).spawn(move || write_all(file, &lines))?;
        Ok(Self {
            lines: Mutex::new(Some(sender)),
            lost: AtomicU64::new(0),
            writer: Mutex::new(Some(writer)),
            path: path.to_owned(),
        })
    }

    /// Logs one line; returns at once.
    pub fn line(&self, level: &str, text: &str) {
        let lost = self.lost.swap(0, Ordering::Relaxed);
        let lost = if lost > 0 { format!("({lost} lines were lost before this one) ") } else { String::new() };
        let line = stamped(level, &format!("{lost}{text}"));
        if lock(&self.lines).as_ref().is_some_and(|lines| lines.try_send(line).is_err()) {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Logs one line before it returns: the program may be about to end.
    pub fn line_now(&self, level: &str, text: &str) {
        // A log that cannot be written is nothing to fail over, least of all while something else fails.
        if let Ok(mut file) = OpenOptions::new().append(true).create(true).open(&self.path) {
            let _ = file.write_all(stamped(level, text).as_bytes());
        }
    }

    /// Writes all that waits, and no more from then on.
    pub fn finish(&self) {
        drop(lock(&self.lines).take());
        if let Some(writer) = lock(&self.writer).take() {
            // Where it panicked the log is short of some lines, which is all there is to it.
            let _ = writer.join();
        }
    }
}

/// The last `bytes` of the log from a whole line on, with those of the file before it where they fit.
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

/// A file that gives way to a new one before it grows beyond `largest`.
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

fn write_all(mut file: Rotating, lines: &Receiver<String>) {
    for line in lines {
        // A full disk costs lines, and nothing else.
        let _ = file.write(&line);
    }
}

fn stamped(level: &str, text: &str) -> String {
    // One line each, whatever a file or a system put into it.
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    format!("{} {level:5} {text}\n", Zoned::now().strftime("%Y-%m-%d %H:%M:%S%.3f"))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
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
    fn lines_are_in_order_whole_and_one_each() {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let path = folder.path().join("b.log");
        let log = Log::open(&path).expect("a folder that can be written");
        for number in 0..100 {
            log.line("INFO", &format!("number {number}"));
        }
        log.line("ERROR", "two\nlines\u{1b}[31m");
        log.finish();
        log.line("INFO", "after the end");
        let text = fs::read_to_string(&path).expect("a log");
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 101, "{text}");
        assert!((0..100).all(|number| lines[number].ends_with(&format!(" INFO  number {number}"))), "{text}");
        assert!(lines[100].ends_with(" ERROR two lines [31m"), "{text}");
    }
}
