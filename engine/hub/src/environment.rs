//! What the environment says about the hub: where it is, where its cache is, who asks, and whether the network may be
//! used. The order is that of the hub's own programs. Nothing else in this crate reads the environment.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;

/// The hub that is meant where nothing else is said.
const ENDPOINT: &str = "https://huggingface.co";

/// An access token, which no message shows.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    value: String,
    /// Where it was found: a variable, or a file.
    pub from: String,
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").field("from", &self.from).finish_non_exhaustive()
    }
}

impl Token {
    /// The token itself, for the hub alone.
    #[cfg(feature = "download")]
    pub(crate) fn reveal(&self) -> &str {
        &self.value
    }
}

/// Where the hub and its cache are.
#[derive(Clone, Debug)]
pub struct Environment {
    /// The hub's address, without a slash at the end: `HF_ENDPOINT`.
    pub endpoint: String,
    /// The folder with a folder for each repository.
    pub cache: PathBuf,
    /// Who asks, if anybody in particular.
    pub token: Option<Token>,
    /// Whether the network must not be used: `HF_HUB_OFFLINE`.
    pub offline: bool,
    /// The variables that name proxies, as far as they are set.
    #[cfg(feature = "download")]
    pub(crate) proxies: Vec<(&'static str, String)>,
}

/// The variables that name proxies. Those in small letters go first, as with curl.
#[cfg(feature = "download")]
const PROXIES: [&str; 8] =
    ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY"];

impl Environment {
    /// As this process's environment has it.
    pub fn of_process() -> Self {
        Self::new(&|name| std::env::var_os(name), std::env::home_dir())
    }

    /// As `variable` has it. An empty variable counts as absent.
    ///
    /// The cache is `HF_HUB_CACHE`, else `HUGGINGFACE_HUB_CACHE`, else `hub` in the hub's home, which is `HF_HOME`, else
    /// `huggingface` in `XDG_CACHE_HOME`, else `~/.cache/huggingface`, on every system. The token is `HF_TOKEN`, else the
    /// file `HF_TOKEN_PATH`, else the file `token` in the hub's home; none with `HF_HUB_DISABLE_IMPLICIT_TOKEN`.
    pub fn new(variable: &dyn Fn(&str) -> Option<OsString>, home: Option<PathBuf>) -> Self {
        let variable = |name: &str| variable(name).filter(|value| !value.is_empty());
        let path = |name: &str| variable(name).map(|value| expand(PathBuf::from(value), home.as_ref()));
        let is_set = |name: &str| variable(name).is_some_and(|value| is_true(&value.to_string_lossy()));

        let hub_home = path("HF_HOME").unwrap_or_else(|| {
            let caches = path("XDG_CACHE_HOME").or_else(|| Some(home.clone()?.join(".cache")));
            caches.unwrap_or_else(std::env::temp_dir).join("huggingface")
        });
        let cache =
            path("HF_HUB_CACHE").or_else(|| path("HUGGINGFACE_HUB_CACHE")).unwrap_or_else(|| hub_home.join("hub"));
        let endpoint =
            variable("HF_ENDPOINT").map_or(ENDPOINT.to_owned(), |value| value.to_string_lossy().into_owned());

        let token = || {
            if let Some(value) = variable("HF_TOKEN").and_then(|value| clean(&value.to_string_lossy())) {
                return Some(Token { value, from: "HF_TOKEN".to_owned() });
            }
            let file = path("HF_TOKEN_PATH").unwrap_or_else(|| hub_home.join("token"));
            // A token has some dozens of letters. Nothing larger is one.
            let small = file.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.len() <= 4096);
            let value = small.then(|| std::fs::read_to_string(&file).ok()).flatten().and_then(|text| clean(&text))?;
            Some(Token { value, from: file.display().to_string() })
        };
        Self {
            endpoint: endpoint.trim_end_matches('/').to_owned(),
            token: if is_set("HF_HUB_DISABLE_IMPLICIT_TOKEN") { None } else { token() },
            offline: is_set("HF_HUB_OFFLINE"),
            cache,
            #[cfg(feature = "download")]
            proxies: PROXIES
                .into_iter()
                .filter_map(|name| Some((name, variable(name)?.to_string_lossy().into_owned())))
                .collect(),
        }
    }
}

/// A token on one line of letters that a header may have.
fn clean(text: &str) -> Option<String> {
    let token = text.trim();
    (!token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic())).then(|| token.to_owned())
}

fn is_true(value: &str) -> bool {
    ["1", "on", "yes", "true"].into_iter().any(|yes| value.eq_ignore_ascii_case(yes))
}

/// The path with `~` at its beginning as the home folder: these variables are often set where no shell reads them.
fn expand(path: PathBuf, home: Option<&PathBuf>) -> PathBuf {
    match (path.strip_prefix("~"), home) {
        (Ok(rest), Some(home)) => home.join(rest),
        _ => path,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn with(variables: &[(&str, &str)]) -> Environment {
        let find = |name: &str| {
            let found = variables.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| OsString::from(value))
        };
        Environment::new(&find, Some(PathBuf::from("/home/a")))
    }

    #[test]
    fn the_cache_is_where_the_hubs_own_programs_have_it() {
        for (variables, cache) in [
            (&[][..], "/home/a/.cache/huggingface/hub"),
            (&[("XDG_CACHE_HOME", "/x")], "/x/huggingface/hub"),
            (&[("XDG_CACHE_HOME", "/x"), ("HF_HOME", "/h")], "/h/hub"),
            (&[("HF_HOME", "/h"), ("HUGGINGFACE_HUB_CACHE", "/o")], "/o"),
            (&[("HUGGINGFACE_HUB_CACHE", "/o"), ("HF_HUB_CACHE", "/n")], "/n"),
            (&[("HF_HUB_CACHE", ""), ("HF_HOME", "~/h")], "/home/a/h/hub"),
        ] {
            assert_eq!(with(variables).cache, Path::new(cache), "{variables:?}");
        }
    }

    #[test]
    fn the_endpoint_and_the_switch_for_the_network_come_from_variables() {
        assert_eq!(with(&[]).endpoint, ENDPOINT);
        assert_eq!(with(&[("HF_ENDPOINT", "http://127.0.0.1:8/")]).endpoint, "http://127.0.0.1:8");
        for (value, offline) in [("1", true), ("ON", true), ("true", true), ("0", false), ("", false), ("no", false)] {
            assert_eq!(with(&[("HF_HUB_OFFLINE", value)]).offline, offline, "{value:?}");
        }
    }

    #[test]
    fn the_token_is_the_variables_or_the_files_and_is_never_shown() {
        let folder = tempfile::tempdir().expect("a folder");
        let home = folder.path().to_str().expect("a plain path");
        let from = |variables: &[(&str, &str)]| with(variables).token.map(|token| (token.value, token.from));
        assert_eq!(from(&[("HF_HOME", home)]), None);
        let file = folder.path().join("token");
        std::fs::write(&file, "hf_file\n").expect("written");
        let in_file = Some(("hf_file".to_owned(), file.display().to_string()));
        assert_eq!(from(&[("HF_HOME", home)]), in_file);
        assert_eq!(from(&[("HF_TOKEN_PATH", file.to_str().expect("plain"))]), in_file);
        let both = [("HF_HOME", home), ("HF_TOKEN", " hf_variable ")];
        assert_eq!(from(&both), Some(("hf_variable".to_owned(), "HF_TOKEN".to_owned())));
        assert_eq!(from(&[("HF_HOME", home), ("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1")]), None);
        assert!(!format!("{:?}", with(&both)).contains("hf_variable"));
        std::fs::write(&file, "two\nlines").expect("written");
        assert_eq!(from(&[("HF_HOME", home)]), None);
    }
}
