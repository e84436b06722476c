//! The library of kept pictures: every one as a PNG that carries its settings, its latents beside it, and an index that
//! survives the end of the program at any moment. [`Library`] works on a thread of its own and reports [`News`]; the
//! window asks and waits for nothing. Add something that can be asked for to [`Job`].

mod entry;

mod folder;

pub mod index;

mod shelf;

mod store;

pub mod thumbnail;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::SystemTime;

use crossbeam_channel::{Receiver, Sender, TryRecvError, unbounded};
use instaflow_engine::protocol::{Failure, Picture};

pub use entry::Entry;
pub use folder::default_folder;
pub use shelf::{Query, Shelf};
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

/// What the library has to tell.
#[derive(Debug)]
pub enum News {
    /// What is kept, once it is read, and what the person should know of it.
    Opened {
        /// In the order of their numbers.
        entries: Vec<Entry>,
        /// Sentences.
        remarks: Vec<Failure>,
    },
    /// It cannot be opened; nothing can be kept.
    Closed(Failure),
    /// A picture is kept: it is on disk.
    Kept {
        /// It, in the index.
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
    /// The index says something else of a picture; one marked as deleted is to vanish, one no longer marked to come back.
    Changed(Box<Entry>),
    /// A picture has other pixels, and the index says so.
    Replaced(Box<Entry>),
    /// These are deleted for good.
    Purged(Vec<u64>),
    /// A thumbnail, or nothing where its picture cannot be read.
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
    /// A picture's file.
    Place(PathBuf),
    /// Something that was asked of a picture failed.
    Failed {
        /// Whose.
        id: u64,
        /// Why.
        failure: Failure,
    },
}

/// What can be asked for.
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
    Place(u64),
    /// Look at the wishes.
    Wishes,
}

/// The way to the library's thread. Dropping it waits until all that was asked for is done.
pub struct Library {
    jobs: Option<Sender<Job>>,
    news: Receiver<News>,
    wishes: Arc<Mutex<Vec<u64>>>,
    thread: Option<JoinHandle<()>>,
}

impl Library {
    /// Starts the thread, which opens the library in `folder`. `wake` is called from it whenever there are news.
    pub fn spawn(folder: PathBuf, wake: Arc<dyn Fn() + Send + Sync>) -> Self {
        let (jobs, receiver) = unbounded();
        let (sender, news) = unbounded();
        let wishes: Arc<Mutex<Vec<u64>>> = Arc::default();
        let mut worker = Worker { folder, store: None, wishes: wishes.clone(), sender, wake };
        let thread = std::thread::spawn(move || worker.run(&receiver));
        let library = Self { jobs: Some(jobs), news, wishes, thread: Some(thread) };
        library.open();
        library
    }

    /// The next news, if there are any.
    pub fn news(&self) -> Option<News> {
        self.news.try_recv().ok()
    }

    /// The next news, waiting for them; `None` once there will be no more. Not for the window.
    pub fn wait(&self) -> Option<News> {
        self.news.recv().ok()
    }

    /// Opens the library, again where that has failed.
    pub fn open(&self) {
        self.push(Job::Open);
    }

    /// Keeps a picture.
    pub fn keep(&self, picture: Picture) {
        let now = SystemTime::UNIX_EPOCH.elapsed().map_or(0, |time| time.as_millis() as u64);
        self.push(Job::Keep { picture: Box::new(picture), kept_at: now });
    }

    /// Replaces a picture's pixels by ones of the same latents.
    pub fn replace(&self, id: u64, picture: Picture) {
        self.push(Job::Replace { id, picture: Box::new(picture) });
    }

    /// Marks a picture as liked, or no longer.
    pub fn star(&self, id: u64, starred: bool) {
        self.push(Job::Star { id, starred });
    }

    /// Marks a picture as deleted, or takes the mark back. What is marked is deleted for good at the next start, or by
    /// [`Library::purge`].
    pub fn delete(&self, id: u64, deleted: bool) {
        self.push(Job::Delete { id, deleted });
    }

    /// Deletes for good.
    pub fn purge(&self, ids: Vec<u64>) {
        self.push(Job::Purge(ids));
    }

    /// Reads a picture, with its latents where they can be read.
    pub fn read(&self, id: u64, purpose: Purpose) {
        self.push(Job::Read { id, purpose });
    }

    /// Asks where a picture's file is.
    pub fn find(&self, id: u64) {
        self.push(Job::Place(id));
    }

    /// Which thumbnails are wanted now, the most wanted last; what was wanted before and is not yet made is not made.
    pub fn wish(&self, ids: Vec<u64>) {
        *self.wishes.lock().unwrap_or_else(PoisonError::into_inner) = ids;
        self.push(Job::Wishes);
    }

    fn push(&self, job: Job) {
        // The thread ends only with this handle, or by a mistake that it has reported as a panic.
        if let Some(jobs) = &self.jobs {
            jobs.send(job).ok();
        }
    }
}

impl Drop for Library {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // A panic there was already shown; there is nobody left to tell.
            thread.join().ok();
        }
    }
}

/// The library's thread.
struct Worker {
    folder: PathBuf,
    store: Option<Store>,
    wishes: Arc<Mutex<Vec<u64>>>,
    sender: Sender<News>,
    wake: Arc<dyn Fn() + Send + Sync>,
}

impl Worker {
    /// Works until nobody can ask any more. Thumbnails are made where nothing else is to do.
    fn run(&mut self, jobs: &Receiver<Job>) {
        loop {
            match jobs.try_recv() {
                Ok(job) => self.work(job),
                Err(TryRecvError::Disconnected) => return,
                Err(TryRecvError::Empty) => match self.wish() {
                    Some(id) => self.thumbnail(id),
                    None => match jobs.recv() {
                        Ok(job) => self.work(job),
                        Err(_) => return,
                    },
                },
            }
        }
    }

    fn wish(&self) -> Option<u64> {
        self.wishes.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    fn work(&mut self, job: Job) {
        let Some(store) = &mut self.store else { return self.work_closed(job) };
        let news = match job {
            Job::Open | Job::Wishes => return,
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
                    // Where nothing but they are wanted, the reason why there are none is wanted, too.
                    let latents = match (store.latents(id), purpose) {
                        (Err(failure), Purpose::Decode) => return Err(failure),
                        (latents, _) => latents.ok().map(Arc::new),
                    };
                    Ok(Picture { latents, ..picture })
                });
                let news = |picture| News::Read { id, purpose, picture: Box::new(picture) };
                read.map_or_else(failed(id), news)
            }
            Job::Place(id) => News::Place(store.path(id)),
        };
        self.send(news);
    }

    /// Where the library is not open, it can be opened; a picture that was to be kept is not.
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
                let message = "The picture could not be kept: the kept pictures are not open".to_owned();
                self.send(News::NotKept { failure: Failure { message, causes: Vec::new() }, rgb: picture.rgb });
            }
            _ => {}
        }
    }

    fn thumbnail(&mut self, id: u64) {
        let Some(store) = &mut self.store else { return };
        // A picture that cannot be read says so when it is opened; here it stays a grey square.
        let image = store.thumbnail(id).ok().and_then(|bytes| thumbnail::decode(&bytes));
        self.send(News::Thumbnail { id, image });
    }

    fn send(&self, news: News) {
        // Nobody listens any more only where the window is gone.
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
