//! Flags with small values of their own.

use std::{net::IpAddr, str::FromStr as _};

use super::FlagError;
use crate::Printable;

/// One of a container's standard streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Its input.
    Stdin,
    /// Its output.
    Stdout,
    /// Its error output.
    Stderr,
}

/// Reads `--attach`.
pub fn stream(text: &str) -> Result<Stream, FlagError> {
    match text.to_lowercase().as_str() {
        "stdin" => Ok(Stream::Stdin),
        "stdout" => Ok(Stream::Stdout),
        "stderr" => Ok(Stream::Stderr),
        _ => Err(FlagError::new("valid streams are STDIN, STDOUT and STDERR")),
    }
}

/// Reads `--add-host`: `NAME:ADDRESS` or `NAME=ADDRESS`, in the first form. The address may be
/// in brackets, or `host-gateway`.
pub fn extra_host(text: &str) -> Result<String, FlagError> {
    let refused = || FlagError::new(format!("bad format for add-host: {text:?}"));
    let (name, address) =
        text.split_once('=').or_else(|| text.split_once(':')).ok_or_else(refused)?;
    if name.is_empty() || name.contains(':') {
        return Err(refused());
    }
    let bare = address.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let address = bare.filter(|bare| !bare.is_empty()).unwrap_or(address);
    if address != "host-gateway" && IpAddr::from_str(address.trim()).is_err() {
        return Err(FlagError::new(format!("invalid IP address in add-host: {address:?}")));
    }
    Ok(format!("{name}:{address}"))
}

/// Reads an address, as of `--dns`, in its shortest form.
pub fn ip(text: &str) -> Result<String, FlagError> {
    match IpAddr::from_str(text.trim()) {
        Ok(address) => Ok(address.to_string()),
        Err(_) => Err(FlagError::of("IP address is not correctly formatted: ", text)),
    }
}

/// Reads `--dns-search`: a domain, without a dot at its end, or `.` for none.
pub fn search_domain(text: &str) -> Result<String, FlagError> {
    let domain = text.trim_matches(' ');
    if domain == "." {
        return Ok(domain.to_owned());
    }
    let bare = domain.trim_end();
    let bare = bare.strip_suffix('.').unwrap_or(bare);
    let label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    let is_domain = bare.bytes().any(|byte| byte.is_ascii_alphabetic())
        && bare.len() < 255
        && bare.split('.').all(label);
    if is_domain {
        return Ok(bare.to_owned());
    }
    Err(FlagError::new(format!("{} is not a valid domain", Printable(domain))))
}

/// Checks `--sysctl`: `NAME=value`, of those settings that belong to a namespace.
pub fn sysctl(text: &str) -> Result<String, FlagError> {
    const NAMES: &[&str] = &[
        "kernel.msgmax",
        "kernel.msgmnb",
        "kernel.msgmni",
        "kernel.sem",
        "kernel.shm_rmid_forced",
        "kernel.shmall",
        "kernel.shmmax",
        "kernel.shmmni",
    ];
    let allowed = text.split_once('=').is_some_and(|(name, _)| {
        NAMES.contains(&name) || name.starts_with("net.") || name.starts_with("fs.mqueue.")
    });
    if allowed {
        return Ok(text.to_owned());
    }
    Err(FlagError::new(format!("sysctl '{}' is not allowed", Printable(text))))
}

/// Checks `--link`: `NAME[:ALIAS]`.
pub fn link(text: &str) -> Result<String, FlagError> {
    if text.is_empty() {
        return Err(FlagError::new("empty string specified for links"));
    }
    if text.matches(':').count() > 1 {
        return Err(FlagError::of("bad format for links: ", text));
    }
    Ok(text.to_owned())
}

/// Whether a text is a hardware address of six bytes, written with `:` or `-`.
pub fn is_mac_address(text: &str) -> bool {
    let pair = |pair: &str| pair.len() == 2 && pair.bytes().all(|b| b.is_ascii_hexdigit());
    let of = |separator| text.split(separator).count() == 6 && text.split(separator).all(pair);
    of(':') || of('-')
}

/// The pairs of `NAME=value` texts; a name alone has an empty value, and the last one counts.
pub fn pairs(texts: &[String]) -> std::collections::BTreeMap<String, String> {
    let pair = |text: &String| match text.split_once('=') {
        Some((name, value)) => (name.to_owned(), value.to_owned()),
        None => (text.clone(), String::new()),
    };
    texts.iter().map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(found: Result<String, FlagError>, expected: &str) {
        assert_eq!(found.unwrap_or_else(|error| error.to_string()), expected);
    }

    #[test]
    fn hosts_have_a_name_and_an_address() {
        check(extra_host("foo:1.2.3.4"), "foo:1.2.3.4");
        check(extra_host("foo=[::1]"), "foo:::1");
        check(extra_host("foo:::1"), "foo:::1");
        check(extra_host("foo:host-gateway"), "foo:host-gateway");
        check(extra_host("foo"), "bad format for add-host: \"foo\"");
        check(extra_host("a:b=1.2.3.4"), "bad format for add-host: \"a:b=1.2.3.4\"");
        check(extra_host("foo:bar"), "invalid IP address in add-host: \"bar\"");
    }

    #[test]
    fn addresses_and_domains_are_checked() {
        check(ip("0:0:0:0:0:0:0:1"), "::1");
        check(ip("x"), "IP address is not correctly formatted: x");
        check(search_domain("example.com."), "example.com");
        check(search_domain("."), ".");
        check(search_domain("1.2"), "1.2 is not a valid domain");
        check(search_domain("-a.b"), "-a.b is not a valid domain");
    }

    #[test]
    fn only_settings_of_namespaces_may_be_set() {
        check(sysctl("net.ipv4.ip_forward=1"), "net.ipv4.ip_forward=1");
        check(sysctl("kernel.msgmax=1"), "kernel.msgmax=1");
        check(sysctl("kernel.foo=1"), "sysctl 'kernel.foo=1' is not allowed");
        check(sysctl("net.x"), "sysctl 'net.x' is not allowed");
    }

    #[test]
    fn links_streams_and_hardware_addresses_are_checked() {
        check(link("db:alias"), "db:alias");
        check(link("a:b:c"), "bad format for links: a:b:c");
        assert_eq!(stream("STDOUT"), Ok(Stream::Stdout));
        assert!(stream("x").is_err());
        assert!(is_mac_address("02:42:ac:11:00:99") && is_mac_address("02-42-ac-11-00-99"));
        assert!(!is_mac_address("02:42:ac:11:00") && !is_mac_address("02:42:ac:11:00:9x"));
    }
}
