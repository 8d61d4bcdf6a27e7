//! The few things a registry client does with URLs: take them apart, join what a registry
//! answered (`Location`, `Link`) to them, and compare their origins.

use std::{fmt, net::IpAddr, str::FromStr};

/// An absolute `http` or `https` URL without user and fragment.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Url {
    scheme: Scheme,
    /// Lower case; an IPv6 address keeps its brackets.
    host: String,
    port: u16,
    /// Path and query, beginning with `/`.
    target: String,
}

/// How a host is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Scheme {
    Http,
    Https,
}

impl Scheme {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

/// The text is not a URL that we may go to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NotAUrl;

impl Url {
    /// The root of a host: `authority` is `host` or `host:port`.
    pub(crate) fn root(scheme: Scheme, authority: &str) -> Result<Self, NotAUrl> {
        format!("{}://{authority}/", scheme.as_str()).parse()
    }

    pub(crate) fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The host without brackets.
    pub(crate) fn host(&self) -> &str {
        self.host.trim_start_matches('[').trim_end_matches(']')
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Host and port as docker's `certs.d` names them: the port only when it is not the default.
    pub(crate) fn authority(&self) -> String {
        if self.port == self.scheme.default_port() {
            return self.host.clone();
        }
        format!("{}:{}", self.host, self.port)
    }

    /// Host and port, the latter always.
    pub(crate) fn host_and_port(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    /// This URL over https, at the same host and port as far as that was named.
    pub(crate) fn secured(&self) -> Self {
        let port = if self.port == 80 { 443 } else { self.port };
        Self { scheme: Scheme::Https, port, ..self.clone() }
    }

    /// Whether credentials for one may be sent to the other.
    pub(crate) fn same_origin(&self, other: &Url) -> bool {
        (self.scheme, &self.host, self.port) == (other.scheme, &other.host, other.port)
    }

    /// Whether requests never leave this machine.
    pub(crate) fn is_loopback(&self) -> bool {
        is_loopback(self.host())
    }

    /// This URL with `suffix` after its path (which is a base and has no query).
    pub(crate) fn append(&self, suffix: &str) -> Self {
        let base = self.target.trim_end_matches('/');
        Self { target: format!("{base}/{}", suffix.trim_start_matches('/')), ..self.clone() }
    }

    /// This URL with one more query parameter.
    pub(crate) fn with_query(&self, name: &str, value: &str) -> Self {
        let separator = if self.target.contains('?') { '&' } else { '?' };
        let target = format!("{}{separator}{name}={}", self.target, Escaped(value));
        Self { target, ..self.clone() }
    }

    /// Where `location`, as answered by this URL, points at.
    pub(crate) fn join(&self, location: &str) -> Result<Self, NotAUrl> {
        let location = location.split('#').next().unwrap_or_default();
        let at_scheme = location.find(':').is_some_and(|colon| {
            location[..colon].bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b))
        });
        if at_scheme && location.contains("://") {
            return location.parse();
        }
        if let Some(rest) = location.strip_prefix("//") {
            return format!("{}://{rest}", self.scheme.as_str()).parse();
        }
        let path = self.target.split('?').next().unwrap_or("/");
        let target = if location.starts_with('/') {
            location.to_owned()
        } else if location.starts_with('?') {
            format!("{path}{location}")
        } else {
            let directory = path.rfind('/').map_or("/", |slash| &path[..=slash]);
            format!("{directory}{location}")
        };
        check_target(&target)?;
        Ok(Self { target, ..self.clone() })
    }
}

/// Whether a host name or address (without brackets) is this machine.
pub(crate) fn is_loopback(host: &str) -> bool {
    match host.parse::<IpAddr>() {
        Ok(IpAddr::V4(address)) => address.is_loopback(),
        Ok(IpAddr::V6(address)) => {
            address.is_loopback() || address.to_ipv4_mapped().is_some_and(|v4| v4.is_loopback())
        }
        Err(_) => host == "localhost" || host.ends_with(".localhost"),
    }
}

fn check_target(target: &str) -> Result<(), NotAUrl> {
    if target.starts_with('/') && target.bytes().all(|b| (0x21..0x7f).contains(&b)) {
        Ok(())
    } else {
        Err(NotAUrl)
    }
}

impl FromStr for Url {
    type Err = NotAUrl;

    fn from_str(text: &str) -> Result<Self, NotAUrl> {
        let text = text.split('#').next().unwrap_or_default();
        let (scheme, rest) = text.split_once("://").ok_or(NotAUrl)?;
        let scheme = match scheme.to_ascii_lowercase().as_str() {
            "http" => Scheme::Http,
            "https" => Scheme::Https,
            _ => return Err(NotAUrl),
        };
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at(end);
        let target = match target.as_bytes().first() {
            None => "/".to_owned(),
            Some(b'?') => format!("/{target}"),
            Some(_) => target.to_owned(),
        };
        check_target(&target)?;
        let (host, port) = split_authority(authority)?;
        let port = port.unwrap_or_else(|| scheme.default_port());
        Ok(Self { scheme, host: host.to_ascii_lowercase(), port, target })
    }
}

/// Splits `host:port`, `[::1]:port` or either without port.
pub(crate) fn split_authority(authority: &str) -> Result<(&str, Option<u16>), NotAUrl> {
    let (host, port) = match authority.find(']') {
        Some(end) if authority.starts_with('[') => {
            let (host, rest) = authority.split_at(end + 1);
            let inner = &host[1..end];
            if inner.parse::<std::net::Ipv6Addr>().is_err() {
                return Err(NotAUrl);
            }
            match rest.strip_prefix(':') {
                Some(port) => (host, Some(port)),
                None if rest.is_empty() => (host, None),
                None => return Err(NotAUrl),
            }
        }
        Some(_) => return Err(NotAUrl),
        None => {
            let (host, port) = match authority.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (authority, None),
            };
            let fits = |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b);
            if host.is_empty() || !host.bytes().all(fits) {
                return Err(NotAUrl);
            }
            (host, port)
        }
    };
    let port = match port {
        None | Some("") => None,
        Some(port) if port.bytes().all(|b| b.is_ascii_digit()) => {
            Some(port.parse().map_err(|_| NotAUrl)?)
        }
        Some(_) => return Err(NotAUrl),
    };
    Ok((host, port))
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", self.scheme.as_str(), self.authority(), self.target)
    }
}

/// Text as the value of a query parameter.
pub(crate) struct Escaped<'a>(pub(crate) &'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in self.0.bytes() {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                    write!(f, "{}", char::from(byte))?;
                }
                byte => write!(f, "%{byte:02X}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn joined(base: &str, location: &str, expected: &str) {
        let shown = match base.parse::<Url>().unwrap().join(location) {
            Ok(url) => url.to_string(),
            Err(NotAUrl) => "refused".to_owned(),
        };
        assert_eq!(shown, expected);
    }

    #[test]
    fn locations_may_be_absolute_or_relative_in_every_way() {
        let base = "https://Host.example:5000/v2/a/blobs/uploads/1?x=y";
        joined(base, "/v2/b", "https://host.example:5000/v2/b");
        joined(base, "//other/p?q", "https://other/p?q");
        joined(base, "?n=2", "https://host.example:5000/v2/a/blobs/uploads/1?n=2");
        joined(base, "2?z", "https://host.example:5000/v2/a/blobs/uploads/2?z");
        joined(base, "http://[::1]:80/x#f", "http://[::1]/x");
        joined(base, "https://cdn?sig=1:2", "https://cdn/?sig=1:2");
    }

    #[test]
    fn users_odd_schemes_and_control_characters_are_refused() {
        let base = "https://h/";
        for location in ["https://u:p@h/", "file:///etc/passwd", "/a b", "/a\r\nX: y", "https://"] {
            joined(base, location, "refused");
        }
        for text in ["http://h:70000/", "http://h:x/", "http://[::1/", "h/path", "http://a]b/"] {
            assert_eq!(text.parse::<Url>(), Err(NotAUrl), "{text}");
        }
    }

    #[test]
    fn origin_is_scheme_host_and_port() {
        let url = |text: &str| text.parse::<Url>().unwrap();
        assert!(url("https://h/a").same_origin(&url("https://H:443/b")));
        assert!(!url("https://h/").same_origin(&url("http://h/")));
        assert!(!url("https://h/").same_origin(&url("https://h:444/")));
        assert!(!url("https://h/").same_origin(&url("https://h.evil/")));
    }

    #[test]
    fn loopback_is_known_by_its_address_and_by_localhost() {
        for host in ["127.0.0.1", "127.3.2.1", "::1", "localhost", "::ffff:127.0.0.1"] {
            assert!(is_loopback(host), "{host}");
        }
        for host in ["10.0.0.1", "localhost.example", "128.0.0.1", "::2"] {
            assert!(!is_loopback(host), "{host}");
        }
    }
}
