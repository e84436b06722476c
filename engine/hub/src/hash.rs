//! What the hub calls its files by, and whether what arrived is it: the sha256 of a large file, git's sha1 of a small
//! one. Servers that copy the hub may give other names, which say nothing of the content.

use std::fmt::Write;

use sha1::Sha1;
use sha2::{Digest, Sha256};

/// A hash that grows with a file.
pub(crate) enum Hash {
    Sha256(Sha256),
    Git(Sha1),
    None,
}

impl Hash {
    /// The kind of hash that `etag` is, of a file with this many bytes, before its first.
    pub fn new(etag: &str, bytes: u64) -> Self {
        if !etag.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Self::None;
        }
        match etag.len() {
            64 => Self::Sha256(Sha256::new()),
            40 => Self::Git(Sha1::new_with_prefix(format!("blob {bytes}\0"))),
            _ => Self::None,
        }
    }

    /// More of the file.
    pub fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha256(hash) => hash.update(bytes),
            Self::Git(hash) => hash.update(bytes),
            Self::None => {}
        }
    }

    /// What kind it is and what it came to, in small hex digits; `None` if nothing can be said.
    pub fn finish(self) -> Option<(&'static str, String)> {
        let hex = |bytes: &[u8]| {
            bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
                // Writing to a string cannot fail.
                let _ = write!(text, "{byte:02x}");
                text
            })
        };
        match self {
            Self::Sha256(hash) => Some(("sha256", hex(&hash.finalize()))),
            Self::Git(hash) => Some(("git hash", hex(&hash.finalize()))),
            Self::None => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_those_of_sha256sum_and_git() {
        let of = |etag: &str| {
            let mut hash = Hash::new(etag, 6);
            hash.update(b"hel");
            hash.update(b"lo\n");
            hash.finish()
        };
        let sha256 = "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03";
        assert_eq!(of(&"a".repeat(64)), Some(("sha256", sha256.to_owned())));
        // git hash-object
        assert_eq!(of(&"a".repeat(40)), Some(("git hash", "ce013625030ba8dba906f756967f9e9ca394464a".to_owned())));
        assert_eq!(of("abc-5"), None);
        assert_eq!(of(&"z".repeat(64)), None);
    }
}
