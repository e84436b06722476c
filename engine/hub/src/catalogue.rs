//! The models that are known to be of use here. `assets/catalogue.json` lists them; a file of the same form in the
//! program's folder for settings adds more, or replaces those with the same IDs.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::repository::{RepositoryId, is_plain_path};
use crate::selection::Weights;
use crate::{Error, Result};

/// The name of the file that adds to the catalogue.
pub const FILE_NAME: &str = "catalogue.json";

/// A person's own catalogue may be this large.
const LIMIT: u64 = 4 << 20;

/// What a model is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Draws in one step or a few, while a person types.
    Student,
    /// What a student was distilled from.
    Teacher,
    /// A third model to compare with.
    Baseline,
    /// A small AutoencoderTiny in place of a model's own decoder.
    TinyDecoder,
    /// A full decoder in place of a model's own.
    Vae,
    /// Changes the weights of a model.
    Lora,
    /// Makes a model follow the structure of a picture.
    Controlnet,
    /// A word of its own for prompts.
    Embedding,
    /// Whatever it is.
    Other,
}

/// A licence that models here are under.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LicenceText {
    /// Its full name.
    pub name: String,
    /// Where it can be read.
    pub address: String,
}

/// One repository of a model.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Piece {
    /// Where it is.
    pub repository: RepositoryId,
    /// What it is for.
    pub role: Role,
    /// The branch, tag or commit; `main` if absent.
    #[serde(default)]
    pub revision: Option<String>,
    /// The files that are needed; if absent, they are chosen by the rules of [`crate::selection`].
    #[serde(default)]
    pub files: Option<Vec<String>>,
    /// Which weights to take if there are several, whatever the device.
    #[serde(default)]
    pub weights: Option<Weights>,
}

impl Piece {
    /// The branch, tag or commit.
    pub fn revision(&self) -> &str {
        self.revision.as_deref().unwrap_or("main")
    }
}

/// One model of the catalogue.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// What a person types.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Where it comes from; a pair has two, the student first.
    pub pieces: Vec<Piece>,
    /// IDs of its licences, as far as they are known before its page is read.
    #[serde(default)]
    pub licences: Vec<String>,
    /// About how many bytes a download takes, if that is known.
    #[serde(default)]
    pub bytes: Option<u64>,
    /// One line on what it is good for.
    #[serde(default)]
    pub good_for: String,
}

/// The models that are known here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Catalogue {
    /// By ID.
    #[serde(default)]
    pub licences: BTreeMap<String, LicenceText>,
    /// In the order in which they are shown.
    #[serde(default)]
    pub models: Vec<Entry>,
}

impl Catalogue {
    /// The program's own.
    pub fn bundled() -> Result<Self> {
        let text = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../assets/catalogue.json"));
        Self::read_text(text, Path::new("assets/catalogue.json"))
    }

    /// The program's own with what the file in `folder` adds, if there is one.
    pub fn with_own(folder: Option<&Path>) -> Result<Self> {
        let mut catalogue = Self::bundled()?;
        let Some(path) = folder.map(|folder| folder.join(FILE_NAME)) else { return Ok(catalogue) };
        let length = match path.metadata() {
            Ok(metadata) => metadata.len(),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(catalogue),
            Err(source) => return Err(Error::file("cannot read", &path, source)),
        };
        if length > LIMIT {
            let message = format!("has {length} bytes, which is too many for a catalogue");
            return Err(Error::Catalogue { path, message });
        }
        let text = std::fs::read_to_string(&path).map_err(|source| Error::file("cannot read", &path, source))?;
        catalogue.merge(Self::read_text(&text, &path)?);
        Ok(catalogue)
    }

    fn read_text(text: &str, path: &Path) -> Result<Self> {
        let fault = |message: String| Error::Catalogue { path: path.to_owned(), message };
        let catalogue: Self = serde_json::from_str(text.trim_start_matches('\u{feff}'))
            .map_err(|error| fault(format!("is no catalogue of models: {error}")))?;
        for entry in &catalogue.models {
            entry.check().map_err(fault)?;
        }
        Ok(catalogue)
    }

    /// Adds what another catalogue has. Where both have an ID, the other's counts.
    fn merge(&mut self, other: Self) {
        self.licences.extend(other.licences);
        for entry in other.models {
            match self.models.iter_mut().find(|model| model.id == entry.id) {
                Some(model) => *model = entry,
                None => self.models.push(entry),
            }
        }
    }

    /// The entry with this ID.
    pub fn entry(&self, id: &str) -> Option<&Entry> {
        self.models.iter().find(|entry| entry.id == id)
    }

    /// What a person means by an ID of the catalogue, ORG/NAME, or ORG/NAME/FILE for one file of a repository.
    pub fn target(&self, name: &str) -> Result<Entry> {
        if let Some(entry) = self.entry(name) {
            return Ok(entry.clone());
        }
        let mut parts = name.splitn(3, '/');
        let (Some(organization), Some(repository)) = (parts.next(), parts.next()) else {
            return Err(Error::Name(name.to_owned()));
        };
        let repository = RepositoryId::parse(&format!("{organization}/{repository}"))?;
        let files = match parts.next() {
            Some(file) if is_plain_path(file) => Some(vec![file.to_owned()]),
            Some(_) => return Err(Error::Name(name.to_owned())),
            None => None,
        };
        // A repository of the catalogue is fetched as the catalogue says, except if a file of it was named.
        let known =
            self.models.iter().find(|entry| entry.pieces.len() == 1 && entry.pieces[0].repository == repository);
        if let (Some(entry), None) = (known, &files) {
            return Ok(entry.clone());
        }
        Ok(Entry {
            id: name.to_owned(),
            name: name.to_owned(),
            pieces: vec![Piece { repository, role: Role::Other, revision: None, files, weights: None }],
            licences: Vec::new(),
            bytes: None,
            good_for: String::new(),
        })
    }
}

impl Entry {
    /// The sentence that is wrong with it, if anything is.
    fn check(&self) -> Result<(), String> {
        let id = &self.id;
        if id.is_empty() || !id.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_.".contains(c)) {
            return Err(format!("has the ID {id:?}: an ID has small letters, digits, '-', '_' and '.'"));
        }
        if self.pieces.is_empty() {
            return Err(format!("names no repository for {id}"));
        }
        let files = self.pieces.iter().flat_map(|piece| piece.files.iter().flatten());
        match files.into_iter().find(|file| !is_plain_path(file)) {
            Some(file) => Err(format!("names the file {file:?} for {id}, which is no path inside a repository")),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bundled_catalogue_is_good() {
        let catalogue = Catalogue::bundled().expect("a good catalogue");
        for id in ["instaflow", "taesd", "sd15", "sdxs-dreamshaper", "sd-turbo", "perflow", "lcm-lora", "hyper-sd-lora"]
        {
            let entry = catalogue.entry(id).expect(id);
            assert!(!entry.good_for.is_empty() && !entry.name.is_empty(), "{id}");
        }
        for entry in &catalogue.models {
            for licence in &entry.licences {
                assert!(catalogue.licences.contains_key(licence), "{}: {licence}", entry.id);
            }
            let same = catalogue.models.iter().filter(|other| other.id == entry.id).count();
            assert_eq!(same, 1, "{}", entry.id);
        }
        let roles: Vec<Role> =
            catalogue.entry("instaflow").expect("it").pieces.iter().map(|piece| piece.role).collect();
        assert_eq!(roles, [Role::Student, Role::Teacher]);
    }

    #[test]
    fn a_file_of_ones_own_adds_and_replaces() {
        let folder = tempfile::tempdir().expect("a folder");
        let write = |text: &str| std::fs::write(folder.path().join(FILE_NAME), text).expect("written");
        write(
            r#"{"models": [
                {"id": "sd15", "name": "Mine", "pieces": [{"repository": "a/b", "role": "baseline"}]},
                {"id": "new", "name": "New", "pieces": [{"repository": "a/c", "role": "lora", "files": ["x.safetensors"]}]}
            ]}"#,
        );
        let catalogue = Catalogue::with_own(Some(folder.path())).expect("a good catalogue");
        assert_eq!(catalogue.entry("sd15").expect("it").name, "Mine");
        assert_eq!(catalogue.models.last().expect("one").id, "new");
        assert!(catalogue.entry("instaflow").is_some());

        for (text, words) in [
            ("{", "no catalogue"),
            (
                r#"{"models": [{"id": "A", "name": "", "pieces": [{"repository": "a/b", "role": "lora"}]}]}"#,
                "small letters",
            ),
            (r#"{"models": [{"id": "a", "name": "", "pieces": []}]}"#, "names no repository"),
            (r#"{"models": [{"id": "a", "name": "", "pieces": [{"repository": "b", "role": "lora"}]}]}"#, "ORG/NAME"),
            (
                r#"{"models": [{"id": "a", "name": "", "pieces": [{"repository": "a/b", "role": "lora", "files": ["../x"]}]}]}"#,
                "no path inside",
            ),
        ] {
            write(text);
            let error = Catalogue::with_own(Some(folder.path())).expect_err(text).to_string();
            assert!(error.contains(words) && error.contains(FILE_NAME), "{error}");
        }
    }

    #[test]
    fn a_name_is_an_id_a_repository_or_one_file_of_it() {
        let catalogue = Catalogue::bundled().expect("a good catalogue");
        assert_eq!(catalogue.target("sd-turbo").expect("known").id, "sd-turbo");
        assert_eq!(catalogue.target("stabilityai/sd-turbo").expect("known").id, "sd-turbo");
        let other = catalogue.target("someone/something").expect("a repository");
        assert_eq!((other.pieces[0].role, other.pieces[0].files.as_deref()), (Role::Other, None));
        let file = catalogue.target("ByteDance/Hyper-SD/a/b.safetensors").expect("a file");
        assert_eq!(file.pieces[0].files.as_deref(), Some(&["a/b.safetensors".to_owned()][..]));
        for wrong in ["nothing", "", "a/b/../c", "../b", "a/b/"] {
            assert!(catalogue.target(wrong).is_err(), "{wrong:?}");
        }
    }
}
