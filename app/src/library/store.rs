//! Kept pictures on disk. Files are written first, then one transaction of the index, so that whatever the index knows is
//! complete whenever the program ends. If you change the order of writes, run `tests/library.rs`, which kills the program
//! in the middle of them. Everything here happens on the calling thread.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use instaflow_engine::pipeline::Latents;
use instaflow_engine::png;
use instaflow_engine::protocol::{Failure, Picture};

use super::folder::{self, Folder, Listing};
use super::index::{Index, OpenError};
use super::{Entry, thumbnail};

/// A result whose error is a sentence for the person.
pub type Result<T, E = Failure> = std::result::Result<T, E>;

/// What the person reads first if a picture could not be kept; the causes say why.
const NOT_KEPT: &str = "The picture could not be kept";

/// An open library.
pub struct Store {
    folder: Folder,
    /// `None` after an error; the next use opens it again.
    index: Option<Index>,
    /// The number of the next picture.
    next: u64,
}

/// A library that was just opened.
pub struct Opened {
    /// The open library.
    pub store: Store,
    /// All kept pictures, in the order of their numbers.
    pub entries: Vec<Entry>,
    /// What the person should know about it.
    pub remarks: Vec<Failure>,
}

impl Store {
    /// Opens the library in a folder, which is created if necessary. Puts in order what a crash has left: a picture that
    /// is not yet in the index is added to it; unfinished files are deleted, and so is what is marked as deleted. Reads no
    /// picture's pixels.
    pub fn open(root: &Path) -> Result<Opened> {
        let failed = |error: io::Error| Failure {
            message: format!("The kept pictures in {} cannot be reached", root.display()),
            causes: vec![error.to_string()],
        };
        let folder = Folder::create(root).map_err(failed)?;
        let (index, entries, damage) = open_index(&folder)?;
        let listing = folder.list().map_err(failed)?;

        let highest = listing.pictures.last().max(listing.latents.last()).copied();
        // If this cannot be read, the entries could not be read either.
        let next = 1 + index.highest().unwrap_or(0).max(highest.unwrap_or(0));
        let mut store = Self { folder, index: Some(index), next };
        let (entries, mut remarks) = store.put_in_order(entries, &listing);
        if let Some(Damage { reason, aside }) = damage.filter(|_| !listing.pictures.is_empty()) {
            remarks.push(Failure {
                message: format!(
                    "The index of the kept pictures was damaged and has been rebuilt from the pictures; their stars are \
                     lost. The damaged index is now {}",
                    aside.display()
                ),
                causes: vec![reason],
            });
        }
        Ok(Opened { store, entries, remarks })
    }

    /// Keeps a picture. When this returns, it is on disk for good.
    pub fn keep(&mut self, picture: &Picture, kept_at: u64) -> Result<Entry> {
        let id = self.next;
        // A number is used only once, even if this fails.
        self.next += 1;
        let entry = Entry::new(id, kept_at, picture);
        let kept = self.write_files(id, picture).and_then(|()| self.put(&entry, picture));
        if kept.is_err() {
            // What cannot be deleted now is deleted at the next start.
            self.folder.remove(id).ok();
        }
        kept.map(|()| entry).map_err(|failure| {
            let Failure { message, mut causes } = failure;
            if message != NOT_KEPT {
                causes.insert(0, message);
            }
            Failure { message: NOT_KEPT.to_owned(), causes }
        })
    }

    /// Replaces a picture's pixels by others of the same latents; its star and its time stay.
    pub fn replace(&mut self, id: u64, picture: &Picture) -> Result<Entry> {
        let before = self.entry(id)?;
        png::save(&self.folder.picture(id), picture, true, true).map_err(|error| cannot_keep(&error))?;
        let now = Entry::new(id, before.kept_at, picture);
        let Entry { starred, deleted, has_latents, .. } = before;
        let entry = Entry { starred, deleted, has_latents, ..now };
        self.put(&entry, picture)?;
        Ok(entry)
    }

    /// Changes a picture's entry in the index.
    pub fn change(&mut self, id: u64, change: impl FnOnce(&mut Entry)) -> Result<Entry> {
        let mut entry = self.entry(id)?;
        change(&mut entry);
        self.write_index(|index| index.put(&[(&entry, None)]))?;
        Ok(entry)
    }

    /// Deletes for good: first the files, then the entries, so that a crash in between brings nothing back.
    pub fn purge(&mut self, ids: &[u64]) -> Result<()> {
        for &id in ids {
            self.folder.remove(id).map_err(|error| Failure {
                message: format!("{} cannot be deleted", self.folder.picture(id).display()),
                causes: vec![error.to_string()],
            })?;
        }
        self.write_index(|index| index.remove(ids))
    }

    /// A thumbnail's bytes; if there is none yet, it is made from the picture.
    pub fn thumbnail(&mut self, id: u64) -> Result<Vec<u8>> {
        if let Some(bytes) = self.index()?.thumbnail(id).map_err(|error| self.failed(&error))? {
            return Ok(bytes);
        }
        let (width, height, rgb) = self.pixels(id)?;
        let bytes = thumbnail::encode(width, height, &rgb).unwrap_or_default();
        self.write_index(|index| index.put_thumbnail(id, &bytes))?;
        Ok(bytes)
    }

    /// A picture with its pixels.
    pub fn picture(&mut self, id: u64) -> Result<Picture> {
        let entry = self.entry(id)?;
        let (width, height, rgb) = self.pixels(id)?;
        let Entry { settings, model, model_hash, timings, straightness, .. } = entry;
        // The index does not hold it; the file does.
        let bf16_products = png::read_settings(&self.folder.picture(id)).ok().and_then(|file| file.bf16_products);
        let picture = Picture::new(width, height, rgb, settings);
        Ok(Picture { model, model_hash, bf16_products, timings, straightness, ..picture })
    }

    /// A picture's latents.
    pub fn latents(&self, id: u64) -> Result<Latents> {
        Latents::read_latents(&self.folder.latents(id)).map_err(|error| Failure::from(&error))
    }

    /// A picture's file.
    pub fn path(&self, id: u64) -> PathBuf {
        self.folder.picture(id)
    }

    fn write_files(&self, id: u64, picture: &Picture) -> Result<()> {
        // Latents first: without them, a picture cannot be decoded again; without a picture, they are deleted at the next start.
        if let Some(latents) = &picture.latents {
            latents.write(&self.folder.latents(id), false).map_err(|error| cannot_keep(&error))?;
        }
        png::save(&self.folder.picture(id), picture, true, false).map_err(|error| cannot_keep(&error))
    }

    fn put(&mut self, entry: &Entry, picture: &Picture) -> Result<()> {
        let thumbnail = thumbnail::encode(picture.width, picture.height, &picture.rgb);
        self.write_index(|index| index.put(&[(entry, thumbnail.as_deref())]))
    }

    fn entry(&mut self, id: u64) -> Result<Entry> {
        let found = self.index()?.get(id).map_err(|error| self.failed(&error))?;
        let entry = found.ok_or_else(|| Failure {
            message: format!("The index no longer contains picture {id}"),
            causes: vec![self.folder.root().display().to_string()],
        })?;
        let has_latents = self.folder.latents(id).exists();
        Ok(Entry { has_latents, ..entry })
    }

    fn pixels(&self, id: u64) -> Result<(u32, u32, std::sync::Arc<[u8]>)> {
        let path = self.folder.picture(id);
        folder::pixels(&path).map_err(|error| Failure {
            message: format!("The kept picture {} cannot be read", path.display()),
            causes: vec![error.to_string()],
        })
    }

    fn index(&mut self) -> Result<&Index> {
        if self.index.is_none() {
            self.index = Some(open_index(&self.folder)?.0);
        }
        Ok(self.index.as_ref().expect("it was just opened"))
    }

    fn write_index(&mut self, write: impl FnOnce(&mut Index) -> std::result::Result<(), redb::Error>) -> Result<()> {
        self.index()?;
        let written = self.index.as_mut().map_or(Ok(()), write);
        written.map_err(|error| {
            // After an I/O error, redb refuses everything until it is opened again.
            self.index = None;
            self.failed(&error)
        })
    }

    fn failed(&self, error: &redb::Error) -> Failure {
        Failure {
            message: format!("The index {} cannot be used", self.folder.index().display()),
            causes: vec![error.to_string()],
        }
    }

    /// Brings index and files into agreement.
    fn put_in_order(&mut self, entries: Vec<Entry>, listing: &Listing) -> (Vec<Entry>, Vec<Failure>) {
        let mut remarks = Vec::new();
        for path in &listing.unfinished {
            folder::remove(path).ok();
        }
        let known: std::collections::BTreeSet<u64> = entries.iter().map(|entry| entry.id).collect();
        for id in listing.latents.iter().filter(|id| !known.contains(id) && !listing.pictures.contains(id)) {
            folder::remove(&self.folder.latents(*id)).ok();
        }
        let deleted: Vec<_> = entries.iter().filter(|entry| entry.deleted).map(|entry| entry.id).collect();
        if !deleted.is_empty() {
            remarks.extend(self.purge(&deleted).err());
        }
        let before = entries.len() - deleted.len();
        let mut entries: Vec<_> = entries
            .into_iter()
            .filter(|entry| !entry.deleted && listing.pictures.contains(&entry.id))
            .map(|entry| Entry { has_latents: listing.latents.contains(&entry.id), ..entry })
            .collect();
        let lost = before - entries.len();
        if lost > 0 {
            let (pictures, are) = if lost == 1 { ("kept picture", "is") } else { ("kept pictures", "are") };
            remarks.push(Failure {
                message: format!("{lost} {pictures} {are} no longer in {}", self.folder.pictures().display()),
                causes: vec!["If you put the files back, the next start shows them again with their stars.".to_owned()],
            });
        }
        let orphans = listing.pictures.iter().filter(|id| !known.contains(id));
        let adopted: Vec<_> = orphans.filter_map(|id| self.adopt(*id, listing.latents.contains(id))).collect();
        if !adopted.is_empty() {
            let rows: Vec<_> = adopted.iter().map(|entry| (entry, None)).collect();
            match self.write_index(|index| index.put(&rows)) {
                Ok(()) => {
                    entries.extend(adopted);
                    entries.sort_unstable_by_key(|entry| entry.id);
                }
                Err(failure) => remarks.push(failure),
            }
        }
        (entries, remarks)
    }

    /// The entry of a picture that the index does not know; `None` for a file without settings, which is not ours.
    fn adopt(&self, id: u64, has_latents: bool) -> Option<Entry> {
        let path = self.folder.picture(id);
        let restored = png::read_settings(&path).ok()?;
        let (width, height) = folder::size(&path).ok()?;
        let written = path.metadata().and_then(|file| file.modified()).ok();
        let kept_at = written.and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok());
        Some(Entry {
            id,
            kept_at: kept_at.map_or(0, |time| time.as_millis() as u64),
            width,
            height,
            settings: restored.settings,
            model: restored.model.unwrap_or_default(),
            model_hash: restored.model_hash.unwrap_or_default(),
            timings: instaflow_engine::protocol::Timings::default(),
            straightness: None,
            starred: false,
            deleted: false,
            has_latents,
        })
    }
}

/// Why an index was set aside, and where it is now.
struct Damage {
    reason: String,
    aside: PathBuf,
}

/// The index with its entries; if it was damaged, a new and empty one.
fn open_index(folder: &Folder) -> Result<(Index, Vec<Entry>, Option<Damage>)> {
    let path = folder.index();
    let cannot = |causes: Vec<String>| Failure {
        message: format!("The index of the kept pictures {} cannot be opened", path.display()),
        causes,
    };
    let in_use = || Failure {
        message: "Another window of InstaFlow has the kept pictures open: close it, then try again".to_owned(),
        causes: vec![folder.root().display().to_string()],
    };
    match patiently(|| Index::open(&path)) {
        Ok((index, entries)) => Ok((index, entries, None)),
        Err(OpenError::InUse) => Err(in_use()),
        Err(OpenError::Refused(reason)) => Err(cannot(vec![reason])),
        Err(OpenError::Damaged(reason)) => {
            let aside = folder.set_index_aside().map_err(|error| cannot(vec![reason.clone(), error.to_string()]))?;
            match Index::open(&path) {
                Ok((index, entries)) => Ok((index, entries, Some(Damage { reason, aside }))),
                Err(OpenError::InUse) => Err(in_use()),
                Err(OpenError::Refused(again) | OpenError::Damaged(again)) => Err(cannot(vec![reason, again])),
            }
        }
    }
}

/// Tries again for a moment while another process has it open: one that is just ending may need that long.
fn patiently<T>(open: impl Fn() -> std::result::Result<T, OpenError>) -> std::result::Result<T, OpenError> {
    const LONGEST: Duration = Duration::from_secs(2);
    let began = Instant::now();
    loop {
        match open() {
            Err(OpenError::InUse) if began.elapsed() < LONGEST => std::thread::sleep(Duration::from_millis(50)),
            opened => return opened,
        }
    }
}

fn cannot_keep(error: &instaflow_engine::Error) -> Failure {
    let mut causes = vec![error.to_string()];
    causes.extend(error.causes());
    Failure { message: NOT_KEPT.to_owned(), causes }
}

#[cfg(test)]
#[path = "store_tests.rs"]
mod tests;
