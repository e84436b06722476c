//! A hub of our own on the loopback interface, with the faults that networks and hubs have. It speaks as much of the
//! hub's protocol as a download needs: what a repository holds, the heads of its files, and their content, which for
//! large files comes from a second host. Add a fault to [`Fault`].

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sha1::Sha1;
use sha2::{Digest, Sha256};

/// What goes wrong with one answer that has a file's content.
#[derive(Clone, Debug)]
pub enum Fault {
    /// The connection closes after this many bytes of content.
    CutAfter(usize),
    /// Nothing more comes after this many bytes of content, until the hub is dropped.
    StallAfter(usize),
    /// The whole file is sent, whatever part was asked for.
    IgnoreRange,
    /// Another part is sent than was asked for.
    WrongRange,
    /// One byte in the middle is another.
    Corrupt,
    /// This many bytes at a time, with pauses of this many milliseconds.
    Slow(usize, u64),
    /// A status, with a header if that is not empty.
    Status(u16, &'static str),
}

/// What a repository holds.
#[derive(Clone, Debug, Default)]
pub struct Repository {
    commit: String,
    files: BTreeMap<String, StoredFile>,
    card: String,
    gated: bool,
    private: bool,
}

#[derive(Clone, Debug)]
struct StoredFile {
    bytes: Vec<u8>,
    etag: String,
    large: bool,
}

/// A request that came in.
#[derive(Clone, Debug)]
pub struct Request {
    /// `GET` or `HEAD`.
    pub method: String,
    /// The path with the query.
    pub path: String,
    /// Whether it came to the second host, which serves large files.
    pub second_host: bool,
    /// Names in small letters.
    pub headers: HashMap<String, String>,
}

impl Request {
    /// The byte from which on content was asked for.
    pub fn from(&self) -> Option<usize> {
        self.headers.get("range")?.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok()
    }
}

impl Repository {
    /// An empty repository at this commit.
    pub fn new(commit: &str) -> Self {
        Self { commit: commit.to_owned(), ..Self::default() }
    }

    /// With the licence that its page states: the JSON of its card.
    #[must_use]
    pub fn card(self, json: &str) -> Self {
        Self { card: json.to_owned(), ..self }
    }

    /// Only for those with the hub's token, after agreeing to terms.
    #[must_use]
    pub fn gated(self) -> Self {
        Self { gated: true, ..self }
    }

    /// Not there for those without the hub's token.
    #[must_use]
    pub fn private(self) -> Self {
        Self { private: true, ..self }
    }

    /// With a small file, which the hub itself serves under git's hash.
    #[must_use]
    pub fn small(self, path: &str, bytes: impl Into<Vec<u8>>) -> Self {
        let bytes = bytes.into();
        let hash = Sha1::new_with_prefix(format!("blob {}\0", bytes.len())).chain_update(&bytes).finalize();
        self.with(path, bytes, hex(&hash), false)
    }

    /// With a large file, which a second host serves under its sha256.
    #[must_use]
    pub fn large(self, path: &str, bytes: impl Into<Vec<u8>>) -> Self {
        let bytes = bytes.into();
        let hash = Sha256::digest(&bytes);
        self.with(path, bytes, hex(&hash), true)
    }

    fn with(mut self, path: &str, bytes: Vec<u8>, etag: String, large: bool) -> Self {
        self.files.insert(path.to_owned(), StoredFile { bytes, etag, large });
        self
    }
}

/// The hub. It ends when dropped.
pub struct LoopbackHub {
    shared: Arc<Shared>,
    hub: String,
    store: String,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    ended: AtomicBool,
    /// Tells of requests, and of the end.
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// Name, then revision.
    repositories: HashMap<String, HashMap<String, Repository>>,
    faults: HashMap<String, VecDeque<Fault>>,
    requests: Vec<Request>,
    token: Option<String>,
    /// The second host's address.
    store: String,
    /// Whether heads say which commit they are of, and whether the description does.
    says_commit: (bool, bool),
}

impl LoopbackHub {
    /// Starts a hub without repositories.
    pub fn start() -> Self {
        let shared = Arc::new(Shared::default());
        let hub = serve(&shared, false);
        let store = serve(&shared, true);
        {
            let mut state = shared.state();
            state.store.clone_from(&store);
            state.says_commit = (true, true);
        }
        Self { shared, hub, store }
    }

    /// Adds a repository, or replaces its branch `main`; its commit can be asked for, too.
    pub fn add(&self, name: &str, repository: Repository) {
        let mut state = self.shared.state();
        let revisions = state.repositories.entry(name.to_owned()).or_default();
        revisions.insert(repository.commit.clone(), repository.clone());
        revisions.insert("main".to_owned(), repository);
    }

    /// What goes wrong with the next answers that have this file's content, or with those about the repository if it is
    /// `api`; after these, all is well.
    pub fn fail(&self, path: &str, faults: impl IntoIterator<Item = Fault>) {
        self.shared.state().faults.entry(path.to_owned()).or_default().extend(faults);
    }

    /// The token that opens gated and private repositories. Any other is refused.
    pub fn set_token(&self, token: &str) {
        self.shared.state().token = Some(token.to_owned());
    }

    /// Whether heads of files say which commit they are of, and whether what is said of a repository does.
    pub fn set_says_commit(&self, heads: bool, description: bool) {
        self.shared.state().says_commit = (heads, description);
    }

    /// Its address, for `HF_ENDPOINT`.
    pub fn endpoint(&self) -> &str {
        &self.hub
    }

    /// The address of the host that serves large files.
    pub fn second_host(&self) -> &str {
        &self.store
    }

    /// The requests so far.
    pub fn requests(&self) -> Vec<Request> {
        self.shared.state().requests.clone()
    }

    /// The requests for content of this file so far.
    pub fn fetches(&self, path: &str) -> Vec<Request> {
        let all = self.requests().into_iter();
        all.filter(|request| request.method == "GET" && request.second_host && request.path.ends_with(path)).collect()
    }

    /// Waits until `enough` says so of the requests so far. Panics after a minute.
    pub fn wait_until(&self, enough: impl Fn(&[Request]) -> bool) {
        let state = self.shared.state();
        let minute = Duration::from_mins(1);
        let (state, timeout) = self
            .shared
            .changed
            .wait_timeout_while(state, minute, |state| !enough(&state.requests))
            .unwrap_or_else(PoisonError::into_inner);
        assert!(!timeout.timed_out(), "these requests did not come: {:?}", state.requests);
    }
}

impl Drop for LoopbackHub {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Relaxed);
        self.shared.changed.notify_all();
        for address in [&self.hub, &self.store] {
            // Wakes the thread that waits for a connection.
            let _ = TcpStream::connect(address.trim_start_matches("http://"));
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Relaxed)
    }
}

/// Serves connections on a port of its own and gives its address.
fn serve(shared: &Arc<Shared>, second_host: bool) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = format!("http://{}", listener.local_addr().expect("an address"));
    let shared = Arc::clone(shared);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            if shared.has_ended() {
                return;
            }
            let shared = Arc::clone(&shared);
            std::thread::spawn(move || {
                // A client that goes away is no failure of the test.
                let _ = answer(&shared, stream, second_host);
            });
        }
    });
    address
}

fn answer(shared: &Shared, stream: TcpStream, second_host: bool) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let mut words = line.split_whitespace();
    let (method, path) = (words.next().unwrap_or_default().to_owned(), words.next().unwrap_or_default().to_owned());
    let mut headers = HashMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let request = Request { method, path, second_host, headers };
    {
        let mut state = shared.state();
        state.requests.push(request.clone());
        shared.changed.notify_all();
    }
    if second_host { content(shared, stream, &request) } else { hub(shared, stream, &request) }
}

/// The hub itself: descriptions, heads, small files, and where large ones are.
fn hub(shared: &Shared, mut stream: TcpStream, request: &Request) -> std::io::Result<()> {
    let path = decode(request.path.split('?').next().unwrap_or_default());
    let token = request.headers.get("authorization").and_then(|value| value.strip_prefix("Bearer "));
    let state = shared.state();
    let known = state.token.as_deref().is_some_and(|right| token == Some(right));
    if token.is_some() && !known {
        let message = "X-Error-Message: Invalid credentials in Authorization header\r\n";
        return head(&mut stream, 401, message, 0);
    }
    let missing = |stream: &mut TcpStream, code: &str| {
        let status = if code == "RepoNotFound" && token.is_none() { 401 } else { 404 };
        head(stream, status, &format!("X-Error-Code: {code}\r\n"), 0)
    };
    let (api, name, revision, file) = if let Some(rest) = path.strip_prefix("/api/models/") {
        let (name, revision) = rest.split_once("/revision/").unwrap_or((rest, "main"));
        (true, name.to_owned(), revision.to_owned(), String::new())
    } else {
        let (name, rest) = path[1..].split_once("/resolve/").unwrap_or(("", ""));
        let (revision, file) = rest.split_once('/').unwrap_or((rest, ""));
        (false, name.to_owned(), revision.to_owned(), file.to_owned())
    };
    let Some(revisions) = state.repositories.get(&name) else { return missing(&mut stream, "RepoNotFound") };
    if revisions.values().any(|repository| repository.private) && !known {
        return missing(&mut stream, "RepoNotFound");
    }
    let Some(repository) = revisions.get(&revision).cloned() else { return missing(&mut stream, "RevisionNotFound") };
    let (heads_say, description_says) = state.says_commit;
    let store = state.store.clone();
    drop(state);
    if api {
        if let Some(Fault::Status(status, header)) = next_fault(shared, "api") {
            return head(&mut stream, status, &line(header), 0);
        }
        let body = description(&name, &repository, description_says);
        head(&mut stream, 200, "Content-Type: application/json\r\n", body.len())?;
        return stream.write_all(body.as_bytes());
    }
    if repository.gated && !known {
        return head(&mut stream, 403, "X-Error-Code: GatedRepo\r\n", 0);
    }
    let Some(stored) = repository.files.get(&file) else { return missing(&mut stream, "EntryNotFound") };
    let mut headers = String::new();
    if heads_say {
        let _ = write!(headers, "X-Repo-Commit: {}\r\n", repository.commit);
    }
    if stored.large {
        let _ = write!(headers, "X-Linked-Etag: \"{}\"\r\nX-Linked-Size: {}\r\n", stored.etag, stored.bytes.len());
        let _ = write!(headers, "Location: {store}/{name}/{}/{}\r\n", repository.commit, encode(&file));
        return head(&mut stream, 302, &headers, 0);
    }
    let _ = write!(headers, "ETag: \"{}\"\r\n", stored.etag);
    send(shared, stream, request, stored, &file, &headers)
}

/// The second host: content alone. It refuses whoever shows a token.
fn content(shared: &Shared, mut stream: TcpStream, request: &Request) -> std::io::Result<()> {
    if request.headers.contains_key("authorization") {
        return head(&mut stream, 400, "", 0);
    }
    let path = decode(&request.path);
    let mut parts = path[1..].splitn(4, '/');
    let (organization, name, commit, file) = (parts.next(), parts.next(), parts.next(), parts.next());
    let stored = organization.zip(name).zip(commit).zip(file).and_then(|(((organization, name), commit), file)| {
        let state = shared.state();
        let revisions = state.repositories.get(&format!("{organization}/{name}"))?;
        Some((revisions.get(commit)?.files.get(file)?.clone(), file))
    });
    match stored {
        Some((stored, file)) => send(shared, stream, request, &stored, file, ""),
        None => head(&mut stream, 404, "", 0),
    }
}

/// Sends a file's content, or the part that was asked for, with the next fault.
fn send(
    shared: &Shared,
    mut stream: TcpStream,
    request: &Request,
    stored: &StoredFile,
    file: &str,
    headers: &str,
) -> std::io::Result<()> {
    if request.method == "HEAD" {
        return head(&mut stream, 200, headers, stored.bytes.len());
    }
    let fault = next_fault(shared, file);
    if let Some(Fault::Status(status, header)) = fault {
        return head(&mut stream, status, &line(header), 0);
    }
    let all = stored.bytes.len();
    let from = request.from().filter(|_| !matches!(fault, Some(Fault::IgnoreRange)));
    let mut begin = from.unwrap_or(0);
    if begin > 0 && begin >= all {
        return head(&mut stream, 416, &format!("Content-Range: bytes */{all}\r\n"), 0);
    }
    if matches!(fault, Some(Fault::WrongRange)) {
        begin = begin.saturating_sub(1);
    }
    let mut bytes = stored.bytes[begin..].to_vec();
    if matches!(fault, Some(Fault::Corrupt)) {
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
    }
    if from.is_some() {
        let range = format!("{headers}Content-Range: bytes {begin}-{}/{all}\r\n", all - 1);
        head(&mut stream, 206, &range, bytes.len())?;
    } else {
        head(&mut stream, 200, headers, bytes.len())?;
    }
    match fault {
        Some(Fault::CutAfter(count)) => stream.write_all(&bytes[..count.min(bytes.len())]),
        Some(Fault::StallAfter(count)) => {
            stream.write_all(&bytes[..count.min(bytes.len())])?;
            let state = shared.state();
            let ended = shared.changed.wait_while(state, |_| !shared.has_ended());
            drop(ended);
            Ok(())
        }
        Some(Fault::Slow(count, pause)) => {
            for chunk in bytes.chunks(count.max(1)) {
                if shared.has_ended() {
                    return Ok(());
                }
                stream.write_all(chunk)?;
                stream.flush()?;
                std::thread::sleep(Duration::from_millis(pause));
            }
            Ok(())
        }
        _ => stream.write_all(&bytes),
    }
}

fn next_fault(shared: &Shared, path: &str) -> Option<Fault> {
    shared.state().faults.get_mut(path)?.pop_front()
}

fn head(stream: &mut TcpStream, status: u16, headers: &str, length: usize) -> std::io::Result<()> {
    let head = format!("HTTP/1.1 {status} X\r\nContent-Length: {length}\r\nConnection: close\r\n{headers}\r\n");
    stream.write_all(head.as_bytes())
}

fn line(header: &str) -> String {
    if header.is_empty() { String::new() } else { format!("{header}\r\n") }
}

/// What the hub says of a repository, as JSON.
fn description(name: &str, repository: &Repository, says_commit: bool) -> String {
    let files: Vec<String> = repository.files.keys().map(|path| format!(r#"{{"rfilename":"{path}"}}"#)).collect();
    let sha = if says_commit { format!(r#""sha":"{}","#, repository.commit) } else { String::new() };
    let card = if repository.card.is_empty() { "{}" } else { &repository.card };
    format!(r#"{{"id":"{name}",{sha}"gated":{},"cardData":{card},"siblings":[{}]}}"#, repository.gated, files.join(","))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn encode(path: &str) -> String {
    path.replace(' ', "%20")
}

fn decode(path: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = path.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let code = (byte == b'%' && after.len() >= 2).then(|| std::str::from_utf8(&after[..2]).ok()).flatten();
        if let Some(code) = code.and_then(|code| u8::from_str_radix(code, 16).ok()) {
            bytes.push(code);
            rest = &after[2..];
        } else {
            bytes.push(byte);
            rest = after;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
