//! `--network`: a name, or fields with what the container wants to be called there.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{FlagError, fields, option};
use crate::{Printable, container::NetworkRequest};

/// A network that a container is to be attached to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Attachment {
    /// The network's name or ID, or a mode such as `host` or `container:NAME`.
    pub target: String,
    /// What is asked of it.
    pub request: NetworkRequest,
}

/// Reads `--network`: `NAME`, or `name=NAME,alias=…,ip=…,…`.
pub fn attachment(text: &str) -> Result<Attachment, FlagError> {
    if !is_long(text) {
        return Ok(Attachment { target: text.to_owned(), ..Attachment::default() });
    }
    let mut found = Attachment::default();
    for field in fields(text)? {
        let refused = || FlagError::of("invalid field ", &field);
        let (name, value) = field.split_once('=').ok_or_else(refused)?;
        let (name, value) = (name.trim().to_lowercase(), value.trim().to_lowercase());
        let request = &mut found.request;
        match name.as_str() {
            "" => return Err(refused()),
            "name" => found.target = value,
            "alias" => request.aliases.push(value),
            "driver-opt" => {
                let Some((key, option)) = value.split_once('=') else {
                    let text = "invalid key value pair format in driver options";
                    return Err(FlagError::new(text));
                };
                request.driver_options.insert(key.trim().to_owned(), option.trim().to_owned());
            }
            "ip" => request.ipv4_address = Some(ipv4(&value)?),
            "ip6" => request.ipv6_address = Some(ipv6(&value)?),
            "link-local-ip" => request.link_local_ips.push(address(&value)?),
            "mac-address" => request.mac_address = Some(mac_address(&value)?),
            "gw-priority" if value.parse::<i64>().is_ok() => {}
            "gw-priority" => {
                return Err(FlagError::new(format!("invalid gw-priority: {value:?}")));
            }
            name => return Err(FlagError::of("invalid field key ", name)),
        }
    }
    if found.target.is_empty() {
        return Err(FlagError::new("network name/id is not specified"));
    }
    Ok(found)
}

/// Reads `--ip`.
pub fn ipv4(text: &str) -> Result<Ipv4Addr, FlagError> {
    text.parse().map_err(|_| FlagError::of("invalid IPv4 address: ", text))
}

/// Reads `--ip6`.
pub fn ipv6(text: &str) -> Result<Ipv6Addr, FlagError> {
    text.parse().map_err(|_| FlagError::of("invalid IPv6 address: ", text))
}

/// Reads `--link-local-ip`.
pub fn address(text: &str) -> Result<IpAddr, FlagError> {
    text.parse().map_err(|_| FlagError::of("invalid link-local IP address: ", text))
}

/// Reads `--mac-address`.
pub fn mac_address(text: &str) -> Result<String, FlagError> {
    let text = text.trim();
    if option::is_mac_address(text) {
        return Ok(text.to_owned());
    }
    Err(FlagError::new(format!("{} is not a valid mac address", Printable(text))))
}

/// Whether there is a letter on both sides of a `=`, which no name has.
fn is_long(text: &str) -> bool {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.match_indices('=').any(|(at, _)| {
        text[..at].chars().next_back().is_some_and(is_word)
            && text[at + 1..].chars().next().is_some_and(is_word)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let shown = match attachment(text) {
            Ok(it) => format!("{} {}", it.target, serde_json::to_string(&it.request).unwrap()),
            Err(error) => error.to_string(),
        };
        assert_eq!(shown, expected);
    }

    #[test]
    fn a_name_or_fields_name_a_network() {
        check("none", "none {}");
        check("container:web", "container:web {}");
        check(
            "name=back,alias=db,alias=sql,ip=10.0.0.5",
            r#"back {"aliases":["db","sql"],"ipv4Address":"10.0.0.5"}"#,
        );
        check("alias=db", "network name/id is not specified");
        check("name=a,foo=b", "invalid field key foo");
        check("name=a,b", "invalid field b");
        check("name=a,mac-address=xx", "xx is not a valid mac address");
    }
}
