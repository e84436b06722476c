//! One file from the hub into the cache: it grows as `ETAG.incomplete`, which a later try continues, and gets its name
//! when all of it is there and its hash is right. A lock keeps other programs of the hub away from the same file.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::client::{About, Client, Failure, Tries, header, odd};
use crate::download::Wait;
use crate::hash::Hash;
use crate::{Cache, Error, RepositoryId, Result, Stop};

/// Bytes that are read and written at once.
const CHUNK: usize = 1 << 18;

/// How often a lock that another program holds is tried.
const LOCK_PAUSE: Duration = Duration::from_millis(200);

/// What a file's download tells of itself.
pub(crate) enum Told {
    /// Bytes that came over the network.
    Fetched(u64),
    /// Bytes that were here already, or that were thrown away (negative).
    Found(i64),
    /// Something is waited for.
    Waiting(Wait),
}

/// One file to fetch.
#[derive(Clone, Copy)]
pub(crate) struct Job<'a> {
    pub repository: &'a RepositoryId,
    pub commit: &'a str,
    pub path: &'a str,
    pub etag: &'a str,
    pub bytes: u64,
}

/// Brings a blob into the cache, unless it is there.
pub(crate) fn fetch(client: &Client, cache: &Cache, job: Job<'_>, stop: &Stop, tell: &dyn Fn(Told)) -> Result<()> {
    let folder = cache.repository(job.repository);
    let blob = folder.join("blobs").join(job.etag);
    let beside = folder.join("blobs").join(format!("{}.incomplete", job.etag));
    make_folder(&folder.join("blobs"))?;
    let _lock = lock(cache, job, stop, tell)?;
    let is_whole = |path: &Path| path.metadata().is_ok_and(|found| found.is_file() && found.len() == job.bytes);
    if is_whole(&blob) {
        // Another program was faster. What it did not use is of no use any more.
        let _ = fs::remove_file(&beside);
        tell(Told::Found(job.bytes as i64));
        return Ok(());
    }
    if let Some(same) = cache.same_blob(job.etag, job.bytes) {
        place_same(&same, &blob)?;
        let _ = fs::remove_file(&beside);
        tell(Told::Found(job.bytes as i64));
        return Ok(());
    }
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&beside);
    let mut growing = Growing {
        file: file.map_err(|source| Error::file("cannot write", &beside, source))?,
        hash: Hash::new(job.etag, job.bytes),
        length: 0,
        path: &beside,
        job,
        tell,
    };
    let continued = growing.take_up()?;
    let mut outcome = growing.fill(client, stop).and_then(|()| growing.check());
    if continued && matches!(outcome, Err(Error::Hash { .. })) {
        // The part from an earlier try may be to blame: once more from the beginning.
        outcome = growing.restart().and_then(|()| growing.fill(client, stop)).and_then(|()| growing.check());
    }
    let path = growing.path;
    let synced = growing.file.sync_all();
    drop(growing);
    match outcome {
        Ok(()) => {
            synced.map_err(|source| Error::file("cannot write", path, source))?;
            fs::rename(path, &blob).map_err(|source| Error::file("cannot write", &blob, source))
        }
        Err(error @ Error::Hash { .. }) => {
            let _ = fs::remove_file(path);
            Err(error)
        }
        Err(error) => Err(error),
    }
}

/// A file that is on its way.
struct Growing<'a> {
    file: File,
    hash: Hash,
    length: u64,
    path: &'a Path,
    job: Job<'a>,
    tell: &'a dyn Fn(Told),
}

impl Growing<'_> {
    /// Takes up what an earlier try left; says whether there was anything.
    fn take_up(&mut self) -> Result<bool> {
        if !self.file.metadata().is_ok_and(|metadata| metadata.is_file()) {
            return Ok(false);
        }
        let mut chunk = vec![0; CHUNK];
        loop {
            match self.file.read(&mut chunk) {
                Ok(0) => break,
                Ok(read) => {
                    self.hash.update(&chunk[..read]);
                    self.length += read as u64;
                    (self.tell)(Told::Found(read as i64));
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(source) => return Err(Error::file("cannot read", self.path, source)),
            }
            if self.length > self.job.bytes {
                self.restart()?;
                return Ok(false);
            }
        }
        Ok(self.length > 0)
    }

    /// Throws away what is there.
    fn restart(&mut self) -> Result<()> {
        (self.tell)(Told::Found(-(self.length as i64)));
        self.length = 0;
        self.hash = Hash::new(self.job.etag, self.job.bytes);
        let emptied = self.file.set_len(0).and_then(|()| self.file.seek(SeekFrom::Start(0)));
        emptied.map(drop).map_err(|source| Error::file("cannot write", self.path, source))
    }

    /// Fetches what is missing, over as many connections as that takes.
    fn fill(&mut self, client: &Client, stop: &Stop) -> Result<()> {
        let tell = self.tell;
        let say = move |wait| tell(Told::Waiting(wait));
        let mut tries = Tries::new(client.patience, stop, &say, self.job.path);
        while self.length < self.job.bytes {
            stop.check()?;
            let before = self.length;
            let outcome = self.fill_once(client, stop);
            if self.length > before {
                tries.arrived();
            }
            if let Err(failure) = outcome {
                tries.wait(failure)?;
            }
        }
        Ok(())
    }

    fn fill_once(&mut self, client: &Client, stop: &Stop) -> Result<(), Failure> {
        let Job { repository, commit, path, bytes, .. } = self.job;
        let address = client.file(repository, commit, path);
        let about = About { repository, revision: commit, file: Some(path) };
        let response = client.get(&address, about, (self.length > 0).then_some(self.length))?;
        match response.status().as_u16() {
            206 => {
                let range = header(&response, "content-range").unwrap_or_default();
                if !fits(&range, self.length, bytes) {
                    self.restart()?;
                    return Err(Failure::Cut(format!("the hub sent another part of the file: {range}")));
                }
            }
            416 => {
                self.restart()?;
                return Err(Failure::Cut("the hub has no such part of the file".to_owned()));
            }
            // The whole file, whatever part was asked for.
            _ if self.length > 0 => self.restart()?,
            _ => {}
        }
        let mut body = response.into_body().into_reader();
        let mut chunk = vec![0; CHUNK];
        while self.length < bytes {
            stop.check()?;
            let read = match body.read(&mut chunk) {
                Ok(0) => return Err(Failure::Cut("the hub closed the connection".to_owned())),
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(Failure::Cut(error.to_string())),
            };
            if self.length + read as u64 > bytes {
                self.restart()?;
                return Err(
                    odd(&address, &format!("{path} is larger than the {bytes} bytes that were announced")).into()
                );
            }
            self.file.write_all(&chunk[..read]).map_err(|source| Error::file("cannot write", self.path, source))?;
            self.hash.update(&chunk[..read]);
            self.length += read as u64;
            (self.tell)(Told::Fetched(read as u64));
        }
        Ok(())
    }

    /// Whether what arrived is what was announced.
    fn check(&mut self) -> Result<()> {
        let hash = std::mem::replace(&mut self.hash, Hash::new(self.job.etag, self.job.bytes));
        match hash.finish() {
            Some((kind, actual)) if actual != self.job.etag => {
                (self.tell)(Told::Found(-(self.length as i64)));
                let file = self.job.path.to_owned();
                let expected = self.job.etag.to_owned();
                // `restart` must not count it again.
                self.length = 0;
                Err(Error::Hash { file, kind, expected, actual })
            }
            _ => Ok(()),
        }
    }
}

/// Whether a range in an answer is the one that was asked for: `bytes FROM-TO/ALL`.
fn fits(range: &str, from: u64, all: u64) -> bool {
    let Some((place, total)) = range.trim_start_matches("bytes").trim().split_once('/') else { return false };
    let begins = place.split_once('-').is_some_and(|(begin, _)| begin.trim().parse() == Ok(from));
    begins && (total == "*" || total.trim().parse() == Ok(all))
}

/// Waits until no other program works on the same blob. Without locks, as on some network drives, each works alone.
fn lock(cache: &Cache, job: Job<'_>, stop: &Stop, tell: &dyn Fn(Told)) -> Result<Option<File>> {
    let path = lock_path(cache, job.repository, job.etag);
    if let Some(folder) = path.parent() {
        make_folder(folder)?;
    }
    let file = OpenOptions::new().write(true).create(true).truncate(false).open(&path);
    let file = file.map_err(|source| Error::file("cannot write", &path, source))?;
    let mut told = false;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(Some(file)),
            Err(TryLockError::Error(_)) => return Ok(None),
            Err(TryLockError::WouldBlock) => {
                if !told {
                    told = true;
                    tell(Told::Waiting(Wait::OtherProgram { file: job.path.to_owned() }));
                }
                stop.sleep(LOCK_PAUSE)?;
            }
        }
    }
}

/// Where the hub's programs keep the lock of a blob.
pub(crate) fn lock_path(cache: &Cache, repository: &RepositoryId, etag: &str) -> PathBuf {
    cache.folder().join(".locks").join(repository.folder()).join(format!("{etag}.lock"))
}

/// Gives a blob that another repository has a second name here. It takes no room if the file system can do that.
pub(crate) fn place_same(same: &Path, blob: &Path) -> Result<()> {
    let failed = |source| Error::file("cannot write", blob, source);
    // A link of the newer layout leads to the file itself.
    let same = same.canonicalize().map_err(failed)?;
    if crate::cache::is_there(blob).map_err(failed)? {
        fs::remove_file(blob).map_err(failed)?;
    }
    if fs::hard_link(&same, blob).is_ok() {
        return Ok(());
    }
    let folder = blob.parent().unwrap_or(Path::new("."));
    let copied = tempfile::NamedTempFile::new_in(folder).and_then(|mut beside| {
        io::copy(&mut File::open(&same)?, beside.as_file_mut())?;
        beside.as_file().sync_all()?;
        beside.persist(blob).map_err(|failed| failed.error)
    });
    copied.map(drop).map_err(failed)
}

/// Puts a file's name into a snapshot: a link to its blob, or where there are no links, the blob under a second name or
/// a copy of it.
pub(crate) fn link(repository: &Path, commit: &str, path: &str, etag: &str) -> Result<()> {
    let place = repository.join("snapshots").join(commit).join(path);
    let failed = |source| Error::file("cannot write", &place, source);
    if let Some(folder) = place.parent() {
        make_folder(folder)?;
    }
    let up = "../".repeat(2 + path.matches('/').count());
    let target = PathBuf::from(format!("{up}blobs/{etag}"));
    if fs::read_link(&place).is_ok_and(|there| there == target) {
        return Ok(());
    }
    if crate::cache::is_there(&place).map_err(failed)? {
        fs::remove_file(&place).map_err(failed)?;
    }
    if symlink(&target, &place).is_ok() {
        return Ok(());
    }
    place_same(&repository.join("blobs").join(etag), &place)
}

#[cfg(unix)]
fn symlink(target: &Path, place: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(target, place)
}

#[cfg(windows)]
fn symlink(target: &Path, place: &Path) -> io::Result<()> {
    std::os::windows::fs::symlink_file(target.to_string_lossy().replace('/', "\\"), place)
}

#[cfg(not(any(unix, windows)))]
fn symlink(_: &Path, _: &Path) -> io::Result<()> {
    Err(ErrorKind::Unsupported.into())
}

pub(crate) fn make_folder(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).map_err(|source| Error::file("cannot make the folder", folder, source))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_must_be_the_one_that_was_asked_for() {
        assert!(fits("bytes 5-9/10", 5, 10));
        assert!(fits("bytes 5-9/*", 5, 10));
        for wrong in ["", "bytes 4-9/10", "bytes 5-9/11", "5", "bytes */10"] {
            assert!(!fits(wrong, 5, 10), "{wrong:?}");
        }
    }
}
