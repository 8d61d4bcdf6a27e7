//! Ports and how they are published.

use std::{cmp::Ordering, collections::BTreeMap, fmt, net::IpAddr, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{Kind, Printable};

/// A port of a container, written `80/tcp`. Ordered as that text is, because docker's JSON is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Port {
    /// Its number.
    pub number: u16,
    /// Its protocol.
    pub protocol: Protocol,
}

/// The protocol of a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Protocol {
    /// SCTP
    Sctp,
    /// TCP
    Tcp,
    /// UDP
    Udp,
}

/// Where on the host a port is to be found (docker's `PortBinding`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct PortBinding {
    /// The host's address; empty for all of them.
    pub host_ip: String,
    /// The host's port, or a range to choose from (`8000-8010`); empty for any that is free.
    pub host_port: String,
}

/// The ports to publish, each perhaps in several places.
pub type PortBindings = BTreeMap<Port, Vec<PortBinding>>;

/// Why a text does not publish a port. The messages are docker's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PortError {
    /// The address is none.
    #[error("invalid IP address: {}", Printable(.0))]
    Address(String),
    /// Nothing after the last colon.
    #[error("no port specified: {}<empty>", Printable(.0))]
    Empty(String),
    /// The container's port or range is none.
    #[error("invalid containerPort: {}", Printable(.0))]
    Container(String),
    /// The host's port or range is none.
    #[error("invalid hostPort: {}", Printable(.0))]
    Host(String),
    /// Two ranges of different lengths.
    #[error(
        "invalid ranges specified for container and host Ports: {} and {}",
        Printable(.0),
        Printable(.1)
    )]
    Ranges(String, String),
    /// The protocol is none.
    #[error("invalid proto: {}", Printable(.0))]
    Protocol(String),
}

impl PortError {
    /// Classifies the error.
    pub fn kind(&self) -> Kind {
        Kind::Invalid
    }
}

impl Protocol {
    /// Its name in small letters.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sctp => "sctp",
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.number, self.protocol.as_str())
    }
}

impl Ord for Port {
    fn cmp(&self, other: &Self) -> Ordering {
        self.to_string().cmp(&other.to_string())
    }
}

impl PartialOrd for Port {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl FromStr for Port {
    type Err = PortError;

    /// Parses `80` or `80/udp`.
    fn from_str(text: &str) -> Result<Self, PortError> {
        let (number, protocol) = split_protocol(text)?;
        let number = number.parse().map_err(|_| PortError::Container(number.to_owned()))?;
        Ok(Self { number, protocol })
    }
}

impl Serialize for Port {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Port {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Parses `--publish`: `[[ADDRESS:][HOST]:]CONTAINER[/PROTOCOL]`, where both ports may be ranges.
/// A range of the container's gives one pair each.
pub fn parse_publish(text: &str) -> Result<Vec<(Port, PortBinding)>, PortError> {
    let mut parts = text.rsplitn(3, ':');
    let container = parts.next().unwrap_or_default();
    let host = parts.next().unwrap_or_default();
    let host_ip = address(parts.next().unwrap_or_default())?;
    let (container, protocol) = match container.split_once('/') {
        Some((port, protocol)) => (port, protocol),
        None => (container, "tcp"),
    };
    if container.is_empty() {
        return Err(PortError::Empty(text.to_owned()));
    }
    let (first, last) =
        range(container).ok_or_else(|| PortError::Container(container.to_owned()))?;
    let hosts = match host {
        "" => None,
        host => Some(range(host).ok_or_else(|| PortError::Host(host.to_owned()))?),
    };
    if let Some((host_first, host_last)) = hosts
        && last - first != host_last - host_first
        && first != last
    {
        return Err(PortError::Ranges(container.to_owned(), host.to_owned()));
    }
    let protocol = parse_protocol(protocol)?;
    let pairs = (first..=last).map(|number| {
        let host_port = match hosts {
            None => String::new(),
            Some((low, high)) if first == last && low != high => format!("{low}-{high}"),
            Some((low, _)) => (low + (number - first)).to_string(),
        };
        (Port { number, protocol }, PortBinding { host_ip: host_ip.clone(), host_port })
    });
    Ok(pairs.collect())
}

fn address(text: &str) -> Result<String, PortError> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    if bare.is_empty() || bare.parse::<IpAddr>().is_ok() {
        return Ok(bare.to_owned());
    }
    Err(PortError::Address(bare.to_owned()))
}

fn split_protocol(text: &str) -> Result<(&str, Protocol), PortError> {
    match text.split_once('/') {
        Some((port, protocol)) => Ok((port, parse_protocol(protocol)?)),
        None => Ok((text, Protocol::Tcp)),
    }
}

fn parse_protocol(text: &str) -> Result<Protocol, PortError> {
    match text.to_ascii_lowercase().as_str() {
        "" | "tcp" => Ok(Protocol::Tcp),
        "udp" => Ok(Protocol::Udp),
        "sctp" => Ok(Protocol::Sctp),
        _ => Err(PortError::Protocol(text.to_owned())),
    }
}

fn range(text: &str) -> Option<(u16, u16)> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (first.parse().ok()?, last.parse().ok()?);
    (first <= last).then_some((first, last))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let shown = match parse_publish(text) {
            Err(error) => error.to_string(),
            Ok(pairs) => pairs
                .iter()
                .map(|(port, at)| format!("{}|{}>{port}", at.host_ip, at.host_port))
                .collect::<Vec<_>>()
                .join(" "),
        };
        assert_eq!(shown, expected);
    }

    #[test]
    fn ports_are_published_as_docker_reads_them() {
        check("80", "|>80/tcp");
        check("18080:80", "|18080>80/tcp");
        check("127.0.0.1:18443:443/tcp", "127.0.0.1|18443>443/tcp");
        check("127.0.0.1::53/UDP", "127.0.0.1|>53/udp");
        check("[::1]:1:2", "::1|1>2/tcp");
        check("1-2:3-4", "|1>3/tcp |2>4/tcp");
        check("8000-8010:80", "|8000-8010>80/tcp");
    }

    #[test]
    fn what_publishes_nothing_is_refused_in_dockers_words() {
        check("80:80:80:80", "invalid IP address: 80:80");
        check("abc", "invalid containerPort: abc");
        check("99999:80", "invalid hostPort: 99999");
        check("4-3:80", "invalid hostPort: 4-3");
        check("1:", "no port specified: 1:<empty>");
        check("1-3:1-2", "invalid ranges specified for container and host Ports: 1-2 and 1-3");
        check("80/foo", "invalid proto: foo");
    }

    #[test]
    fn ports_sort_as_their_text() {
        let mut ports: Vec<Port> =
            ["80/tcp", "443/tcp", "53/udp"].iter().map(|text| text.parse().unwrap()).collect();
        ports.sort();
        let shown: Vec<String> = ports.iter().map(Port::to_string).collect();
        assert_eq!(shown, ["443/tcp", "53/udp", "80/tcp"]);
    }
}
