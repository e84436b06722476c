//! Which licences a person has accepted. An acceptance holds for one licence of one commit of one repository: what comes
//! later is shown again.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// The name of the file with the acceptances, in the program's folder for settings.
const FILE_NAME: &str = "accepted_licences.json";

/// A list of acceptances larger than this was not written here.
const LIMIT: u64 = 16 << 20;

/// A licence of a repository.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Licence {
    /// ORG/NAME.
    pub repository: String,
    /// The commit that it is the licence of.
    pub commit: String,
    /// Its short name, as on the hub.
    pub id: String,
    /// Its full name.
    pub name: String,
    /// Where it can be read.
    pub address: String,
}

/// The licences that a person has accepted.
#[derive(Clone, Debug, Default)]
pub struct Acceptances {
    path: Option<PathBuf>,
    accepted: BTreeSet<Accepted>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Accepted {
    repository: String,
    commit: String,
    licence: String,
}

#[derive(Default, Serialize, Deserialize)]
struct Stored {
    accepted: BTreeSet<Accepted>,
}

impl Acceptances {
    /// Those that are kept in the program's folder for settings; without a folder, they are forgotten at the end. A file
    /// that cannot be read counts as empty: then licences are shown once more.
    pub fn read(settings: Option<&Path>) -> Self {
        let path = settings.map(|folder| folder.join(FILE_NAME));
        let read = |path: &PathBuf| {
            let small = path.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.len() <= LIMIT);
            small.then(|| std::fs::read(path).ok()).flatten()
        };
        let stored = path.as_ref().and_then(read).and_then(|bytes| serde_json::from_slice::<Stored>(&bytes).ok());
        Self { path, accepted: stored.unwrap_or_default().accepted }
    }

    /// Whether all of these have been accepted.
    pub fn have_all(&self, licences: &[Licence]) -> bool {
        licences.iter().all(|licence| self.accepted.contains(&Accepted::of(licence)))
    }

    /// Accepts these, and keeps that.
    pub fn accept(&mut self, licences: &[Licence]) -> Result<()> {
        self.accepted.extend(licences.iter().map(Accepted::of));
        let Some(path) = &self.path else { return Ok(()) };
        let folder = path.parent().unwrap_or(Path::new("."));
        let stored = Stored { accepted: self.accepted.clone() };
        let written = serde_json::to_vec_pretty(&stored).map_err(std::io::Error::other).and_then(|bytes| {
            std::fs::create_dir_all(folder)?;
            let mut beside = tempfile::NamedTempFile::new_in(folder)?;
            beside.write_all(&bytes)?;
            beside.as_file().sync_all()?;
            beside.persist(path).map_err(|failed| failed.error)
        });
        written.map(drop).map_err(|source| Error::file("cannot write", path, source))
    }
}

impl Accepted {
    fn of(licence: &Licence) -> Self {
        let Licence { repository, commit, id, .. } = licence.clone();
        Self { repository, commit, licence: id }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_acceptance_is_for_one_licence_of_one_commit() {
        let folder = tempfile::tempdir().expect("a folder");
        let settings = folder.path().join("settings");
        let licence = |commit: &str, id: &str| Licence {
            repository: "a/b".to_owned(),
            commit: commit.to_owned(),
            id: id.to_owned(),
            name: String::new(),
            address: String::new(),
        };
        let mut accepted = Acceptances::read(Some(&settings));
        assert!(accepted.have_all(&[]) && !accepted.have_all(&[licence("1", "mit")]));
        accepted.accept(&[licence("1", "mit"), licence("1", "openrail++")]).expect("kept");

        let again = Acceptances::read(Some(&settings));
        assert!(again.have_all(&[licence("1", "mit")]));
        assert!(!again.have_all(&[licence("1", "mit"), licence("2", "mit")]), "another commit");
        assert!(!again.have_all(&[licence("1", "other")]), "another licence");
        std::fs::write(settings.join(FILE_NAME), "{").expect("written");
        assert!(!Acceptances::read(Some(&settings)).have_all(&[licence("1", "mit")]));
        let mut nowhere = Acceptances::read(None);
        nowhere.accept(&[licence("1", "mit")]).expect("nothing to write");
        assert!(nowhere.have_all(&[licence("1", "mit")]));
    }
}
