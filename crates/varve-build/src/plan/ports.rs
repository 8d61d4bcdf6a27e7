//! `EXPOSE`: `80`, `80/udp`, `8000-8010/tcp`, and the forms with a host's part, which does not count.

use std::net::IpAddr;

use crate::{
    error::{Problem, Result},
    lint::Lint,
    source::Lines,
};

/// Reads one word into ports such as `80/tcp`.
pub(super) fn read(word: &str, lint: &mut Lint, lines: Lines) -> Result<Vec<String>, Problem> {
    let (rest, container) = word.rsplit_once(':').unwrap_or(("", word));
    let (address, host) = rest.rsplit_once(':').unwrap_or(("", rest));
    let (range, protocol) = container.split_once('/').unwrap_or((container, ""));
    if range.is_empty() {
        return Err(Problem::NoPort(container.to_owned()));
    }
    let lower = match protocol.to_ascii_lowercase() {
        empty if empty.is_empty() => "tcp".to_owned(),
        known if ["tcp", "udp", "sctp"].contains(&known.as_str()) => known,
        _ => return Err(Problem::PortProtocol(protocol.to_owned())),
    };
    if protocol != protocol.to_ascii_lowercase() {
        lint.port_casing(word, lines);
    }
    if !address.is_empty() || !host.is_empty() {
        lint.port_format(word, lines);
    }
    let bare = address.strip_prefix('[').and_then(|a| a.strip_suffix(']')).unwrap_or(address);
    if !bare.is_empty() && bare.parse::<IpAddr>().is_err() {
        return Err(Problem::PortAddress(bare.to_owned()));
    }
    let (start, end) = ports(range).ok_or_else(|| Problem::ContainerPort(range.to_owned()))?;
    if !host.is_empty() {
        let (low, high) = ports(host).ok_or_else(|| Problem::HostPort(host.to_owned()))?;
        if end - start != high - low && end != start {
            return Err(Problem::PortRanges(range.to_owned(), host.to_owned()));
        }
    }
    Ok((start..=end).map(|port| format!("{port}/{lower}")).collect())
}

fn ports(text: &str) -> Option<(u16, u16)> {
    let number = |text: &str| text.parse::<u16>().ok().filter(|_| !text.starts_with('+'));
    let (start, end) = text.split_once('-').unwrap_or((text, text));
    let (start, end) = (number(start)?, number(end)?);
    (start <= end).then_some((start, end))
}
