//! Names of repositories, and which names may become paths on this computer.

use std::fmt::{self, Display};

use serde::{Deserialize, Deserializer};

use crate::{Error, Result};

/// ORG/NAME, as on the hub.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RepositoryId(String);

impl RepositoryId {
    /// Reads ORG/NAME. Each half has letters, digits, `-`, `_` and `.`, does not begin or end with `-` or `.`, and has
    /// neither `--` nor `..`: the cache joins the halves with `--` (huggingface_hub, `utils/_validators.py`).
    pub fn parse(text: &str) -> Result<Self> {
        let good = |half: &str| {
            let plain = half.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
            let edges = !half.starts_with(['-', '.']) && !half.ends_with(['-', '.']);
            !half.is_empty() && half.len() <= 96 && plain && edges && !half.contains("--") && !half.contains("..")
        };
        match text.split_once('/') {
            Some((organization, name)) if good(organization) && good(name) => Ok(Self(text.to_owned())),
            _ => Err(Error::Name(text.to_owned())),
        }
    }

    /// The name without the organization.
    pub fn name(&self) -> &str {
        self.0.split_once('/').map_or(&self.0, |(_, name)| name)
    }

    /// The name of its folder in the cache.
    pub fn folder(&self) -> String {
        format!("models--{}", self.0.replace('/', "--"))
    }

    /// The repository whose folder in the cache has this name.
    pub fn of_folder(folder: &str) -> Option<Self> {
        let (organization, name) = folder.strip_prefix("models--")?.split_once("--")?;
        Self::parse(&format!("{organization}/{name}")).ok()
    }
}

impl Display for RepositoryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for RepositoryId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(|_| serde::de::Error::custom(format!("{text:?} is not ORG/NAME")))
    }
}

/// Whether a name may be a file's or a folder's on every system: not empty, no separators, nothing that leads elsewhere.
pub(crate) fn is_plain_name(name: &str) -> bool {
    let foreign = |c: char| c.is_control() || r#"/\:*?"<>|"#.contains(c);
    !name.is_empty() && name.len() <= 255 && name != "." && name != ".." && !name.contains(foreign)
}

/// Whether a path inside a repository stays inside: plain names with `/` between them.
pub(crate) fn is_plain_path(path: &str) -> bool {
    path.len() <= 1024 && path.split('/').all(is_plain_name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_folders_lead_to_each_other() {
        let id = RepositoryId::parse("XCLiu/instaflow_0_9B_from_sd_1_5").expect("a good name");
        assert_eq!(id.folder(), "models--XCLiu--instaflow_0_9B_from_sd_1_5");
        assert_eq!(RepositoryId::of_folder(&id.folder()).as_ref(), Some(&id));
        assert_eq!(id.name(), "instaflow_0_9B_from_sd_1_5");
        for wrong in ["", "x", "/x", "x/", "a/b/c", "../x", "a/..", "a--b/c", "a/-b", "a b/c", "a/b.", "ä/b"] {
            assert!(RepositoryId::parse(wrong).is_err(), "{wrong:?}");
        }
        for other in ["blobs", "datasets--a--b", "models--a", ".locks"] {
            assert_eq!(RepositoryId::of_folder(other), None, "{other}");
        }
    }

    #[test]
    fn only_plain_paths_stay_inside() {
        for good in ["model_index.json", "unet/config.json", "a/b c/ü.safetensors", "..a"] {
            assert!(is_plain_path(good), "{good:?}");
        }
        for wrong in ["", "/etc/passwd", "../a", "a/../b", "a//b", "a\\b", "c:a", "a/\0", "a/"] {
            assert!(!is_plain_path(wrong), "{wrong:?}");
        }
    }
}
