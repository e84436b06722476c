//! The hub's cache, which programs share: a folder for each repository, in it `blobs/` with the files under the names
//! that the hub gives them, `snapshots/COMMIT/` with links into it under the files' own names, and `refs/` with the
//! commits of branches. Since huggingface_hub 2, a blob may itself be a link into `blobs/XX/` of the whole cache. On
//! Windows, a snapshot may hold files instead of links. Nothing here writes.

use std::path::{Path, PathBuf};
use std::{fs, io};

use crate::catalogue::{Entry, Piece, Role};
use crate::repository::{RepositoryId, is_plain_name, is_plain_path};
use crate::selection::{Weights, select};
use crate::{Error, Result};

/// A snapshot may nest this deep and hold this many files; no model comes near.
const DEPTH: usize = 8;
const MOST_FILES: usize = 20_000;

/// The folder that programs share.
#[derive(Clone, Debug)]
pub struct Cache {
    folder: PathBuf,
}

/// One commit of a repository in the cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The commit.
    pub commit: String,
    /// The folder with the files.
    pub folder: PathBuf,
}

/// How much of a model is in the cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Nothing.
    Absent,
    /// Some of it: a download that was broken off, or other files of the same repository.
    Partial {
        /// Bytes that are here.
        bytes: u64,
    },
    /// All of it.
    Here {
        /// Bytes of its files.
        bytes: u64,
        /// For each piece in order, the folder or the single file to open.
        paths: Vec<PathBuf>,
    },
}

/// A piece of a model that is here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// What the piece is for.
    pub role: Role,
    /// The folder or the single file to open.
    pub path: PathBuf,
}

impl Cache {
    /// The cache in this folder, which need not exist.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }

    /// The folder with a folder for each repository.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The folder of a repository, whether it exists or not.
    pub fn repository(&self, id: &RepositoryId) -> PathBuf {
        self.folder.join(id.folder())
    }

    /// The repositories of models in the cache, by name.
    pub fn repositories(&self) -> Vec<RepositoryId> {
        let entries = self.folder.read_dir().into_iter().flatten().flatten();
        let names = entries.filter_map(|entry| RepositoryId::of_folder(entry.file_name().to_str()?));
        let mut names: Vec<RepositoryId> = names.collect();
        names.sort();
        names
    }

    /// The snapshot of a branch, tag or commit. Without a note of which commit the branch has, it is the only one.
    pub fn snapshot(&self, id: &RepositoryId, revision: &str) -> Option<Snapshot> {
        let repository = self.repository(id);
        let snapshots = repository.join("snapshots");
        let at = |commit: &str| {
            let folder = snapshots.join(commit);
            (is_plain_name(commit) && folder.is_dir()).then(|| Snapshot { commit: commit.to_owned(), folder })
        };
        if let Some(commit) = read_ref(&repository, revision) {
            return at(&commit);
        }
        if let Some(snapshot) = at(revision) {
            return Some(snapshot);
        }
        let mut commits = snapshots.read_dir().ok()?.flatten();
        match (commits.next(), commits.next()) {
            (Some(only), None) if revision == "main" => at(only.file_name().to_str()?),
            _ => None,
        }
    }

    /// How much of a model is here.
    pub fn state(&self, entry: &Entry) -> State {
        let mut all = 0;
        let mut paths = Vec::new();
        for piece in &entry.pieces {
            match self.piece(piece) {
                Some((path, bytes)) => {
                    all += bytes;
                    paths.push(path);
                }
                None => all += self.bytes_toward(piece),
            }
        }
        match (paths.len() == entry.pieces.len(), all) {
            (true, bytes) => State::Here { bytes, paths },
            (false, 0) => State::Absent,
            (false, bytes) => State::Partial { bytes },
        }
    }

    /// Where the pieces of a model are, or that it is not here.
    pub fn find(&self, entry: &Entry) -> Result<Vec<Found>> {
        match self.state(entry) {
            State::Here { paths, .. } => {
                let found = entry.pieces.iter().zip(paths).map(|(piece, path)| Found { role: piece.role, path });
                Ok(found.collect())
            }
            _ => Err(Error::NotHere(entry.id.clone())),
        }
    }

    /// The folder or file to open for one piece, and the bytes of its files, if all of them are here.
    fn piece(&self, piece: &Piece) -> Option<(PathBuf, u64)> {
        let snapshot = self.snapshot(&piece.repository, piece.revision())?;
        let names = snapshot.files();
        let chosen = match &piece.files {
            Some(files) => files.clone(),
            None => select(&names, None, piece.weights.unwrap_or(Weights::Full)).ok()?,
        };
        let mut bytes = 0;
        for name in &chosen {
            bytes += snapshot.size(name)?;
        }
        Some((snapshot.to_open(&chosen), bytes))
    }

    /// The bytes in the cache that a download of this piece would not have to fetch again, as far as that can be told
    /// without asking the hub.
    fn bytes_toward(&self, piece: &Piece) -> u64 {
        if let Some(files) = &piece.files {
            let snapshot = self.snapshot(&piece.repository, piece.revision());
            return snapshot.map_or(0, |snapshot| files.iter().filter_map(|name| snapshot.size(name)).sum());
        }
        let blobs = self.repository(&piece.repository).join("blobs").read_dir().into_iter().flatten().flatten();
        blobs.filter_map(|entry| Some(entry.path().metadata().ok()?.len())).sum()
    }

    /// A blob of this name and size in any repository: what one has, another need not fetch. Only names that are
    /// hashes of the content say that.
    #[cfg(feature = "download")]
    pub(crate) fn same_blob(&self, etag: &str, size: u64) -> Option<PathBuf> {
        if etag.len() != 64 || !etag.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        let folders = self.folder.read_dir().ok()?.flatten();
        let blobs = folders.map(|entry| entry.path().join("blobs").join(etag));
        blobs
            .into_iter()
            .find(|blob| blob.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.len() == size))
    }
}

impl Snapshot {
    /// The size of a file whose blob is here.
    pub fn size(&self, path: &str) -> Option<u64> {
        let metadata = self.folder.join(path).metadata().ok()?;
        metadata.is_file().then_some(metadata.len())
    }

    /// The paths of all files in it whose blobs are here, with `/` between folders, sorted.
    pub fn files(&self) -> Vec<String> {
        let mut found = Vec::new();
        let mut folders = vec![(self.folder.clone(), String::new(), 0)];
        while let Some((folder, prefix, depth)) = folders.pop() {
            for entry in folder.read_dir().into_iter().flatten().flatten() {
                let Ok(name) = entry.file_name().into_string() else { continue };
                // Follows links: a blob that is not here is not counted.
                let Ok(metadata) = entry.path().metadata() else { continue };
                if metadata.is_file() {
                    found.push(format!("{prefix}{name}"));
                } else if metadata.is_dir() && depth < DEPTH {
                    folders.push((entry.path(), format!("{prefix}{name}/"), depth + 1));
                }
                if found.len() >= MOST_FILES {
                    return found;
                }
            }
        }
        found.sort();
        found
    }

    /// What to open if these files are used: the only one, or the folder.
    pub(crate) fn to_open(&self, files: &[String]) -> PathBuf {
        match files {
            [only] => self.folder.join(only),
            _ => self.folder.clone(),
        }
    }
}

/// The commit that a branch has.
fn read_ref(repository: &Path, revision: &str) -> Option<String> {
    if !is_plain_path(revision) {
        return None;
    }
    let path = repository.join("refs").join(revision);
    let small = path.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.len() <= 256);
    let commit = small.then(|| fs::read_to_string(&path).ok()).flatten()?;
    Some(commit.trim().to_owned())
}

/// Whether there is anything by this name, be it a link to nowhere.
pub(crate) fn is_there(path: &Path) -> io::Result<bool> {
    match path.symlink_metadata() {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::catalogue::Catalogue;

    fn write(path: &Path, bytes: &[u8]) {
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        fs::write(path, bytes).expect("written");
    }

    /// Adds a file to a snapshot the way programs do: a blob and a link to it.
    fn add(repository: &Path, commit: &str, name: &str, bytes: &[u8]) {
        let blob = format!("{name:x>40}").replace(['/', '.', '_'], "0");
        write(&repository.join("blobs").join(&blob), bytes);
        let link = repository.join("snapshots").join(commit).join(name);
        fs::create_dir_all(link.parent().expect("a folder")).expect("made");
        let up = "../".repeat(2 + name.matches('/').count());
        symlink(format!("{up}blobs/{blob}"), link).expect("linked");
    }

    const FILES: [&str; 8] = [
        "model_index.json",
        "tokenizer/vocab.json",
        "text_encoder/config.json",
        "text_encoder/model.safetensors",
        "unet/config.json",
        "unet/diffusion_pytorch_model.safetensors",
        "vae/config.json",
        "vae/diffusion_pytorch_model.safetensors",
    ];

    fn model(cache: &Cache, commit: &str) -> (Entry, PathBuf) {
        let entry = Catalogue::bundled().expect("good").target("example/tiny-hills").expect("a repository");
        let repository = cache.repository(&entry.pieces[0].repository);
        for name in FILES {
            add(&repository, commit, name, b"12345");
        }
        (entry, repository)
    }

    #[test]
    fn a_model_is_found_by_its_branch() {
        let folder = tempfile::tempdir().expect("a folder");
        let cache = Cache::new(folder.path());
        let empty = Catalogue::bundled().expect("good").target("example/tiny-hills").expect("a repository");
        assert_eq!(cache.state(&empty), State::Absent);
        assert!(cache.find(&empty).expect_err("not here").to_string().contains("download it first"));

        let (entry, repository) = model(&cache, "aaaa");
        let here = |commit: &str| State::Here { bytes: 40, paths: vec![repository.join("snapshots").join(commit)] };
        assert_eq!(cache.state(&entry), here("aaaa"), "the only snapshot, without refs");
        model(&cache, "bbbb");
        assert!(matches!(cache.state(&entry), State::Partial { .. }), "two, and nothing says which");
        write(&repository.join("refs/main"), b"bbbb\n");
        assert_eq!(cache.state(&entry), here("bbbb"));
        assert_eq!(cache.repositories().len(), 1);
        let pinned = cache.snapshot(&entry.pieces[0].repository, "aaaa").expect("by commit");
        assert_eq!(pinned.commit, "aaaa");
        write(&repository.join("refs/main"), b"../../..");
        assert_eq!(cache.snapshot(&entry.pieces[0].repository, "main"), None, "a ref does not lead out of the cache");
    }

    #[test]
    fn a_model_without_a_blob_is_not_all_there() {
        let folder = tempfile::tempdir().expect("a folder");
        let cache = Cache::new(folder.path());
        let (entry, repository) = model(&cache, "aaaa");
        let link = repository.join("snapshots/aaaa/unet/diffusion_pytorch_model.safetensors");
        let blob = link.canonicalize().expect("a blob");

        // The newer layout: the blob is itself a link, into the cache's own blobs/.
        let shared = cache.folder().join("blobs/ab").join("ab".repeat(32));
        fs::create_dir_all(shared.parent().expect("a folder")).expect("made");
        fs::rename(&blob, &shared).expect("moved");
        symlink(format!("../../blobs/ab/{}", "ab".repeat(32)), &blob).expect("linked");
        assert!(matches!(cache.state(&entry), State::Here { bytes: 40, .. }));
        assert_eq!(cache.repositories().len(), 1, "blobs/ is no repository");

        fs::remove_file(&shared).expect("removed");
        assert_eq!(cache.state(&entry), State::Partial { bytes: 35 });
    }

    #[test]
    fn one_file_of_a_repository_is_opened_as_a_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let cache = Cache::new(folder.path());
        let entry = Catalogue::bundled().expect("good").target("hyper-sd-lora").expect("known");
        let repository = cache.repository(&entry.pieces[0].repository);
        add(&repository, "aaaa", "other.safetensors", b"1");
        assert_eq!(cache.state(&entry), State::Absent, "another file of the same repository");
        let name = "Hyper-SD15-1step-lora.safetensors";
        add(&repository, "aaaa", name, b"123");
        let found = cache.find(&entry).expect("here");
        assert_eq!(found, [Found { role: Role::Lora, path: repository.join("snapshots/aaaa").join(name) }]);
    }
}
