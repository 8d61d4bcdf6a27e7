//! Ports of containers.

use std::cmp::Ordering;

use varve_types::container::{PortBinding, PortBindings, listing::ListedPort};

use crate::error::CommandError;

/// The ports of a container in one cell: neighbours that are published alike are one range.
pub(crate) fn compressed(ports: &[ListedPort]) -> String {
    let mut ports: Vec<&ListedPort> = ports.iter().collect();
    ports.sort_by(|a, b| {
        let key = |port: &ListedPort| (port.number, port.host_ip.clone(), port.host_port);
        key(a).cmp(&key(b)).then_with(|| a.protocol.as_str().cmp(b.protocol.as_str()))
    });
    let (mut done, mut mapped) = (Vec::new(), Vec::new());
    let mut groups: Vec<Group<'_>> = Vec::new();
    for port in ports {
        let protocol = port.protocol.as_str();
        if !port.host_ip.is_empty() && port.host_port != Some(port.number) {
            let at = address(&port.host_ip, port.host_port.unwrap_or_default());
            mapped.push(format!("{at}->{}/{protocol}", port.number));
            continue;
        }
        let is_like =
            |group: &&mut Group<'_>| group.protocol == protocol && group.host_ip == port.host_ip;
        match groups.iter_mut().find(is_like) {
            None => {
                let (first, last) = (port.number, port.number);
                groups.push(Group { host_ip: &port.host_ip, protocol, first, last });
            }
            Some(group) if Some(port.number) == group.last.checked_add(1) => {
                group.last = port.number;
            }
            Some(group) => {
                done.push(group.text());
                (group.first, group.last) = (port.number, port.number);
            }
        }
    }
    done.extend(groups.iter().map(Group::text));
    done.extend(mapped);
    done.join(", ")
}

/// Ports in a row.
struct Group<'a> {
    host_ip: &'a str,
    protocol: &'static str,
    first: u16,
    last: u16,
}

impl Group<'_> {
    fn text(&self) -> String {
        let range = match (self.first, self.last) {
            (first, last) if first == last => first.to_string(),
            (first, last) => format!("{first}-{last}"),
        };
        match self.host_ip {
            "" => format!("{range}/{}", self.protocol),
            ip => format!("{}->{range}/{}", address(ip, &range), self.protocol),
        }
    }
}

/// The report of `port`: all bindings, or those of one port.
pub(crate) fn bindings(
    bindings: &PortBindings,
    container: &str,
    port: Option<&str>,
) -> Result<String, CommandError> {
    let at = |binding: &PortBinding| address(&binding.host_ip, &binding.host_port);
    let mut lines: Vec<String> = Vec::new();
    if let Some(asked) = port.filter(|port| !port.is_empty()) {
        let number = asked.split('/').next().unwrap_or_default();
        if number.parse::<u16>().is_err() {
            let reason = format!("strconv.ParseUint: parsing {number:?}: invalid syntax");
            return Err(CommandError::plain(
                format!("Error: invalid port ({number}): {reason}"),
                1,
            ));
        }
        let found = asked.parse().ok().and_then(|port| bindings.get(&port));
        let found = found.filter(|places| !places.is_empty()).ok_or_else(|| {
            let text = format!("Error: No public port '{asked}' published for {container}");
            CommandError::plain(text, 1)
        })?;
        lines.extend(found.iter().map(at));
    } else {
        for (port, places) in bindings {
            lines.extend(places.iter().map(|place| format!("{port} -> {}", at(place))));
        }
    }
    lines.sort_by(|a, b| natural(a, b));
    lines.push(String::new());
    Ok(lines.join("\n"))
}

/// An address with a port, as URLs have it.
fn address(ip: &str, port: impl std::fmt::Display) -> String {
    if ip.contains(':') { format!("[{ip}]:{port}") } else { format!("{ip}:{port}") }
}

/// The order in which numbers inside texts count as numbers.
fn natural(mut a: &str, mut b: &str) -> Ordering {
    loop {
        let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
        let order = match (digits(a), digits(b)) {
            (0, _) | (_, 0) => {
                let (first, second) = (a.chars().next(), b.chars().next());
                match (first, second) {
                    (Some(first), Some(second)) if first == second => {
                        (a, b) = (&a[first.len_utf8()..], &b[second.len_utf8()..]);
                        continue;
                    }
                    (first, second) => return first.cmp(&second),
                }
            }
            (of_a, of_b) => {
                let (left, right) = (&a[..of_a], &b[..of_b]);
                (a, b) = (&a[of_a..], &b[of_b..]);
                let bare = |text: &str| text.trim_start_matches('0').to_owned();
                let (left, right) = (bare(left), bare(right));
                left.len().cmp(&right.len()).then(left.cmp(&right))
            }
        };
        if order.is_ne() {
            return order;
        }
    }
}

#[cfg(test)]
mod tests {
    use varve_types::container::parse_publish;

    use super::*;

    fn listed(texts: &[&str]) -> Vec<ListedPort> {
        let mut ports = Vec::new();
        for (port, binding) in texts.iter().flat_map(|text| parse_publish(text).unwrap()) {
            ports.push(ListedPort {
                host_ip: binding.host_ip,
                host_port: binding.host_port.parse().ok(),
                number: port.number,
                protocol: port.protocol,
            });
        }
        ports
    }

    #[test]
    fn neighbours_are_one_range_and_what_is_mapped_elsewhere_comes_last() {
        assert_eq!(compressed(&listed(&["80", "81", "83", "53/udp"])), "80-81/tcp, 53/udp, 83/tcp");
        assert_eq!(
            compressed(&listed(&["0.0.0.0:8080:80", "[::]:8080:80", "443"])),
            "443/tcp, 0.0.0.0:8080->80/tcp, [::]:8080->80/tcp"
        );
        assert_eq!(
            compressed(&listed(&["0.0.0.0:5000-5002:5000-5002", "[::]:5000-5001:5000-5001"])),
            "0.0.0.0:5000-5002->5000-5002/tcp, [::]:5000-5001->5000-5001/tcp"
        );
        assert_eq!(compressed(&[]), "");
    }

    #[test]
    fn bindings_come_in_the_order_of_their_numbers() {
        let mut found = PortBindings::new();
        for (port, binding) in [
            "0.0.0.0:18080:80",
            "[::]:18080:80",
            "0.0.0.0:32770:80",
            "[::]:32770:80",
            "127.0.0.1:18443:443",
            "0.0.0.0:5353:53/udp",
        ]
        .iter()
        .flat_map(|text| parse_publish(text).unwrap())
        {
            found.entry(port).or_default().push(binding);
        }
        // As recorded, but for 53, which the recording cut out.
        assert_eq!(
            bindings(&found, "pub", None).unwrap(),
            "53/udp -> 0.0.0.0:5353\n80/tcp -> 0.0.0.0:18080\n80/tcp -> 0.0.0.0:32770\n\
             80/tcp -> [::]:18080\n80/tcp -> [::]:32770\n443/tcp -> 127.0.0.1:18443\n"
        );
        assert_eq!(
            bindings(&found, "pub", Some("80/tcp")).unwrap(),
            "0.0.0.0:18080\n0.0.0.0:32770\n[::]:18080\n[::]:32770\n"
        );
        let error = bindings(&found, "pub", Some("99")).unwrap_err();
        assert_eq!(error.text().unwrap(), "Error: No public port '99' published for pub");
    }
}
