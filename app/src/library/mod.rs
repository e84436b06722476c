//! The library of kept pictures: each is a PNG that carries its settings, with its latents in a second file, and an index
//! that survives the end of the program at any moment. [`Library`] works on a thread of its own and reports [`News`], so
//! that the window never waits for it. Add new kinds of work to `Job`.

mod catalog;

mod entry;

mod folder;

pub mod index;

mod store;

pub mod thumbnail;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::SystemTime;

use crossbeam_channel::{Receiver, Sender, TryRecvError, unbounded};
use instaflow_engine::protocol::{Failure, Picture};

pub use catalog::{Catalog, Query};
pub use entry::Entry;
pub use folder::default_folder;
pub use store::{Opened, Store};

/// What a kept picture is read for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To be looked at.
    Show,
    /// To be put on the clipboard.
    Copy,
    /// To be saved elsewhere.
    Save,
    /// To be decoded again.
    Decode,
}

/// What the library reports.
#[derive(Debug)]
pub enum News {
    /// The library is open.
    Opened {
        /// All kept pictures, in the order of their numbers.
        entries: Vec<Entry>,
        /// What the person should know about it.
        remarks: Vec<Failure>,
    },
    /// The library cannot be opened, so nothing can be kept.
    Closed(Failure),
    /// A picture is kept, that is, on disk.
    Kept {
        /// Its entry in the index.
        entry: Box<Entry>,
        /// The bytes that were handed over.
        rgb: Arc<[u8]>,
    },
    /// A picture could not be kept.
    NotKept {
        /// Why.
        failure: Failure,
        /// The bytes that were handed over.
        rgb: Arc<[u8]>,
    },
    /// A picture's entry has changed; the window hides it if it is now marked as deleted, and shows it again if it is not.
    Changed(Box<Entry>),
    /// A picture has new pixels, and this is its new entry.
    Replaced(Box<Entry>),
    /// These are deleted for good.
    Purged(Vec<u64>),
    /// A thumbnail, or `None` if its picture cannot be read.
    Thumbnail {
        /// Whose.
        id: u64,
        /// Its pixels.
        image: Option<egui::ColorImage>,
    },
    /// A picture that was asked for.
    Read {
        /// Whose.
        id: u64,
        /// What for.
        purpose: Purpose,
        /// It.
        picture: Box<Picture>,
    },
    /// The path of a picture's file.
    Located(PathBuf),
    /// Something that was asked of a picture failed.
    Failed {
        /// Whose.
        id: u64,
        /// Why.
        failure: Failure,
    },
}

/// What the library can be asked to do.
enum Job {
    Open,
    Keep {
        picture: Box<Picture>,
        kept_at: u64,
    },
    Replace {
        id: u64,
        picture: Box<Picture>,
    },
    Star {
        id: u64,
        starred: bool,
    },
    Delete {
        id: u64,
        deleted: bool,
    },
    Purge(Vec<u64>),
    Read {
        id: u64,
        purpose: Purpose,
    },
    Locate(u64),
    /// Make the thumbnails that are wanted.
    Thumbnails,
}

/// A handle to the library's thread. Dropping it waits until everything that was asked for is done.
pub struct Library {
    jobs: Option<Sender<Job>>,
    news: Receiver<News>,
    wanted: Arc<Mutex<Vec<u64>>>,
    thread: Option<JoinHandle<()>>,
}

impl Library {
    /// Starts the thread, which opens the library in `folder`. It calls `wake` whenever there are news.
    pub fn spawn(folder: PathBuf, wake: Arc<dyn Fn() + Send + Sync>) -> Self {
        let (jobs, receiver) = unbounded();
        let (sender, news) = unbounded();
        let wanted: Arc<Mutex<Vec<u64>>> = Arc::default();
        let mut worker = Worker { folder, store: None, wanted: wanted.clone(), sender, wake };
        let thread = std::thread::spawn(move || worker.run(&receiver));
        let library = Self { jobs: Some(jobs), news, wanted, thread: Some(thread) };
        library.open();
        library
    }

    /// The next news, if there are any.
    pub fn news(&self) -> Option<News> {
        self.news.try_recv().ok()
    }

    /// Waits for the next news; `None` when there will be no more. Not for the window, which must not wait.
    pub fn wait(&self) -> Option<News> {
        self.news.recv().ok()
    }

    /// Opens the library, if it is not open.
    pub fn open(&self) {
        self.push(Job::Open);
    }

    /// Keeps a picture.
    pub fn keep(&self, picture: Picture) {
        let now = SystemTime::UNIX_EPOCH.elapsed().map_or(0, |time| time.as_millis() as u64);
        self.push(Job::Keep { picture: Box::new(picture), kept_at: now });
    }

    /// Replaces a picture's pixels by others of the same latents.
    pub fn replace(&self, id: u64, picture: Picture) {
        self.push(Job::Replace { id, picture: Box::new(picture) });
    }

    /// Marks a picture as liked, or no longer.
    pub fn star(&self, id: u64, starred: bool) {
        self.push(Job::Star { id, starred });
    }

    /// Marks a picture as deleted, or removes the mark. Marked pictures are deleted for good by [`Library::purge`], or at
    /// the next start.
    pub fn delete(&self, id: u64, deleted: bool) {
        self.push(Job::Delete { id, deleted });
    }

    /// Deletes for good.
    pub fn purge(&self, ids: Vec<u64>) {
        self.push(Job::Purge(ids));
    }

    /// Reads a picture, with its latents if they can be read.
    pub fn read(&self, id: u64, purpose: Purpose) {
        self.push(Job::Read { id, purpose });
    }

    /// Asks where a picture's file is.
    pub fn locate(&self, id: u64) {
        self.push(Job::Locate(id));
    }

    /// Asks for thumbnails, the most urgent last. Replaces earlier requests that are not yet done.
    pub fn request_thumbnails(&self, ids: Vec<u64>) {
        *self.wanted.lock().unwrap_or_else(PoisonError::into_inner) = ids;
        self.push(Job::Thumbnails);
    }

    fn push(&self, job: Job) {
        // Fails only if the thread has panicked, which is reported elsewhere.
        if let Some(jobs) = &self.jobs {
            jobs.send(job).ok();
        }
    }
}

impl Drop for Library {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // If it panicked, that was reported when it happened.
            thread.join().ok();
        }
    }
}

/// The library's thread.
struct Worker {
    folder: PathBuf,
    store: Option<Store>,
    wanted: Arc<Mutex<Vec<u64>>>,
    sender: Sender<News>,
    wake: Arc<dyn Fn() + Send + Sync>,
}

impl Worker {
    /// Works until the handle is dropped. Makes thumbnails when there is nothing else to do.
    fn run(&mut self, jobs: &Receiver<Job>) {
        loop {
            match jobs.try_recv() {
                Ok(job) => self.work(job),
                Err(TryRecvError::Disconnected) => return,
                Err(TryRecvError::Empty) => match self.next_thumbnail() {
                    Some(id) => self.thumbnail(id),
                    None => match jobs.recv() {
                        Ok(job) => self.work(job),
                        Err(_) => return,
                    },
                },
            }
        }
    }

    fn next_thumbnail(&self) -> Option<u64> {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    fn work(&mut self, job: Job) {
        let Some(store) = &mut self.store else { return self.work_closed(job) };
        let news = match job {
            Job::Open | Job::Thumbnails => return,
            Job::Keep { picture, kept_at } => {
                let kept = store.keep(&picture, kept_at);
                let rgb = picture.rgb;
                match kept {
                    Ok(entry) => News::Kept { entry: Box::new(entry), rgb },
                    Err(failure) => News::NotKept { failure, rgb },
                }
            }
            Job::Replace { id, picture } => {
                let replaced = store.replace(id, &picture);
                replaced.map_or_else(failed(id), |entry| News::Replaced(Box::new(entry)))
            }
            Job::Star { id, starred } => changed(store, id, |entry| entry.starred = starred),
            Job::Delete { id, deleted } => changed(store, id, |entry| entry.deleted = deleted),
            Job::Purge(ids) => {
                let first = ids.first().copied().unwrap_or(0);
                store.purge(&ids).map_or_else(failed(first), |()| News::Purged(ids))
            }
            Job::Read { id, purpose } => {
                let read = store.picture(id).and_then(|picture| {
                    // To decode again, latents are necessary; for anything else, the picture is enough.
                    let latents = match (store.latents(id), purpose) {
                        (Err(failure), Purpose::Decode) => return Err(failure),
                        (latents, _) => latents.ok().map(Arc::new),
                    };
                    Ok(Picture { latents, ..picture })
                });
                let news = |picture| News::Read { id, purpose, picture: Box::new(picture) };
                read.map_or_else(failed(id), news)
            }
            Job::Locate(id) => News::Located(store.path(id)),
        };
        self.send(news);
    }

    /// A library that is not open can be opened. A picture that should be kept is not, and everything else is ignored.
    fn work_closed(&mut self, job: Job) {
        match job {
            Job::Open => match Store::open(&self.folder) {
                Ok(Opened { store, entries, remarks }) => {
                    self.store = Some(store);
                    self.send(News::Opened { entries, remarks });
                }
                Err(failure) => self.send(News::Closed(failure)),
            },
            Job::Keep { picture, .. } => {
                let message =
                    "The picture could not be kept, because the library of kept pictures is not open".to_owned();
                self.send(News::NotKept { failure: Failure { message, causes: Vec::new() }, rgb: picture.rgb });
            }
            _ => {}
        }
    }

    fn thumbnail(&mut self, id: u64) {
        let Some(store) = &mut self.store else { return };
        // The reason is reported when the picture is opened; here it stays a grey square.
        let image = store.thumbnail(id).ok().and_then(|bytes| thumbnail::decode(&bytes));
        self.send(News::Thumbnail { id, image });
    }

    fn send(&self, news: News) {
        // Fails only if the window is closed.
        self.sender.send(news).ok();
        (self.wake)();
    }
}

fn changed(store: &mut Store, id: u64, change: impl FnOnce(&mut Entry)) -> News {
    store.change(id, change).map_or_else(failed(id), |entry| News::Changed(Box::new(entry)))
}

fn failed(id: u64) -> impl FnOnce(Failure) -> News {
    move |failure| News::Failed { id, failure }
}
