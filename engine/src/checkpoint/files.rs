//! Reads folders on disk, folders inside the binary and checkpoints in one file in the same way.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::ops::{Deref, Range};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use memmap2::Mmap;
#[cfg(unix)]
use memmap2::UncheckedAdvice;

use super::single_file::SingleFile;
use super::{hub_cache, kind, pocket, text_file};
use crate::protocol::Source;
use crate::{Error, Result};

/// Largest config.json in bytes. Real ones have a few kilobytes.
pub(super) const CONFIG_LIMIT: u64 = 1 << 20;

/// Largest vocabulary or shard index in bytes. CLIP's vocabulary has one megabyte.
pub(super) const TABLE_LIMIT: u64 = 64 << 20;

/// A folder of files.
#[derive(Clone, Debug)]
pub enum Files {
    /// On disk.
    Folder(PathBuf),
    /// Compiled into the binary.
    Embedded {
        /// All files and their paths, with `/` between the parts.
        entries: &'static [(&'static str, &'static [u8])],
        /// The path of this folder: empty, or ending with `/`.
        prefix: String,
    },
    /// A checkpoint in one file, as if its parts were folders.
    Single {
        /// The file.
        file: Arc<SingleFile>,
        /// Which part of it: "unet", "tokenizer" …; empty for the model as a whole.
        part: String,
    },
}

impl Files {
    /// Opens the folder or the file that a source names. It must exist. A file takes its configs from the folder `config`,
    /// else from its own shapes, and its averaged weights if `ema` says so.
    pub fn open(source: &Source, config: Option<&Path>, ema: bool) -> Result<Self> {
        match source {
            // What a path leads to counts, not what it was taken for.
            Source::Folder(path) | Source::File(path) if path.is_file() && may_be_checkpoint(path) => {
                let file = SingleFile::open(path, config, ema)?;
                Ok(Self::Single { file: Arc::new(file), part: String::new() })
            }
            Source::Folder(path) | Source::File(path) => Self::open_folder(path),
            Source::Pocket if pocket::FILES.is_empty() => {
                let message = "this build does not include the Pocket pair: open a model folder instead";
                Err(Error::Setting(message.into()))
            }
            Source::Pocket => Ok(Self::embedded(pocket::FILES)),
        }
    }

    /// Opens a folder on disk. It must exist. The folder of a repository in Hugging Face's cache stands for the snapshot
    /// that its `refs/` name.
    pub fn open_folder(path: &Path) -> Result<Self> {
        let fault = |message: &str| Error::Checkpoint { path: path.to_owned(), message: message.into() };
        let metadata = path.metadata().map_err(|source| match source.kind() {
            ErrorKind::NotFound => fault("does not exist: give the path of a model folder or of a checkpoint"),
            _ => Error::File { action: "cannot open", path: path.to_owned(), source },
        })?;
        if metadata.is_dir() {
            return Ok(Self::Folder(hub_cache::snapshot(path)?));
        }
        Err(fault(
            "is a file, but no checkpoint (.safetensors): give the model folder in Diffusers layout, the one that holds \
             unet/ and vae/",
        ))
    }

    /// Files inside the binary.
    pub fn embedded(entries: &'static [(&'static str, &'static [u8])]) -> Self {
        Self::Embedded { entries, prefix: String::new() }
    }

    /// The name of the folder or the file, or "Pocket".
    pub fn name(&self) -> String {
        match self {
            Self::Folder(path) => {
                let whole = path.canonicalize().unwrap_or_else(|_| path.clone());
                let name = || whole.file_name().unwrap_or(whole.as_os_str()).to_string_lossy().into_owned();
                hub_cache::repository_name(&whole).unwrap_or_else(name)
            }
            Self::Embedded { .. } => "Pocket".into(),
            Self::Single { file, .. } => file.name(),
        }
    }

    /// A folder inside this one. It need not exist.
    #[must_use]
    pub fn folder(&self, name: &str) -> Self {
        match self {
            Self::Folder(path) => Self::Folder(path.join(name)),
            Self::Embedded { entries, prefix } => Self::Embedded { entries, prefix: format!("{prefix}{name}/") },
            Self::Single { file, .. } => match file.borrowed(name) {
                Some(folder) => Self::Folder(folder),
                None => Self::Single { file: Arc::clone(file), part: name.to_owned() },
            },
        }
    }

    /// Whether this folder exists.
    pub fn exists(&self) -> bool {
        match self {
            Self::Folder(path) => path.is_dir(),
            Self::Embedded { entries, prefix } => entries.iter().any(|(path, _)| path.starts_with(prefix.as_str())),
            Self::Single { file, part } => file.holds(part),
        }
    }

    /// Where this folder is, for messages.
    pub fn path(&self) -> PathBuf {
        match self {
            Self::Folder(path) => path.clone(),
            Self::Embedded { prefix, .. } => Path::new("Pocket").join(prefix.trim_end_matches('/')),
            Self::Single { file, .. } => file.path().to_owned(),
        }
    }

    /// Where a file in it is, for messages; an empty name means the folder itself.
    pub(super) fn path_of(&self, name: &str) -> PathBuf {
        let folder = self.path();
        if name.is_empty() || matches!(self, Self::Single { .. }) { folder } else { folder.join(name) }
    }

    /// An [`Error::Checkpoint`] about a file in it; an empty name means the folder itself.
    pub fn fault(&self, name: &str, message: impl Into<String>) -> Error {
        Error::Checkpoint { path: self.path_of(name), message: message.into() }
    }

    /// The same about a file that is missing. If a download was to bring it, that is what the message says.
    pub(super) fn missing(&self, name: &str, otherwise: impl Into<String>) -> Error {
        let listed = match self {
            Self::Folder(path) => hub_cache::not_downloaded(path),
            Self::Embedded { .. } | Self::Single { .. } => None,
        };
        match listed {
            Some(message) => self.fault("", message),
            None => self.fault(name, otherwise),
        }
    }

    /// The names of the files directly in it, sorted.
    pub(super) fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = match self {
            Self::Folder(path) => {
                let entries = path.read_dir().into_iter().flatten().flatten();
                entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
            }
            Self::Embedded { entries, prefix } => {
                let inside = entries.iter().filter_map(|(path, _)| path.strip_prefix(prefix.as_str()));
                inside.filter(|path| !path.contains('/')).map(str::to_owned).collect()
            }
            Self::Single { .. } => Vec::new(),
        };
        names.sort();
        names
    }

    /// Whether there is a file of this name directly in it, be it a link that leads nowhere.
    pub(super) fn has(&self, name: &str) -> bool {
        self.names().iter().any(|file| file == name)
    }

    /// A whole file, or `None` if it does not exist.
    pub(super) fn read(&self, name: &str, limit: u64) -> Result<Option<Vec<u8>>> {
        let Some((file, length)) = (match self {
            Self::Folder(_) => self.open_file(name)?,
            Self::Embedded { .. } => return Ok(self.entry(name).map(<[u8]>::to_vec)),
            Self::Single { file, part } => return file.text_file(part, name),
        }) else {
            return Ok(None);
        };
        if length > limit {
            return Err(self.fault(name, format!("has {length} bytes, which is too many for a file of this kind")));
        }
        let mut bytes = Vec::with_capacity(length as usize);
        file.take(limit).read_to_end(&mut bytes).map_err(|source| self.unreadable(name, source))?;
        Ok(Some(bytes))
    }

    /// The text in a file, or `None` if it does not exist.
    pub(super) fn read_text(&self, name: &str, limit: u64) -> Result<Option<String>> {
        let Some(bytes) = self.read(name, limit)? else { return Ok(None) };
        text_file::decode(&bytes).map(Some).map_err(|message| self.fault(name, message))
    }

    /// A whole file as a view that costs no memory, or `None` if it does not exist.
    pub(super) fn map(&self, name: &str) -> Result<Option<Bytes>> {
        match self {
            Self::Embedded { .. } => Ok(self.entry(name).map(Bytes::Embedded)),
            Self::Single { .. } => Ok(None),
            Self::Folder(_) => match self.open_file(name)? {
                Some((file, length)) => {
                    let bytes = Bytes::map(&file, length).map_err(|source| self.unreadable(name, source))?;
                    Ok(Some(bytes))
                }
                None => Ok(None),
            },
        }
    }

    fn entry(&self, name: &str) -> Option<&'static [u8]> {
        let Self::Embedded { entries, prefix } = self else { return None };
        let wanted = |path: &str| path.strip_prefix(prefix.as_str()) == Some(name);
        entries.iter().find(|(path, _)| wanted(path)).map(|(_, bytes)| *bytes)
    }

    /// Opens a regular file and gives its length. Anything else by that name is refused: a pipe would block.
    fn open_file(&self, name: &str) -> Result<Option<(File, u64)>> {
        let path = self.path().join(name);
        let unreadable = |source| self.unreadable(name, source);
        match path.metadata() {
            Ok(metadata) if metadata.is_file() => Ok(Some((File::open(&path).map_err(unreadable)?, metadata.len()))),
            Ok(_) => Err(self.fault(name, "is not a regular file")),
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                // A link that leads nowhere is not the same as no file.
                hub_cache::broken_link(&path).map_or(Ok(None), |message| Err(self.fault(name, message)))
            }
            Err(error) => Err(unreadable(error)),
        }
    }

    fn unreadable(&self, name: &str, source: std::io::Error) -> Error {
        Error::File { action: "cannot read", path: self.path_of(name), source }
    }
}

/// Whether a file's name is that of a checkpoint, be it one that is refused for what can hide in it.
fn may_be_checkpoint(path: &Path) -> bool {
    let known =
        path.extension().is_some_and(|ending| ["safetensors", "sft"].iter().any(|it| ending.eq_ignore_ascii_case(it)));
    known || kind::refused_by_name(path).is_some()
}

/// The bytes of one file.
#[derive(Debug)]
pub(super) enum Bytes {
    Mapped(Mmap),
    Embedded(&'static [u8]),
}

impl Bytes {
    /// A view of a file of this length.
    pub fn map(file: &File, length: u64) -> std::io::Result<Self> {
        // Not every system can map an empty file.
        if length == 0 {
            return Ok(Self::Embedded(&[]));
        }
        // SAFETY: sound as long as no other process shortens the file while it is mapped. Every program that maps weights
        // relies on this. The view is dropped once the weights are read.
        #[expect(unsafe_code, reason = "mapping a file has no safe interface")]
        let map = unsafe { Mmap::map(file) };
        map.map(Self::Mapped)
    }

    /// Lets the system take back the memory of this part. It is read from the file again if it is touched.
    pub fn release(&self, part: Range<usize>) {
        #[cfg(unix)]
        if let Self::Mapped(map) = self {
            // SAFETY: the pages belong to a file and are never written, so the system can read them again when touched.
            #[expect(unsafe_code, reason = "the same advice would empty an anonymous map")]
            let advised = unsafe { map.unchecked_advise_range(UncheckedAdvice::DontNeed, part.start, part.len()) };
            // If the system ignores the advice, memory is the only cost.
            let _ = advised;
        }
        #[cfg(not(unix))]
        let _ = (self, part);
    }
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Mapped(map) => map,
            Self::Embedded(bytes) => bytes,
        }
    }
}
