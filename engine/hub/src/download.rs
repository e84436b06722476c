//! A whole download: several files at once, what is told of it, and the names that the files get in the end. A snapshot
//! appears when all of its files are there, so a model is never half there for those who look it up.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};
use std::{fs, io};

use crate::blob::{self, Job, Told};
use crate::client::Client;
use crate::licence::Acceptances;
use crate::plan::{Plan, PlannedPiece};
use crate::progress::{Meter, Progress};
use crate::{Cache, Error, Found, Hub, Result, Stop};

/// How often progress is told.
const TICK: Duration = Duration::from_millis(200);

/// Room that is left to other programs.
const SPARE: u64 = 64 << 20;

/// What happens during a download.
#[derive(Clone, Debug)]
pub enum Event {
    /// It begins.
    Begin {
        /// How many files are not here yet.
        files: usize,
        /// Their bytes, of which some may be here.
        bytes: u64,
    },
    /// How far it is; told a few times a second.
    Progress(Progress),
    /// A file is here, whole and with the right hash.
    Arrived {
        /// Its path in the repository.
        file: String,
    },
    /// It waits.
    Waiting(Wait),
}

/// Why a download waits.
#[derive(Clone, Debug, PartialEq)]
pub enum Wait {
    /// The connection broke off; it tries again.
    Again {
        /// What was on its way.
        file: String,
        /// How it broke off.
        why: String,
        /// For how long.
        seconds: f64,
    },
    /// The hub gets too many requests and asks to wait.
    RateLimited {
        /// For how long.
        seconds: f64,
    },
    /// Another program fetches the same file.
    OtherProgram {
        /// Which file.
        file: String,
    },
}

impl std::fmt::Display for Wait {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Again { file, why, seconds } => {
                write!(
                    f,
                    "the connection broke off while {file} was on its way ({why}): trying again in {seconds:.0} s"
                )
            }
            Self::RateLimited { seconds } => write!(f, "the hub gets too many requests: waiting for {seconds:.0} s"),
            Self::OtherProgram { file } => write!(f, "another program fetches {file}: waiting for it"),
        }
    }
}

/// From the threads that fetch to the one that tells.
enum Message<'a> {
    Told(Told),
    Arrived(&'a str),
}

impl Hub {
    /// Fetches what a plan lacks and says where its pieces are. Blocks; `on` is called on this thread, a few times a
    /// second. What has arrived stays after any error and after a stop, and the next download continues it.
    pub fn download(
        &self,
        plan: &Plan,
        acceptances: &Acceptances,
        stop: &Stop,
        on: &mut dyn FnMut(Event),
    ) -> Result<Vec<Found>> {
        if !plan.is_complete() && !acceptances.have_all(&plan.licences) {
            return Err(Error::Licence(plan.id.clone()));
        }
        let jobs = jobs(plan);
        self.check_room(plan, &jobs)?;
        if !jobs.is_empty() {
            on(Event::Begin { files: jobs.len(), bytes: jobs.iter().map(|job| job.bytes).sum() });
            self.fetch(&jobs, stop, on)?;
        }
        let mut found = Vec::new();
        for piece in &plan.pieces {
            stop.check()?;
            found.push(publish(&self.cache, piece)?);
        }
        Ok(found)
    }

    /// Refuses what will not fit, before anything is fetched.
    fn check_room(&self, plan: &Plan, jobs: &[Job<'_>]) -> Result<()> {
        let needed = plan.bytes_to_fetch();
        if jobs.is_empty() || needed == 0 {
            return Ok(());
        }
        let folder = self.cache.folder();
        let existing = folder.ancestors().find(|folder| folder.is_dir()).unwrap_or(Path::new("."));
        // Where this cannot be known, it turns out during the download.
        let Ok(free) = self.free_space(existing) else { return Ok(()) };
        if needed.saturating_add(SPARE) > free {
            return Err(Error::DiskFull { folder: folder.to_owned(), needed, free });
        }
        Ok(())
    }

    #[cfg(not(test))]
    #[expect(clippy::unused_self, reason = "tests have another")]
    fn free_space(&self, folder: &Path) -> io::Result<u64> {
        fs4::available_space(folder)
    }

    #[cfg(test)]
    fn free_space(&self, folder: &Path) -> io::Result<u64> {
        self.free.map_or_else(|| fs4::available_space(folder), Ok)
    }

    fn fetch(&self, jobs: &[Job<'_>], stop: &Stop, on: &mut dyn FnMut(Event)) -> Result<()> {
        // Whoever fails first stops the others.
        let together = Stop::default();
        let others = together.clone();
        stop.on_stop(move || others.stop());
        let client = Client::new(&self.environment, self.patience, &together)?;
        let (sender, messages) = mpsc::channel();
        let next = AtomicUsize::new(0);
        let mut meter = Meter::new(jobs.iter().map(|job| job.bytes).sum(), Instant::now());
        let mut failure = None;
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..self.patience.at_once.clamp(1, 8).min(jobs.len()))
                .map(|_| {
                    let (client, together, next, sender) = (&client, &together, &next, sender.clone());
                    scope.spawn(move || {
                        while let Some(job) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
                            let tell = |told| drop(sender.send(Message::Told(told)));
                            let fetched =
                                together.check().and_then(|()| blob::fetch(client, &self.cache, *job, together, &tell));
                            if fetched.is_err() {
                                together.stop();
                                return fetched;
                            }
                            let _ = sender.send(Message::Arrived(job.path));
                        }
                        Ok(())
                    })
                })
                .collect();
            drop(sender);
            let mut told = Instant::now();
            loop {
                match messages.recv_timeout(TICK) {
                    Ok(Message::Told(Told::Fetched(bytes))) => meter.fetched(bytes, Instant::now()),
                    Ok(Message::Told(Told::Found(bytes))) => meter.found(bytes),
                    Ok(Message::Told(Told::Waiting(wait))) => on(Event::Waiting(wait)),
                    Ok(Message::Arrived(file)) => on(Event::Arrived { file: file.to_owned() }),
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => break,
                }
                let now = Instant::now();
                if now - told >= TICK {
                    told = now;
                    on(Event::Progress(meter.progress(now)));
                }
            }
            on(Event::Progress(meter.progress(Instant::now())));
            for thread in threads {
                // A panic is an error of this program, and goes on in this thread.
                let outcome = thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
                // What failed, not what was stopped because of it.
                if let (Err(error), None | Some(Error::Stopped)) = (outcome, &failure) {
                    failure = Some(error);
                }
            }
        });
        failure.map_or(Ok(()), Err)
    }
}

/// What must be fetched: each content once, large files first, so that no thread is left with one at the end.
fn jobs(plan: &Plan) -> Vec<Job<'_>> {
    let mut jobs: Vec<Job<'_>> = Vec::new();
    for piece in &plan.pieces {
        for file in &piece.files {
            let known = |job: &Job<'_>| job.etag == file.etag && job.etag.len() == 64 && job.bytes == file.bytes;
            let twice = |job: &Job<'_>| job.repository == &piece.repository && job.etag == file.etag;
            if !file.whole && !jobs.iter().any(|job| known(job) || twice(job)) {
                jobs.push(Job {
                    repository: &piece.repository,
                    commit: &piece.commit,
                    path: &file.path,
                    etag: &file.etag,
                    bytes: file.bytes,
                });
            }
        }
    }
    jobs.sort_by_key(|job| std::cmp::Reverse(job.bytes));
    jobs
}

/// Gives the files of a piece their names, now that all are here, and notes which commit its branch has.
fn publish(cache: &Cache, piece: &PlannedPiece) -> Result<Found> {
    let repository = cache.repository(&piece.repository);
    let blobs = repository.join("blobs");
    for file in &piece.files {
        let is_whole = |path: &Path| path.metadata().is_ok_and(|it| it.is_file() && it.len() == file.bytes);
        let blob = blobs.join(&file.etag);
        if !is_whole(&blob) {
            // Where there are no links, a snapshot has the files themselves.
            if is_whole(&repository.join("snapshots").join(&piece.commit).join(&file.path)) {
                continue;
            }
            let Some(same) = cache.same_blob(&file.etag, file.bytes) else {
                let why = format!("lost {} during the download: start it again", file.path);
                return Err(Error::Unusable { repository: piece.repository.to_string(), why });
            };
            blob::make_folder(&blobs)?;
            blob::place_same(&same, &blob)?;
        }
        blob::link(&repository, &piece.commit, &file.path, &file.etag)?;
    }
    if piece.revision != piece.commit {
        let note = repository.join("refs").join(&piece.revision);
        let failed = |source| Error::file("cannot write", &note, source);
        let folder = note.parent().unwrap_or(&repository);
        blob::make_folder(folder)?;
        let mut beside = tempfile::NamedTempFile::new_in(folder).map_err(failed)?;
        io::Write::write_all(&mut beside, piece.commit.as_bytes()).map_err(failed)?;
        readable(beside.path()).map_err(failed)?;
        beside.persist(&note).map_err(|error| failed(error.error))?;
    }
    let folder = repository.join("snapshots").join(&piece.commit);
    let path = match piece.files.as_slice() {
        [only] => folder.join(&only.path),
        _ => folder,
    };
    Ok(Found { role: piece.role, path })
}

/// Temporary files are private; the cache is for all programs of whoever may read its folder.
fn readable(path: &Path) -> io::Result<()> {
    #[cfg(unix)]
    fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o644))?;
    #[cfg(not(unix))]
    let _ = fs::metadata(path)?;
    Ok(())
}
