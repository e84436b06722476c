//! One request to the hub, and how long to go on trying. Redirects are followed here and not by ureq, so that the access
//! token is seen by the hub alone. Add another refusal of the hub in [`refusal`].

use std::io::{self, Read};
use std::sync::Arc;
use std::time::Duration;

use ureq::http::Response;
use ureq::tls::{RootCerts, TlsConfig};
use ureq::{Agent, Body, Timeout};

use crate::address::{Origin, encode, is_absolute, join};
use crate::download::Wait;
use crate::environment::Environment;
use crate::proxy::Proxies;
use crate::{Error, RepositoryId, Result, Stop};

/// How long to wait for the network before giving up.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// For a connection.
    pub connect: Duration,
    /// For the next bytes of an answer.
    pub idle: Duration,
    /// How often something is tried that fails without anything having arrived in between.
    pub tries: u32,
    /// Before the second try; it doubles with each, to half a minute.
    pub pause: Duration,
    /// In all, where the hub asks to wait because there are too many requests.
    pub busy: Duration,
    /// How many files are fetched at once.
    pub at_once: usize,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(20),
            idle: Duration::from_secs(30),
            tries: 5,
            pause: Duration::from_secs(1),
            busy: Duration::from_mins(5),
            at_once: 3,
        }
    }
}

/// The longest pause between two tries.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// As many redirects as browsers follow, or nearly so.
const REDIRECTS: usize = 10;

/// What a request was about, for messages.
#[derive(Clone, Copy, Debug)]
pub(crate) struct About<'a> {
    pub repository: &'a RepositoryId,
    pub revision: &'a str,
    /// The path of a file, if it is about one.
    pub file: Option<&'a str>,
}

/// Why a request failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The connection broke off, or nothing came.
    Cut(String),
    /// There was none.
    Unreachable { host: String, why: String },
    /// Too many requests; the hub may say for how long.
    Limited { seconds: Option<u64> },
    /// The hub's own fault.
    Server { status: u16, address: String },
    /// Trying again does not help.
    Final(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Final(error)
    }
}

/// Speaks to one hub. Every download makes its own, because a stop ends all its connections.
pub(crate) struct Client {
    endpoint: String,
    origin: Origin,
    environment: Environment,
    proxies: Proxies,
    direct: Agent,
    by_http_proxy: Option<Agent>,
    by_https_proxy: Option<Agent>,
    pub patience: Patience,
}

impl Client {
    /// Connects to nothing yet. `stop` ends everything that this client does.
    pub fn new(environment: &Environment, patience: Patience, stop: &Stop) -> Result<Self> {
        let endpoint = environment.endpoint.clone();
        let origin = Origin::of(&endpoint).ok_or_else(|| Error::Answer {
            address: endpoint.clone(),
            why: "HF_ENDPOINT must be an address that begins with https:// or http://".to_owned(),
        })?;
        let proxies = Proxies::new(&environment.proxies)?;
        let agent = |proxy: Option<&(String, ureq::Proxy)>| {
            let agent = agent(patience, proxy.map(|(_, proxy)| proxy.clone()));
            let ended = agent.clone();
            stop.on_stop(move || ended.shutdown());
            agent
        };
        Ok(Self {
            direct: agent(None),
            by_http_proxy: proxies.http.as_ref().map(|proxy| agent(Some(proxy))),
            by_https_proxy: proxies.https.as_ref().map(|proxy| agent(Some(proxy))),
            environment: environment.clone(),
            endpoint,
            origin,
            proxies,
            patience,
        })
    }

    /// The address of a file.
    pub fn file(&self, repository: &RepositoryId, revision: &str, file: &str) -> String {
        format!("{}/{repository}/resolve/{}/{}", self.endpoint, encode(revision, false), encode(file, true))
    }

    /// The address of what the hub says about a repository.
    pub fn info(&self, repository: &RepositoryId, revision: &str) -> String {
        format!("{}/api/models/{repository}/revision/{}", self.endpoint, encode(revision, false))
    }

    /// The page of a repository, for people.
    pub fn page(&self, repository: &RepositoryId) -> String {
        format!("{}/{repository}", self.endpoint)
    }

    /// What the hub says of a file, without its content. A redirect to another host is where the content is; what is
    /// asked here is in the redirect itself.
    pub fn head(&self, address: &str, about: About<'_>) -> Result<Response<Body>, Failure> {
        self.send(address, about, None, true)
    }

    /// The content, from byte `from` on if that is given.
    pub fn get(&self, address: &str, about: About<'_>, from: Option<u64>) -> Result<Response<Body>, Failure> {
        self.send(address, about, from, false)
    }

    fn send(&self, first: &str, about: About<'_>, from: Option<u64>, head: bool) -> Result<Response<Body>, Failure> {
        let mut address = first.to_owned();
        for _ in 0..=REDIRECTS {
            let origin = Origin::of(&address).ok_or_else(|| odd(&address, "it leads to an address of another kind"))?;
            let agent = self.agent(&origin);
            let mut request = if head { agent.head(&address) } else { agent.get(&address) };
            if let Some(token) = self.environment.token.as_ref().filter(|_| origin == self.origin) {
                request = request.header("authorization", format!("Bearer {}", token.reveal()));
            }
            if let Some(from) = from {
                request = request.header("range", format!("bytes={from}-"));
            }
            let response = request.call().map_err(|error| self.failure(error, &origin))?;
            let status = response.status().as_u16();
            if !matches!(status, 301 | 302 | 303 | 307 | 308) {
                if (200..300).contains(&status) || status == 416 {
                    return Ok(response);
                }
                return Err(self.refusal(response, &address, about));
            }
            let Some(location) = header(&response, "location") else {
                return Err(odd(&address, "it leads elsewhere, but does not say where to").into());
            };
            if head && is_absolute(&location) && header(&response, "x-linked-etag").is_some() {
                return Ok(response);
            }
            let next = join(&address, &location);
            if origin.scheme == "https" && next.starts_with("http:") {
                return Err(odd(&address, "it leads from a secure connection to one that is not").into());
            }
            address = next;
        }
        Err(odd(first, "it leads from one address to the next without an end").into())
    }

    fn agent(&self, origin: &Origin) -> &Agent {
        let proxied = if origin.scheme == "https" { &self.by_https_proxy } else { &self.by_http_proxy };
        proxied.as_ref().filter(|_| !self.proxies.is_direct(origin)).unwrap_or(&self.direct)
    }

    /// What an error of the network means.
    fn failure(&self, error: ureq::Error, origin: &Origin) -> Failure {
        use ureq::Error as E;
        let host = origin.name();
        let unreachable = |why: &str| Failure::Unreachable { host: origin.name(), why: why.to_owned() };
        match error {
            E::HostNotFound => unreachable("there is no such host"),
            E::Timeout(Timeout::Connect | Timeout::Resolve) => unreachable("it does not answer"),
            E::Timeout(_) => Failure::Cut(format!("nothing came for {} s", self.patience.idle.as_secs())),
            E::ConnectProxyFailed(why) => unreachable(&format!("the proxy refuses: {why}")),
            E::ConnectionFailed => unreachable("there is no connection"),
            E::Rustls(error) => Failure::Final(Error::Insecure { host, why: error.to_string() }),
            E::Tls(why) => Failure::Final(Error::Insecure { host, why: why.to_owned() }),
            E::BadUri(_) | E::Http(_) => odd(&host, "its address cannot be read").into(),
            E::Io(error) => io_failure(&error, host),
            other => Failure::Cut(other.to_string()),
        }
    }

    /// What a status of the hub means.
    fn refusal(&self, response: Response<Body>, address: &str, about: About<'_>) -> Failure {
        let status = response.status().as_u16();
        let code = header(&response, "x-error-code").unwrap_or_default();
        let message = header(&response, "x-error-message").unwrap_or_default();
        let repository = about.repository.to_string();
        let error = match (status, code.as_str()) {
            (429, _) => return Failure::Limited { seconds: retry_after(&response) },
            (408 | 500.., _) => return Failure::Server { status, address: address.to_owned() },
            (_, "GatedRepo") => Error::Gated { page: self.page(about.repository), repository },
            (_, "RepoNotFound") if status != 401 => Error::NoRepository { repository, endpoint: self.endpoint.clone() },
            (_, "RevisionNotFound") => Error::NoRevision { repository, revision: about.revision.to_owned() },
            (404, "EntryNotFound" | "") if about.file.is_some() => {
                Error::NoFile { repository, file: about.file.unwrap_or_default().to_owned() }
            }
            (401, _) => match &self.environment.token {
                // The hub answers a bad token and a private repository with the same status, and tells them apart here.
                Some(token) if code.is_empty() || message.to_ascii_lowercase().contains("credentials") => {
                    Error::Token { from: token.from.clone() }
                }
                _ => Error::NoRepository { repository, endpoint: self.endpoint.clone() },
            },
            (403, _) => {
                let why = if message.is_empty() { "without a reason".to_owned() } else { format!("saying: {message}") };
                Error::Unusable { repository, why: format!("is refused by the hub, {why}") }
            }
            (404, _) => Error::NoRepository { repository, endpoint: self.endpoint.clone() },
            _ => odd(address, &format!("its status is {status}")),
        };
        Failure::Final(error)
    }
}

/// A header's text.
pub(crate) fn header(response: &Response<Body>, name: &str) -> Option<String> {
    let value = response.headers().get(name)?.to_str().ok()?.trim();
    (!value.is_empty()).then(|| value.to_owned())
}

/// All of a small answer.
pub(crate) fn read_text(response: Response<Body>, limit: u64, address: &str) -> Result<String, Failure> {
    let mut text = Vec::new();
    let body = response.into_body().into_reader();
    body.take(limit + 1).read_to_end(&mut text).map_err(|error| Failure::Cut(error.to_string()))?;
    if text.len() as u64 > limit {
        return Err(odd(address, "it is too long").into());
    }
    String::from_utf8(text).map_err(|_| odd(address, "it is no text").into())
}

pub(crate) fn odd(address: &str, why: &str) -> Error {
    Error::Answer { address: address.to_owned(), why: why.to_owned() }
}

/// An error of the system, or one that TLS hands up through it.
fn io_failure(error: &io::Error, host: String) -> Failure {
    use io::ErrorKind as K;
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    if let Some(tls @ rustls::Error::InvalidCertificate(_)) = tls {
        return Failure::Final(Error::Insecure { host, why: tls.to_string() });
    }
    match error.kind() {
        K::ConnectionRefused | K::HostUnreachable | K::NetworkUnreachable | K::NetworkDown | K::AddrNotAvailable => {
            Failure::Unreachable { host, why: error.to_string() }
        }
        _ => Failure::Cut(error.to_string()),
    }
}

fn retry_after(response: &Response<Body>) -> Option<u64> {
    header(response, "retry-after")?.parse().ok()
}

fn agent(patience: Patience, proxy: Option<ureq::Proxy>) -> Agent {
    let tls = TlsConfig::builder()
        .root_certs(RootCerts::PlatformVerifier)
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .build();
    let config = Agent::config_builder()
        .tls_config(tls)
        .proxy(proxy)
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .user_agent(concat!("instaflow/", env!("CARGO_PKG_VERSION")))
        // Sizes and ranges count the bytes of the file itself.
        .accept_encoding("identity")
        .timeout_resolve(Some(patience.connect))
        .timeout_connect(Some(patience.connect))
        .timeout_per_read(Some(patience.idle))
        .timeout_per_write(Some(patience.idle))
        .timeout_recv_response(Some(patience.idle.saturating_mul(2)))
        .build();
    Agent::new_with_config(config)
}

/// Goes on trying, within a person's patience.
pub(crate) struct Tries<'a> {
    patience: Patience,
    stop: &'a Stop,
    say: &'a dyn Fn(Wait),
    what: &'a str,
    used: u32,
    /// How long the hub has made us wait.
    busy: Duration,
    /// Whether the hub was reached before. Until then, a second look is enough.
    pub reached: bool,
}

impl<'a> Tries<'a> {
    pub fn new(patience: Patience, stop: &'a Stop, say: &'a dyn Fn(Wait), what: &'a str) -> Self {
        Self { patience, stop, say, what, used: 0, busy: Duration::ZERO, reached: false }
    }

    /// Runs `work` until it succeeds or patience ends.
    pub fn run<T>(&mut self, mut work: impl FnMut() -> Result<T, Failure>) -> Result<T> {
        loop {
            self.stop.check()?;
            match work() {
                Ok(done) => return Ok(done),
                Err(failure) => self.wait(failure)?,
            }
        }
    }

    /// Something has arrived: patience begins anew.
    pub fn arrived(&mut self) {
        self.used = 0;
        self.reached = true;
    }

    /// Waits before the next try, or gives the error if there is none.
    pub fn wait(&mut self, failure: Failure) -> Result<()> {
        // A stop ends connections, which looks like any other broken one.
        self.stop.check()?;
        let why = match &failure {
            Failure::Final(_) => return Err(self.error(failure)),
            Failure::Limited { seconds } => {
                let asked = seconds.map_or(self.pause(), Duration::from_secs).max(self.patience.pause);
                self.busy += asked;
                self.used += u32::from(seconds.is_none());
                if self.busy > self.patience.busy {
                    return Err(self.error(failure));
                }
                (self.say)(Wait::RateLimited { seconds: asked.as_secs_f64() });
                return self.stop.sleep(asked);
            }
            Failure::Cut(why) | Failure::Unreachable { why, .. } => why.clone(),
            Failure::Server { status, .. } => format!("the hub answers with status {status}"),
        };
        self.used += if self.reached || !matches!(failure, Failure::Unreachable { .. }) { 1 } else { 2 };
        if self.used >= self.patience.tries {
            return Err(self.error(failure));
        }
        let pause = self.pause();
        (self.say)(Wait::Again { file: self.what.to_owned(), why, seconds: pause.as_secs_f64() });
        self.stop.sleep(pause)
    }

    fn pause(&self) -> Duration {
        self.patience.pause.saturating_mul(1 << self.used.saturating_sub(1).min(6)).min(LONGEST_PAUSE)
    }

    fn error(&self, failure: Failure) -> Error {
        match failure {
            Failure::Cut(why) => Error::Cut { file: self.what.to_owned(), why },
            Failure::Unreachable { host, why } => Error::Unreachable { host, why },
            Failure::Limited { seconds } => Error::RateLimited { seconds },
            Failure::Server { status, address } => Error::Server { status, address },
            Failure::Final(error) => error,
        }
    }
}
