//! What a download would fetch: which files, how large, what of them is here, and under which licences.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;

use crate::catalogue::{Catalogue, Entry, Piece, Role};
use crate::client::{About, Client, Failure, Tries, header, odd, read_text};
use crate::download::Wait;
use crate::licence::Licence;
use crate::repository::{RepositoryId, is_plain_name, is_plain_path};
use crate::selection::{Weights, select};
use crate::{Cache, Error, Hub, Result, Stop};

/// What the hub says about a repository with a hundred thousand files has a few megabytes.
const LARGEST_INFO: u64 = 32 << 20;

/// What a download would fetch.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What the person asked for.
    pub id: String,
    /// The repositories, in the order of the catalogue.
    pub pieces: Vec<PlannedPiece>,
    /// The licences to read and to accept.
    pub licences: Vec<Licence>,
}

/// What a person wants of a model.
#[derive(Clone, Copy, Debug, Default)]
pub struct PlanOptions<'a> {
    /// A branch, tag or commit in place of the catalogue's.
    pub revision: Option<&'a str>,
    /// Which weights to take if there are two sizes.
    pub weights: Weights,
    /// Takes those of 16 bits, too, if the U-Net's full weights have at least this many bytes: then it will be computed
    /// in 16 bits anyway.
    pub half_from: Option<u64>,
}

/// One repository of a plan.
#[derive(Clone, Debug)]
pub struct PlannedPiece {
    /// Where it is.
    pub repository: RepositoryId,
    /// What it is for.
    pub role: Role,
    /// The branch, tag or commit that was asked for.
    pub revision: String,
    /// The commit that it is now.
    pub commit: String,
    /// The files that are needed.
    pub files: Vec<PlannedFile>,
}

/// One file of a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedFile {
    /// Its path in the repository.
    pub path: String,
    /// Its size.
    pub bytes: u64,
    /// What the hub calls its content: a sha256 (64 hex digits), a git hash (40), or something else.
    pub etag: String,
    /// Bytes of it that need not be fetched. All of them if it is here, or if another repository has the same file.
    pub here: u64,
    /// Whether it is here under its name, or in another repository. Otherwise what is here is still to be checked.
    pub whole: bool,
}

impl Plan {
    /// Whether there is nothing to download.
    pub fn is_complete(&self) -> bool {
        self.pieces.iter().flat_map(|piece| &piece.files).all(|file| file.whole)
    }

    /// Bytes of all files, the same content counted once.
    pub fn bytes(&self) -> u64 {
        self.contents().map(|file| file.bytes).sum()
    }

    /// Bytes that are still to be fetched.
    pub fn bytes_to_fetch(&self) -> u64 {
        self.contents().map(|file| file.bytes - file.here).sum()
    }

    /// The files, each content once.
    fn contents(&self) -> impl Iterator<Item = &PlannedFile> {
        let mut seen = BTreeSet::new();
        let all = self.pieces.iter().flat_map(|piece| &piece.files);
        all.filter(move |file| seen.insert((&file.etag, file.bytes)))
    }
}

/// What the hub says about a repository.
struct Info {
    commit: Option<String>,
    files: Vec<String>,
    licences: Vec<(String, Option<String>, Option<String>)>,
}

impl Hub {
    /// Asks the hub what fetching a model would take. `say` hears of waiting.
    pub fn plan(&self, entry: &Entry, options: PlanOptions<'_>, stop: &Stop, say: &dyn Fn(Wait)) -> Result<Plan> {
        if self.environment.offline {
            return Err(Error::Offline(format!("to download {}", entry.id)));
        }
        let client = Client::new(&self.environment, self.patience, stop)?;
        let mut pieces = Vec::new();
        let mut licences = Vec::new();
        for piece in &entry.pieces {
            let planned = plan_piece(&client, &self.cache, piece, options, stop, say)?;
            let mut theirs = licences_of(&self.catalogue, entry, &planned, &client.page(&planned.0.repository));
            licences.append(&mut theirs);
            pieces.push(planned.0);
        }
        share(&mut pieces);
        Ok(Plan { id: entry.id.clone(), pieces, licences })
    }
}

fn plan_piece(
    client: &Client,
    cache: &Cache,
    piece: &Piece,
    options: PlanOptions<'_>,
    stop: &Stop,
    say: &dyn Fn(Wait),
) -> Result<(PlannedPiece, Info)> {
    let repository = &piece.repository;
    let revision = options.revision.unwrap_or(piece.revision());
    if !is_plain_path(revision) {
        return Err(Error::NoRevision { repository: repository.to_string(), revision: revision.to_owned() });
    }
    let about = About { repository, revision, file: None };
    let info = Tries::new(client.patience, stop, say, &repository.to_string()).run(|| info(client, about))?;
    let chosen = |weights| {
        let names = select(&info.files, piece.files.as_deref(), weights);
        names.map_err(|why| Error::Unusable { repository: repository.to_string(), why })
    };
    let weights = piece.weights.unwrap_or(options.weights);
    let mut names = chosen(weights)?;
    // From here on, one commit is meant, whatever happens to the branch meanwhile.
    let asked = info.commit.clone().unwrap_or_else(|| revision.to_owned());
    let mut heads = heads_of(client, repository, &asked, &names, stop, say)?;
    if weights == Weights::Full && options.half_from.is_some_and(|least| unet_bytes(&names, &heads) >= least) {
        let half = chosen(Weights::Half)?;
        if half != names {
            heads = heads_of(client, repository, &asked, &half, stop, say)?;
            names = half;
        }
    }
    let mut commit = info.commit.clone();
    let mut files = Vec::new();
    for (path, head) in names.into_iter().zip(heads) {
        match (&commit, head.commit) {
            (None, found) => commit = found,
            (Some(known), Some(found)) if *known != found => {
                let why = format!("it speaks of the commits {known} and {found}: try again");
                return Err(odd(&client.file(repository, &asked, &path), &why));
            }
            _ => {}
        }
        files.push(PlannedFile { path, bytes: head.bytes, etag: head.etag, here: 0, whole: false });
    }
    let commit = commit.filter(|commit| is_plain_name(commit));
    let commit = commit.ok_or_else(|| odd(&client.info(repository, revision), "it does not say which commit it is"))?;
    for file in &mut files {
        (file.here, file.whole) = here(cache, repository, &commit, file);
    }
    let planned =
        PlannedPiece { repository: repository.clone(), role: piece.role, revision: revision.to_owned(), commit, files };
    Ok((planned, info))
}

/// Bytes of a U-Net's weights.
fn unet_bytes(names: &[String], heads: &[Head]) -> u64 {
    let weights =
        names.iter().zip(heads).filter(|(name, _)| name.starts_with("unet/") && name.ends_with(".safetensors"));
    weights.map(|(_, head)| head.bytes).sum()
}

/// What the hub says about a repository: its commit, its files, its licence.
fn info(client: &Client, about: About<'_>) -> Result<Info, Failure> {
    let address = client.info(about.repository, about.revision);
    let text = read_text(client.get(&address, about, None)?, LARGEST_INFO, &address)?;
    Ok(read_info(&text).map_err(|why| odd(&address, why))?)
}

/// Reads the hub's JSON. The error is what is wrong with it.
fn read_info(text: &str) -> Result<Info, &'static str> {
    let json: Value = serde_json::from_str(text).map_err(|_| "it is no JSON")?;
    let siblings = json["siblings"].as_array().ok_or("it lists no files")?;
    let files = siblings.iter().filter_map(|file| file["rfilename"].as_str());
    Ok(Info {
        commit: json["sha"].as_str().map(str::to_owned),
        files: files.filter(|path| is_plain_path(path)).map(str::to_owned).collect(),
        licences: stated_licences(&json),
    })
}

/// For fuzzing: reads what a hub says about a repository, and drops it.
#[cfg(feature = "answers")]
pub mod answers {
    /// See the module.
    pub fn read(text: &str) {
        let _ = super::read_info(text);
    }
}

/// The licences on a repository's page: short name, full name and address, the last two if the page gives them.
fn stated_licences(json: &Value) -> Vec<(String, Option<String>, Option<String>)> {
    let card = &json["cardData"];
    let text = |key: &str| card[key].as_str().map(str::to_owned);
    let mut ids: Vec<String> = match &card["license"] {
        Value::String(id) => vec![id.clone()],
        Value::Array(ids) => ids.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        _ => Vec::new(),
    };
    if ids.is_empty() {
        let tags = json["tags"].as_array().into_iter().flatten().filter_map(Value::as_str);
        ids.extend(tags.filter_map(|tag| tag.strip_prefix("license:")).map(str::to_owned));
    }
    let named = |id: String| match (id.as_str(), text("license_name")) {
        ("other", Some(name)) => (name.clone(), Some(name), text("license_link")),
        _ => (id, None, text("license_link")),
    };
    ids.into_iter().map(named).collect()
}

/// The licences of a piece: those of the catalogue, and those on the page that the catalogue does not know of.
fn licences_of(catalogue: &Catalogue, entry: &Entry, planned: &(PlannedPiece, Info), page: &str) -> Vec<Licence> {
    let (piece, info) = planned;
    let mut all: Vec<(String, Option<String>, Option<String>)> =
        entry.licences.iter().map(|id| (id.clone(), None, None)).collect();
    for stated in &info.licences {
        if !all.iter().any(|(id, _, _)| id.eq_ignore_ascii_case(&stated.0)) {
            all.push(stated.clone());
        }
    }
    if all.is_empty() {
        all.push(("unstated".to_owned(), Some("no licence is stated on its page".to_owned()), None));
    }
    let licence = |(id, name, link): (String, Option<String>, Option<String>)| {
        let known = catalogue.licences.get(&id);
        let address = match (link, known) {
            (Some(link), _) if link.contains("://") => link,
            (Some(file), None) if is_plain_path(&file) => format!("{page}/blob/{}/{file}", piece.commit),
            (_, Some(known)) => known.address.clone(),
            _ => page.to_owned(),
        };
        Licence {
            repository: piece.repository.to_string(),
            commit: piece.commit.clone(),
            name: name.or_else(|| known.map(|known| known.name.clone())).unwrap_or_else(|| id.clone()),
            id,
            address,
        }
    };
    all.into_iter().map(licence).collect()
}

/// What the hub says of one file.
struct Head {
    etag: String,
    bytes: u64,
    commit: Option<String>,
}

/// Asks for the size and the name of the content of each file, several at once.
fn heads_of(
    client: &Client,
    repository: &RepositoryId,
    revision: &str,
    names: &[String],
    stop: &Stop,
    say: &dyn Fn(Wait),
) -> Result<Vec<Head>> {
    let next = AtomicUsize::new(0);
    let results: Mutex<Vec<Option<Result<Head>>>> = Mutex::new(names.iter().map(|_| None).collect());
    let (sender, waits) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        for _ in 0..client.patience.at_once.clamp(1, 8).min(names.len()) {
            let (next, results, sender) = (&next, &results, sender.clone());
            scope.spawn(move || {
                let say = move |wait| drop(sender.send(wait));
                while let Some(name) = names.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let mut tries = Tries::new(client.patience, stop, &say, name);
                    tries.reached = true;
                    let head = tries.run(|| head(client, About { repository, revision, file: Some(name) }, name));
                    // After a failure, nobody wants the rest.
                    if head.is_err() {
                        next.fetch_add(names.len(), Ordering::Relaxed);
                    }
                    if let (Some(at), Ok(mut results)) = (names.iter().position(|other| other == name), results.lock())
                    {
                        results[at] = Some(head);
                    }
                }
            });
        }
        drop(sender);
        for wait in waits {
            say(wait);
        }
    });
    let mut results = results.into_inner().unwrap_or_default();
    // The failure, not what was left out because of it.
    if let Some(at) = results.iter().position(|result| matches!(result, Some(Err(_)))) {
        return Err(results.swap_remove(at).and_then(Result::err).unwrap_or(Error::Stopped));
    }
    results.into_iter().map(|result| result.unwrap_or(Err(Error::Stopped))).collect()
}

fn head(client: &Client, about: About<'_>, name: &str) -> Result<Head, Failure> {
    let address = client.file(about.repository, about.revision, name);
    let response = client.head(&address, about)?;
    let text = |name: &str| header(&response, name);
    let etag = text("x-linked-etag").or_else(|| text("etag")).unwrap_or_default();
    let etag = etag.trim_start_matches("W/").trim_matches('"');
    if !is_plain_name(etag) || etag.len() > 128 {
        return Err(odd(&address, "it does not say what the content is called").into());
    }
    let bytes = text("x-linked-size").or_else(|| text("content-length")).and_then(|size| size.parse().ok());
    let bytes = bytes.ok_or_else(|| odd(&address, "it does not say how large the file is"))?;
    Ok(Head { etag: etag.to_ascii_lowercase(), bytes, commit: text("x-repo-commit") })
}

/// Bytes of a file that need not be fetched, and whether it is here whole.
fn here(cache: &Cache, repository: &RepositoryId, commit: &str, file: &PlannedFile) -> (u64, bool) {
    let folder = cache.repository(repository);
    let size = |path: std::path::PathBuf| path.metadata().ok().filter(std::fs::Metadata::is_file).map(|it| it.len());
    let whole = |path| size(path) == Some(file.bytes);
    let blobs = folder.join("blobs");
    if whole(blobs.join(&file.etag))
        || whole(folder.join("snapshots").join(commit).join(&file.path))
        || cache.same_blob(&file.etag, file.bytes).is_some()
    {
        return (file.bytes, true);
    }
    let part = size(blobs.join(format!("{}.incomplete", file.etag)));
    (part.filter(|part| *part <= file.bytes).unwrap_or(0), false)
}

/// What one piece fetches, another need not.
fn share(pieces: &mut [PlannedPiece]) {
    let all = |pieces: &[PlannedPiece]| -> Vec<(String, u64, u64)> {
        let files = pieces.iter().flat_map(|piece| &piece.files);
        files.map(|file| (file.etag.clone(), file.bytes, file.here)).collect()
    };
    let known = all(pieces);
    for file in pieces.iter_mut().flat_map(|piece| &mut piece.files) {
        let most = known.iter().filter(|(etag, bytes, _)| *etag == file.etag && *bytes == file.bytes);
        file.here = most.map(|(_, _, here)| *here).max().unwrap_or(file.here);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn licences_are_read_from_the_page() {
        let ids = |json: Value| stated_licences(&json).into_iter().map(|(id, _, _)| id).collect::<Vec<_>>();
        assert_eq!(ids(json!({"cardData": {"license": "mit"}, "tags": ["license:other"]})), ["mit"]);
        assert_eq!(ids(json!({"cardData": {"license": ["mit", "apache-2.0"]}})), ["mit", "apache-2.0"]);
        assert_eq!(ids(json!({"tags": ["x", "license:openrail++"]})), ["openrail++"]);
        assert_eq!(ids(json!({})), Vec::<String>::new());
        let other = json!({"cardData": {"license": "other", "license_name": "mine", "license_link": "LICENSE.md"}});
        let expected = ("mine".to_owned(), Some("mine".to_owned()), Some("LICENSE.md".to_owned()));
        assert_eq!(stated_licences(&other), [expected]);
    }

    #[test]
    fn the_same_content_counts_once() {
        let file = |path: &str, etag: &str, here| PlannedFile {
            path: path.into(),
            bytes: 10,
            etag: etag.into(),
            here,
            whole: false,
        };
        let piece = |files: Vec<PlannedFile>| PlannedPiece {
            repository: RepositoryId::parse("a/b").expect("good"),
            role: Role::Student,
            revision: "main".to_owned(),
            commit: "c".to_owned(),
            files,
        };
        let mut pieces = vec![piece(vec![file("x", "1", 0), file("y", "2", 4)]), piece(vec![file("x", "1", 10)])];
        share(&mut pieces);
        let plan = Plan { id: String::new(), pieces, licences: Vec::new() };
        assert_eq!((plan.bytes(), plan.bytes_to_fetch()), (20, 6));
    }
}
