//! The one error type of this crate. Each variant reads as a sentence: what is wrong and what to do about it. Add a kind
//! of failure here, and where the hub's answer is read (`client.rs`).

use std::io;
use std::path::{Path, PathBuf};

/// What went wrong, as a sentence. [`std::error::Error::source`] gives the cause.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The text names no model.
    #[error("{0} names no model: give an ID of the catalogue, or ORG/NAME as on the hub")]
    Name(String),

    /// A catalogue cannot be read.
    #[error("{}: {message}", path.display())]
    Catalogue {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },

    /// A model is not in the cache.
    #[error("{0} is not downloaded, or not completely: download it first")]
    NotHere(String),

    /// The model's users must have agreed to terms on its page.
    #[error(
        "{repository} is only for those who have agreed to its terms: agree on {page}, then put an access token of that \
         account into HF_TOKEN"
    )]
    Gated {
        /// ORG/NAME.
        repository: String,
        /// Where the terms are.
        page: String,
    },

    /// There is no such repository, or this person may not see it; the hub does not say which.
    #[error(
        "{repository} is not on {endpoint}, or is private: check the name, or put an access token of an account that may \
         see it into HF_TOKEN"
    )]
    NoRepository {
        /// ORG/NAME.
        repository: String,
        /// The hub's address.
        endpoint: String,
    },

    /// The hub does not know the token.
    #[error("the hub refuses the access token, which comes from {from}: renew it, or take it away")]
    Token {
        /// Where the token was found.
        from: String,
    },

    /// There is no such branch, tag or commit.
    #[error("{repository} has no revision {revision}: check the name of the branch, tag or commit")]
    NoRevision {
        /// ORG/NAME.
        repository: String,
        /// What was asked for.
        revision: String,
    },

    /// The repository lacks a file.
    #[error("{repository} has no file {file}: its authors may have renamed or removed it")]
    NoFile {
        /// ORG/NAME.
        repository: String,
        /// The path inside it.
        file: String,
    },

    /// The repository holds nothing that this program opens.
    #[error("{repository} {why}")]
    Unusable {
        /// ORG/NAME.
        repository: String,
        /// Why not, the end of a sentence.
        why: String,
    },

    /// Too many requests, and waiting has not helped.
    #[error("the hub answers no more requests from here for now (too many): try again {}", later(*seconds))]
    RateLimited {
        /// How long the hub asks to wait, if it says so.
        seconds: Option<u64>,
    },

    /// The hub itself fails.
    #[error("the hub has a fault of its own ({status}) at {address}: try again later")]
    Server {
        /// The status of its answer.
        status: u16,
        /// What was asked for.
        address: String,
    },

    /// The answer makes no sense.
    #[error("{address} gives an answer that is none of a hub's: {why}")]
    Answer {
        /// What was asked for.
        address: String,
        /// What is wrong with it.
        why: String,
    },

    /// The connection broke off again and again.
    #[error(
        "the connection broke off while {file} was on its way ({why}); what has arrived is kept: start the download \
         again to continue it"
    )]
    Cut {
        /// The path inside the repository, or what else was read.
        file: String,
        /// How it broke off.
        why: String,
    },

    /// No connection at all.
    #[error("cannot reach {host} ({why}): check the connection, and HTTPS_PROXY if you are behind a proxy")]
    Unreachable {
        /// Host and port.
        host: String,
        /// Why not.
        why: String,
    },

    /// The other side cannot prove who it is.
    #[error(
        "the connection to {host} is not secure ({why}): check this computer's clock and certificates, and the network"
    )]
    Insecure {
        /// Host and port.
        host: String,
        /// What is wrong with its certificate.
        why: String,
    },

    /// A proxy's address cannot be read.
    #[error("{variable} is no address of a proxy: write for example http://proxy.example:8080")]
    Proxy {
        /// Which variable of the environment.
        variable: String,
    },

    /// What arrived is not what the hub said it would be.
    #[error(
        "{file} arrived whole but wrong: its {kind} is {actual}, not {expected}. It was thrown away; if it happens again, \
         something between here and the hub changes files"
    )]
    Hash {
        /// The path inside the repository.
        file: String,
        /// "sha256", or "git hash".
        kind: &'static str,
        /// What the hub said.
        expected: String,
        /// What arrived.
        actual: String,
    },

    /// There is not enough room.
    #[error("{} more are needed in {}, but {} are free: make room, or set HF_HUB_CACHE to a folder on another disk",
        crate::readable_bytes(*needed), folder.display(), crate::readable_bytes(*free))]
    DiskFull {
        /// The cache.
        folder: PathBuf,
        /// Bytes that are still to come.
        needed: u64,
        /// Bytes that are free.
        free: u64,
    },

    /// The disk filled up during the download.
    #[error("{} cannot grow: the disk is full. What has arrived is kept: make room and start the download again", path.display())]
    NoSpaceLeft {
        /// Which file.
        path: PathBuf,
    },

    /// The cache belongs to somebody else.
    #[error("{} must not be written by you: change its permissions, or set HF_HUB_CACHE to a folder of your own", path.display())]
    Permission {
        /// Which file or folder.
        path: PathBuf,
    },

    /// A file could not be read or written.
    #[error("{action} {}", path.display())]
    File {
        /// What failed: "cannot read", "cannot write" …
        action: &'static str,
        /// Which file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },

    /// The person has switched the network off.
    #[error("{0} would need the network, but HF_HUB_OFFLINE is set: take it away to download")]
    Offline(String),

    /// The licence has not been accepted.
    #[error("the licence of {0} has not been accepted: read it and accept it first")]
    Licence(String),

    /// Another program downloads into or removes from the same place.
    #[error("another program works on {} right now: try again when it is done", path.display())]
    Busy {
        /// What it works on.
        path: PathBuf,
    },

    /// It was stopped on purpose. What has arrived is kept.
    #[error("stopped")]
    Stopped,
}

/// The result of everything in this crate that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// Whether it was stopped on purpose.
    pub fn is_stopped(&self) -> bool {
        matches!(self, Self::Stopped)
    }

    /// An error of the file system, with the kinds that a person can do something about told apart.
    pub(crate) fn file(action: &'static str, path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::NoSpaceLeft { path },
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => Self::Permission { path },
            _ => Self::File { action, path, source },
        }
    }
}

fn later(seconds: Option<u64>) -> String {
    match seconds {
        Some(seconds) if seconds >= 120 => format!("in {} minutes", seconds.div_ceil(60)),
        Some(seconds) => format!("in {seconds} seconds"),
        None => "later".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_and_a_foreign_folder_have_sentences_of_their_own() {
        let path = Path::new("cache/blobs/a");
        let sentence = |kind| Error::file("cannot write", path, io::Error::from(kind)).to_string();
        assert!(sentence(io::ErrorKind::StorageFull).contains("disk is full"));
        assert!(sentence(io::ErrorKind::PermissionDenied).contains("permissions"));
        assert_eq!(sentence(io::ErrorKind::NotFound), "cannot write cache/blobs/a");
    }

    #[test]
    fn how_long_to_wait_is_said_in_words() {
        let sentence = |seconds| Error::RateLimited { seconds }.to_string();
        assert!(sentence(Some(30)).ends_with("in 30 seconds"));
        assert!(sentence(Some(301)).ends_with("in 6 minutes"));
        assert!(sentence(None).ends_with("later"));
    }
}
