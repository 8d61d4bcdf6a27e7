//! `EXPOSE`: ports, ranges of ports and protocols.

use super::ChangeError;

/// The ports that one argument names, as `80/tcp`. A host's address and port may stand in front
/// and are left out.
pub(super) fn parse(argument: &str) -> Result<Vec<String>, ChangeError> {
    let (address, host, container) = split(argument);
    let (port, protocol) = match container.split_once('/') {
        None => (container, "tcp"),
        Some((port, rest)) => (port, rest.split('/').next().unwrap_or_default()),
    };
    let protocol = if protocol.is_empty() { "tcp" } else { protocol };
    let bare = address.strip_prefix('[').and_then(|a| a.strip_suffix(']')).unwrap_or(&address);
    if !address.is_empty() && bare.parse::<std::net::IpAddr>().is_err() {
        return Err(ChangeError::Address(address));
    }
    if port.is_empty() {
        return Err(ChangeError::NoPort(argument.to_owned()));
    }
    let (first, last) = range(port).ok_or_else(|| ChangeError::Port(port.to_owned()))?;
    if !host.is_empty() {
        let (low, high) = range(host).ok_or_else(|| ChangeError::HostPort(host.to_owned()))?;
        if last - first != high - low && first != last {
            return Err(ChangeError::Ranges { container: port.to_owned(), host: host.to_owned() });
        }
    }
    let protocol_key = protocol.to_lowercase();
    if !matches!(protocol_key.as_str(), "tcp" | "udp" | "sctp") {
        return Err(ChangeError::Protocol(protocol.to_owned()));
    }
    Ok((first..=last).map(|port| format!("{port}/{protocol_key}")).collect())
}

/// `[address:][host port:]container port`
fn split(argument: &str) -> (String, &str, &str) {
    let Some((before, container)) = argument.rsplit_once(':') else {
        return (String::new(), "", argument);
    };
    match before.rsplit_once(':') {
        None => (String::new(), before, container),
        Some((address, host)) => (address.to_owned(), host, container),
    }
}

fn range(text: &str) -> Option<(u16, u16)> {
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        if digits { text.parse::<u16>().ok() } else { None }
    };
    let (first, last) = match text.split_once('-') {
        None => (number(text)?, number(text)?),
        Some((first, last)) => (number(first)?, number(last)?),
    };
    (first <= last).then_some((first, last))
}
