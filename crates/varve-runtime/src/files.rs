//! What `/etc/hosts`, `/etc/hostname` and `/etc/resolv.conf` of a container say. Texts only;
//! who starts the container writes them.

use std::net::IpAddr;

mod resolv_conf;

pub use resolv_conf::{ResolvConf, Resolver, resolv_conf};

/// What every container's `/etc/hosts` begins with.
const HOSTS: &str = "127.0.0.1\tlocalhost\n\
    ::1\tlocalhost ip6-localhost ip6-loopback\n\
    fe00::0\tip6-localnet\n\
    ff00::0\tip6-mcastprefix\n\
    ff02::1\tip6-allnodes\n\
    ff02::2\tip6-allrouters\n";

/// The host that `--add-host NAME:host-gateway` means.
pub const HOST_GATEWAY: &str = "host-gateway";

/// `/etc/hosts`: the usual names, what `--add-host` added (`NAME:ADDRESS`), then the container's
/// own addresses with its names.
///
/// `gateway` is what [`HOST_GATEWAY`] stands for; without one such an entry is left out.
pub fn hosts(extra: &[String], gateway: Option<IpAddr>, own: &[(IpAddr, Vec<String>)]) -> String {
    let mut text = HOSTS.to_owned();
    for entry in extra {
        // The address may have colons of its own: the name ends at the first.
        let Some((name, address)) = entry.split_once(':') else { continue };
        let address = match (address, gateway) {
            (HOST_GATEWAY, Some(gateway)) => gateway.to_string(),
            (HOST_GATEWAY, None) => continue,
            (address, _) => {
                let bare = address.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
                bare.unwrap_or(address).to_owned()
            }
        };
        line(&mut text, &address, name);
    }
    for (address, names) in own {
        line(&mut text, &address.to_string(), &names.join(" "));
    }
    text
}

fn line(text: &mut String, address: &str, names: &str) {
    // One entry is one line, whatever is in it.
    let clean = |part: &str| part.replace(|c: char| c.is_control(), "");
    text.extend([format!("{}\t{}\n", clean(address), clean(names))]);
}

/// `/etc/hosts` of a program that a build runs, whose host name is `name`: what `--add-host` added
/// is name and address.
pub fn build_hosts(name: &str, extra: &[(String, String)], gateway: Option<IpAddr>) -> String {
    let mut text =
        format!("127.0.0.1\tlocalhost {name}\n::1\tlocalhost ip6-localhost ip6-loopback\n");
    for (name, address) in extra {
        match (address.as_str(), gateway) {
            (HOST_GATEWAY, Some(gateway)) => line(&mut text, &gateway.to_string(), name),
            (HOST_GATEWAY, None) => {}
            (address, _) => line(&mut text, address, name),
        }
    }
    text
}

/// `/etc/hostname`.
pub fn hostname(name: &str) -> String {
    format!("{}\n", name.replace(|c: char| c.is_control(), ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own() -> Vec<(IpAddr, Vec<String>)> {
        vec![("172.17.0.3".parse().unwrap(), vec!["73fab16ddbf6".to_owned()])]
    }

    #[test]
    fn the_file_is_dockers() {
        let text = hosts(&["foo:1.2.3.4".to_owned()], None, &own());
        assert_eq!(
            text,
            "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\nfe00::0\tip6-localnet\nff00::0\tip6-mcastprefix\nff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n1.2.3.4\tfoo\n172.17.0.3\t73fab16ddbf6\n"
        );
    }

    #[test]
    fn a_build_has_the_hosts_of_dockers_builder() {
        let extra = [("foo", "1.2.3.4"), ("h", HOST_GATEWAY)];
        let extra = extra.map(|(name, address)| (name.to_owned(), address.to_owned()));
        let text = build_hosts("buildkitsandbox", &extra, None);
        assert_eq!(
            text,
            "127.0.0.1\tlocalhost buildkitsandbox\n::1\tlocalhost ip6-localhost ip6-loopback\n1.2.3.4\tfoo\n"
        );
        let text = build_hosts("b", &extra, Some("10.83.0.1".parse().unwrap()));
        assert!(text.ends_with("1.2.3.4\tfoo\n10.83.0.1\th\n"), "{text}");
    }

    #[test]
    fn the_host_has_a_name_where_it_has_an_address() {
        let extra = ["h:host-gateway".to_owned(), "six:[::1]".to_owned()];
        let with = hosts(&extra, Some("172.17.0.1".parse().unwrap()), &[]);
        assert!(with.ends_with("172.17.0.1\th\n::1\tsix\n"), "{with}");
        assert!(!hosts(&extra, None, &[]).contains("host-gateway"));
    }

    #[test]
    fn no_entry_makes_a_line_of_its_own() {
        let text = hosts(&["a:1.1.1.1\n9.9.9.9 b".to_owned()], None, &[]);
        assert!(text.ends_with("\n1.1.1.19.9.9.9 b\ta\n"), "{text}");
        assert_eq!(hostname("a\nb"), "ab\n");
    }
}
