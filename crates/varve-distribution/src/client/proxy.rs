//! Which proxy a request goes through (`HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY`, `NO_PROXY`,
//! each in lower case too; the lower-case name wins, as curl and Go have it).

use std::net::IpAddr;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use varve_types::Environment;

use super::url::{Scheme, Url, split_authority};

/// A proxy: where it is, and what it wants to know.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Proxy {
    pub(crate) url: Url,
    /// The value of `Proxy-Authorization`.
    pub(crate) authorization: Option<String>,
}

impl std::fmt::Debug for Proxy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Proxy({})", self.url)
    }
}

/// The proxies of the environment.
#[derive(Debug, Default)]
pub(crate) struct Proxies {
    http: Option<Result<Proxy, String>>,
    https: Option<Result<Proxy, String>>,
    without: Vec<String>,
}

impl Proxies {
    pub(crate) fn from_environment(environment: &Environment) -> Self {
        let get = |name: &str| {
            environment.get(&name.to_ascii_lowercase()).or_else(|| environment.get(name))
        };
        let all = get("ALL_PROXY");
        let without = get("NO_PROXY").unwrap_or_default().split(',');
        Self {
            http: get("HTTP_PROXY").or(all).map(parse),
            https: get("HTTPS_PROXY").or(all).map(parse),
            without: without
                .map(|name| name.trim().to_ascii_lowercase())
                .filter(|name| !name.is_empty())
                .collect(),
        }
    }

    /// The proxy for `url`, if it has one; an error says which value cannot be used.
    pub(crate) fn choose(&self, url: &Url) -> Result<Option<&Proxy>, String> {
        if url.is_loopback() || self.without.iter().any(|name| excludes(name, url)) {
            return Ok(None);
        }
        let proxy = match url.scheme() {
            Scheme::Http => &self.http,
            Scheme::Https => &self.https,
        };
        match proxy {
            None => Ok(None),
            Some(Ok(proxy)) => Ok(Some(proxy)),
            Some(Err(text)) => Err(text.clone()),
        }
    }
}

/// `http://user:password@host:port`, or without the scheme.
fn parse(text: &str) -> Result<Proxy, String> {
    let (scheme, rest) = text.split_once("://").unwrap_or(("http", text));
    let rest = rest.trim_end_matches('/');
    let (user, authority) = match rest.rsplit_once('@') {
        Some((user, authority)) => (Some(user), authority),
        None => (None, rest),
    };
    let url = format!("{scheme}://{authority}/")
        .parse()
        .map_err(|_| format!("unsupported proxy address {scheme}://{authority}"))?;
    let authorization = user.map(|user| {
        let (name, password) = user.split_once(':').unwrap_or((user, ""));
        let pair = format!("{}:{}", unescape(name), unescape(password));
        format!("Basic {}", STANDARD.encode(pair))
    });
    Ok(Proxy { url, authorization })
}

/// Resolves `%41`; leaves alone what is no such escape.
pub(super) fn unescape(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let escaped = (first == b'%')
            .then(|| tail.get(..2).and_then(|hex| std::str::from_utf8(hex).ok()))
            .flatten()
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        bytes.push(escaped.unwrap_or(first));
        rest = if escaped.is_some() { &tail[2..] } else { tail };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Whether an entry of `NO_PROXY` covers `url`: `*`, an address or network, or a domain and
/// what lies below it, each with an optional port.
fn excludes(entry: &str, url: &Url) -> bool {
    if entry == "*" {
        return true;
    }
    if url.host().parse::<IpAddr>().is_ok_and(|address| covers(entry, address)) {
        return true;
    }
    let entry = entry.strip_prefix('*').unwrap_or(entry);
    let (name, port) = match split_authority(entry.trim_start_matches('.')) {
        Ok((name, port)) => (name.trim_matches(['[', ']']), port),
        Err(_) => return false,
    };
    if port.is_some_and(|port| port != url.port()) {
        return false;
    }
    let host = url.host();
    let below = host.strip_suffix(name).is_some_and(|rest| rest.ends_with('.'));
    below || (host == name && !entry.starts_with('.'))
}

/// Whether an address or a network in CIDR notation covers `address`.
pub(crate) fn covers(network: &str, address: IpAddr) -> bool {
    let (base, bits) = match network.split_once('/') {
        Some((base, bits)) => match bits.parse::<u32>() {
            Ok(bits) => (base, Some(bits)),
            Err(_) => return false,
        },
        None => (network.trim_matches(['[', ']']), None),
    };
    match (base.parse(), address) {
        (Ok(IpAddr::V4(base)), IpAddr::V4(address)) => {
            let bits = bits.unwrap_or(32);
            let shift = 32u32.saturating_sub(bits);
            bits <= 32 && (bits == 0 || (u32::from(base) ^ u32::from(address)) >> shift == 0)
        }
        (Ok(IpAddr::V6(base)), IpAddr::V6(address)) => {
            let bits = bits.unwrap_or(128);
            let shift = 128u32.saturating_sub(bits);
            bits <= 128 && (bits == 0 || (u128::from(base) ^ u128::from(address)) >> shift == 0)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies(variables: &[(&str, &str)]) -> Proxies {
        let owned = variables.iter().map(|(name, value)| ((*name).into(), (*value).into()));
        Proxies::from_environment(&Environment::new(owned))
    }

    #[track_caller]
    fn check(variables: &[(&str, &str)], url: &str, expected: Option<&str>) {
        let proxies = proxies(variables);
        let chosen = proxies.choose(&url.parse().unwrap()).unwrap();
        assert_eq!(chosen.map(|proxy| proxy.url.to_string()).as_deref(), expected);
    }

    #[test]
    fn each_scheme_has_its_proxy_and_lower_case_wins() {
        let both = [("HTTP_PROXY", "a:1"), ("https_proxy", "http://b:2"), ("HTTPS_PROXY", "c:3")];
        check(&both, "http://h/", Some("http://a:1/"));
        check(&both, "https://h/", Some("http://b:2/"));
        check(&[("ALL_PROXY", "d:4")], "https://h/", Some("http://d:4/"));
        check(&[], "https://h/", None);
    }

    #[test]
    fn loopback_is_never_proxied() {
        check(&[("ALL_PROXY", "d:4")], "http://127.0.0.1:5000/", None);
        check(&[("ALL_PROXY", "d:4")], "http://localhost/", None);
    }

    #[test]
    fn no_proxy_takes_domains_ports_addresses_and_networks() {
        let with = |without: &'static str| [("ALL_PROXY", "p:1"), ("no_proxy", without)];
        let through = Some("http://p:1/");
        check(&with("a.example, b.example"), "https://x.b.example/", None);
        check(&with("b.example"), "https://ab.example/", through);
        check(&with(".b.example"), "https://b.example/", through);
        check(&with("b.example:5000"), "https://b.example/", through);
        check(&with("b.example:5000"), "https://b.example:5000/", None);
        check(&with("10.0.0.0/8"), "https://10.1.2.3/", None);
        check(&with("10.0.0.0/8"), "https://11.1.2.3/", through);
        check(&with("*"), "https://h/", None);
    }

    #[test]
    fn a_password_in_the_address_becomes_a_header_and_is_not_shown() {
        let proxies = proxies(&[("ALL_PROXY", "http://user:p%40ss@p:1/")]);
        let proxy = proxies.choose(&"https://h/".parse().unwrap()).unwrap().unwrap();
        assert_eq!(proxy.authorization.as_deref(), Some("Basic dXNlcjpwQHNz"));
        assert!(!format!("{proxy:?}").contains("p@ss"));
    }

    #[test]
    fn a_proxy_of_a_kind_we_do_not_speak_is_an_error() {
        let proxies = proxies(&[("ALL_PROXY", "socks5://p:1")]);
        assert!(proxies.choose(&"https://h/".parse().unwrap()).is_err());
    }
}
