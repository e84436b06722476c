//! Addresses: whose they are, where a redirect leads, and how a path is written into one.

use std::fmt::Write;

use ureq::http::Uri;

/// Scheme, host and port: who gets to see a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    pub scheme: String,
    pub host: String,
    pub port: u16,
}

impl Origin {
    /// Of a whole http or https address.
    pub fn of(address: &str) -> Option<Self> {
        let uri: Uri = address.parse().ok()?;
        let scheme = uri.scheme_str()?.to_ascii_lowercase();
        let default = match scheme.as_str() {
            "http" => 80,
            "https" => 443,
            _ => return None,
        };
        let host = uri.host().filter(|host| !host.is_empty())?.to_ascii_lowercase();
        Some(Self { scheme, host, port: uri.port_u16().unwrap_or(default) })
    }

    /// Host and port, for messages.
    pub fn name(&self) -> String {
        match (self.scheme.as_str(), self.port) {
            ("http", 80) | ("https", 443) => self.host.clone(),
            (_, port) => format!("{}:{port}", self.host),
        }
    }
}

/// Whether a redirect names its host.
pub(crate) fn is_absolute(location: &str) -> bool {
    location.contains("://") || location.starts_with("//")
}

/// Where a redirect from `base` leads (RFC 3986, section 5.2, for the forms that servers send).
pub(crate) fn join(base: &str, location: &str) -> String {
    if location.contains("://") {
        return location.to_owned();
    }
    let scheme_end = base.find("://").map_or(0, |at| at + 3);
    if let Some(rest) = location.strip_prefix("//") {
        return format!("{}{rest}", &base[..scheme_end]);
    }
    let path_start = base[scheme_end..].find(['/', '?', '#']).map_or(base.len(), |at| scheme_end + at);
    if location.starts_with('/') {
        return format!("{}{location}", &base[..path_start]);
    }
    let path = base[path_start..].split(['?', '#']).next().unwrap_or_default();
    let folder = path.rfind('/').map_or("/", |at| &path[..=at]);
    format!("{}{folder}{location}", &base[..path_start])
}

/// A path with everything but letters, digits, `-._~` and the slashes as `%` and two hex digits; `slash` says whether
/// slashes stay, which they do not in the name of a branch.
pub(crate) fn encode(path: &str, slash: bool) -> String {
    let mut encoded = String::with_capacity(path.len());
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || (slash && byte == b'/') {
            encoded.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_scheme_host_and_port() {
        let origin = |address: &str| Origin::of(address).map(|origin| (origin.name(), origin.port));
        assert_eq!(origin("https://Hub.example/a?b"), Some(("hub.example".to_owned(), 443)));
        assert_eq!(origin("http://127.0.0.1:81"), Some(("127.0.0.1:81".to_owned(), 81)));
        assert_eq!(Origin::of("https://a.example:443/"), Origin::of("https://A.example"));
        assert_ne!(Origin::of("http://a.example"), Origin::of("https://a.example"));
        assert_ne!(Origin::of("https://a.example.evil"), Origin::of("https://a.example"));
        for wrong in ["", "a.example", "ftp://a.example", "https://", "/a"] {
            assert_eq!(Origin::of(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn redirects_lead_where_the_standard_says() {
        let base = "https://h.example/a/b?c=/d";
        for (location, expected) in [
            ("https://o.example/x", "https://o.example/x"),
            ("//o.example/x", "https://o.example/x"),
            ("/x?y", "https://h.example/x?y"),
            ("x", "https://h.example/a/x"),
        ] {
            assert_eq!(join(base, location), expected, "{location}");
        }
        assert_eq!(join("http://h.example", "/x"), "http://h.example/x");
        assert_eq!(join("http://h.example", "x"), "http://h.example/x");
        assert!(is_absolute("//o.example") && !is_absolute("/a"));
    }

    #[test]
    fn paths_are_encoded() {
        assert_eq!(encode("a b/ü.json", true), "a%20b/%C3%BC.json");
        assert_eq!(encode("refs/pr/1", false), "refs%2Fpr%2F1");
    }
}
