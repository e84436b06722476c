//! Which proxy a request goes through, as the environment says: `HTTPS_PROXY` or `HTTP_PROXY` by the address's scheme,
//! else `ALL_PROXY`, in capitals or not; none for the hosts in `NO_PROXY`. This is curl's reading, so that what works
//! there works here. ureq's own takes `ALL_PROXY` first and one proxy for both schemes.

use std::net::IpAddr;

use crate::address::Origin;
use crate::{Error, Result};

/// The proxies for the two schemes, with the variables that named them, and who is reached without one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Proxies {
    pub http: Option<(String, ureq::Proxy)>,
    pub https: Option<(String, ureq::Proxy)>,
    direct: Vec<String>,
}

impl Proxies {
    /// As these variables have them.
    pub fn new(variables: &[(&'static str, String)]) -> Result<Self> {
        let variable = |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| value.clone());
        let either = |name: &str| {
            let names = [name.to_ascii_lowercase(), name.to_owned()];
            let found = names.into_iter().find_map(|name| Some((variable(&name)?.trim().to_owned(), name)));
            found.filter(|(value, _)| !value.is_empty())
        };
        let proxy = |name: &str| -> Result<Option<(String, ureq::Proxy)>> {
            let Some((value, variable)) = either(name).or_else(|| either("ALL_PROXY")) else { return Ok(None) };
            match ureq::Proxy::new(&value) {
                Ok(proxy) => Ok(Some((variable, proxy))),
                Err(_) => Err(Error::Proxy { variable }),
            }
        };
        let direct = either("NO_PROXY").map(|(hosts, _)| hosts).unwrap_or_default();
        let direct = direct.split([',', ' ']).map(|host| host.trim().to_ascii_lowercase());
        Ok(Self {
            http: proxy("HTTP_PROXY")?,
            https: proxy("HTTPS_PROXY")?,
            direct: direct.filter(|host| !host.is_empty()).collect(),
        })
    }

    /// Whether this host is reached without a proxy: `*`, the host itself or one of its domains, with or without a dot
    /// or `*.` before it, with or without a port; or a network such as 10.0.0.0/8 that holds it.
    pub fn is_direct(&self, to: &Origin) -> bool {
        let host = to.host.trim_matches(['[', ']']);
        self.direct.iter().any(|entry| {
            if entry == "*" || in_network(host, entry) {
                return true;
            }
            let port = format!(":{}", to.port);
            let entry = entry.strip_suffix(&port).unwrap_or(entry).trim_matches(['[', ']']);
            let entry = entry.strip_prefix("*.").or(entry.strip_prefix('.')).unwrap_or(entry);
            host == entry || host.strip_suffix(entry).is_some_and(|rest| rest.ends_with('.'))
        })
    }
}

fn in_network(host: &str, network: &str) -> bool {
    let Some((base, bits)) = network.split_once('/') else { return false };
    let (Ok(host), Ok(base), Ok(bits)) = (host.parse::<IpAddr>(), base.parse::<IpAddr>(), bits.parse::<u32>()) else {
        return false;
    };
    match (host, base) {
        (IpAddr::V4(host), IpAddr::V4(base)) if bits <= 32 => {
            (u32::from(host) ^ u32::from(base)).checked_shr(32 - bits).unwrap_or(0) == 0
        }
        (IpAddr::V6(host), IpAddr::V6(base)) if bits <= 128 => {
            (u128::from(host) ^ u128::from(base)).checked_shr(128 - bits).unwrap_or(0) == 0
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(variables: &[(&'static str, &str)]) -> Result<Proxies> {
        let variables: Vec<_> = variables.iter().map(|(key, value)| (*key, (*value).to_owned())).collect();
        Proxies::new(&variables)
    }

    #[test]
    fn each_scheme_has_its_proxy() {
        let chosen = |variables: &[(&'static str, &str)]| {
            let proxies = with(variables).expect("good addresses");
            let host = |proxy: Option<(String, ureq::Proxy)>| proxy.map(|(_, proxy)| proxy.host().to_owned());
            (host(proxies.http), host(proxies.https))
        };
        let some = |host: &str| Some(host.to_owned());
        assert_eq!(chosen(&[]), (None, None));
        assert_eq!(chosen(&[("ALL_PROXY", "socks5://a:1080")]), (some("a"), some("a")));
        assert_eq!(chosen(&[("ALL_PROXY", "http://a"), ("HTTPS_PROXY", "http://s:8080")]), (some("a"), some("s")));
        assert_eq!(chosen(&[("http_proxy", "h:3128"), ("HTTPS_PROXY", "")]), (some("h"), None));
        let wrong = with(&[("HTTPS_PROXY", "ftp://x")]).expect_err("no proxy").to_string();
        assert!(wrong.starts_with("HTTPS_PROXY is no address of a proxy"), "{wrong}");
    }

    #[test]
    fn some_hosts_are_reached_directly() {
        let proxies = with(&[("no_proxy", "localhost, .corp.example,*.lab.example,10.0.0.0/8,h.example:8080,[::1]")]);
        let proxies = proxies.expect("good");
        let direct = |address: &str| proxies.is_direct(&Origin::of(address).expect("an address"));
        for address in [
            "http://localhost:81/x",
            "https://corp.example",
            "https://a.corp.example",
            "https://a.lab.example",
            "http://10.1.2.3",
            "http://h.example:8080",
            "http://[::1]:5",
        ] {
            assert!(direct(address), "{address}");
        }
        for address in ["https://example", "https://notcorp.example", "http://11.0.0.1", "http://h.example:81"] {
            assert!(!direct(address), "{address}");
        }
        let all = with(&[("NO_PROXY", "*")]).expect("good");
        assert!(all.is_direct(&Origin::of("https://any.example").expect("an address")));
        assert!(!with(&[]).expect("good").is_direct(&Origin::of("https://any.example").expect("an address")));
    }
}
