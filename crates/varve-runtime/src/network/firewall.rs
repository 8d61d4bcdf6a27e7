//! What may go where: one table for each network and family, named as the network's bridge.
//!
//! ```text
//! prerouting, output ─▶ ports      a published port of this machine becomes a container's
//! postrouting                      what leaves the network has this machine's address
//! forward                          into the network comes only what was asked for or is published
//! ```
//!
//! Each table judges its own network only: it accepts nothing on behalf of others, and it drops
//! what enters its bridge from elsewhere. So networks are kept apart without knowing each other,
//! and whoever else has rules here (docker, a firewall) keeps the last word.

use std::{io, net::IpAddr};

use super::{
    nft::{Chain, Family, Hook, Rule, Ruleset, Table},
    ports::PublishedPort,
    record::Network,
};

/// Where iptables keeps what it forwards; docker makes it drop what it does not know.
const FOREIGN: (&str, &str) = ("filter", "FORWARD");

/// Docker's own bridge, which its older versions protect by that policy alone.
const DOCKER_BRIDGE: &str = "docker0";

/// Makes the rules of a network what they should be.
pub(crate) fn apply(network: &Network, ports: &[PublishedPort]) -> io::Result<()> {
    let Some(bridge) = &network.bridge else { return Ok(()) };
    let mut rules = Ruleset::here()?;
    for family in families(network) {
        rules.replace(&table(network, bridge, family, ports))?;
        let mark = mark(bridge);
        rules.take_back(family, FOREIGN, &mark)?;
        if rules.drops_by_policy(family, FOREIGN.0, FOREIGN.1) {
            let out = Rule::default().comes_from(bridge).goes_to(DOCKER_BRIDGE, false).accept();
            let into = Rule::default().goes_to(bridge, true).accept();
            rules.append(family, FOREIGN, &mark, vec![into, out])?;
        }
    }
    Ok(())
}

/// Removes the rules of a network. None there is fine.
pub(crate) fn remove(bridge: &str) -> io::Result<()> {
    let mut rules = Ruleset::here()?;
    // The table of IPv4 last: as long as it is there, the next command comes here again.
    for family in [Family::V6, Family::V4] {
        rules.take_back(family, FOREIGN, &mark(bridge))?;
        match rules.remove(family, bridge) {
            // A kernel without this family has no rules of it.
            Err(error) if is_unsupported(&error) => {}
            other => other?,
        }
    }
    Ok(())
}

/// Lets a container's queries to 127.0.0.11:53 arrive at the resolver's port, as docker does, so
/// that port 53 stays free. For the thread's own namespace, which is the container's.
pub(crate) fn redirect_names(
    address: std::net::Ipv4Addr,
    udp_port: u16,
    tcp_port: u16,
) -> io::Result<()> {
    let address = IpAddr::V4(address);
    let rule = |protocol, port| {
        Rule::default().destination(address).port(protocol, 53).redirect(address, port)
    };
    let rules = vec![rule(17, udp_port), rule(6, tcp_port)];
    let chain = Chain { name: "output", hook: Some(Hook::Output), rules };
    let table = Table { family: Family::V4, name: "varve-names".to_owned(), chains: vec![chain] };
    Ruleset::here()?.replace(&table)
}

/// Whether the kernel has no nf_tables, or not all of what is needed.
pub(crate) fn is_unsupported(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let codes = [Errno::OPNOTSUPP, Errno::PROTONOSUPPORT, Errno::NOENT, Errno::AFNOSUPPORT];
    codes.iter().any(|code| error.raw_os_error() == Some(code.raw_os_error()))
}

fn mark(bridge: &str) -> String {
    format!("varve {bridge}")
}

fn families(network: &Network) -> Vec<Family> {
    let v6 = network.pools.iter().any(|pool| !pool.subnet.is_ipv4());
    if v6 { vec![Family::V4, Family::V6] } else { vec![Family::V4] }
}

fn table(network: &Network, bridge: &str, family: Family, ports: &[PublishedPort]) -> Table {
    let of_family = |address: IpAddr| address.is_ipv4() == (family == Family::V4);
    let published = ports
        .iter()
        .filter(|port| of_family(port.host_ip) && of_family(port.container_ip))
        .map(|port| {
            let mut rule = Rule::default();
            if !port.host_ip.is_unspecified() {
                rule = rule.destination(port.host_ip);
            }
            rule.port(port.protocol.number(), port.host_port)
                .redirect(port.container_ip, port.container_port)
        });
    let to_ports = || Rule::default().not_to_loopback(family).for_this_machine().jump("ports");
    let chain = |name, hook, rules| Chain { name, hook, rules };
    let chains = vec![
        chain("ports", None, published.collect()),
        chain("prerouting", Some(Hook::Prerouting), vec![to_ports()]),
        chain("output", Some(Hook::Output), vec![to_ports()]),
        chain("postrouting", Some(Hook::Postrouting), leaving(network, bridge, family)),
        chain("forward", Some(Hook::Forward), passing(network, bridge)),
    ];
    Table { family, name: bridge.to_owned(), chains }
}

fn leaving(network: &Network, bridge: &str, family: Family) -> Vec<Rule> {
    let mut rules = Vec::new();
    let pools = network.pools.iter().map(|pool| pool.subnet);
    for subnet in pools.filter(|subnet| subnet.is_ipv4() == (family == Family::V4)) {
        if network.masquerades() {
            rules.push(Rule::default().source(subnet).goes_to(bridge, false).masquerade());
        }
        // A neighbour that asks for a published port must get its answer the same way back.
        let back = Rule::default().source(subnet).goes_to(bridge, true).after_redirection();
        rules.push(back.masquerade());
    }
    rules
}

fn passing(network: &Network, bridge: &str) -> Vec<Rule> {
    let within = Rule::default().comes_from(bridge).goes_to(bridge, true);
    let within = if network.lets_containers_talk() {
        within.accept()
    } else {
        within.after_redirection().accept()
    };
    let mut rules = vec![within];
    if network.internal {
        rules.push(Rule::default().comes_from(bridge).drop());
    } else {
        rules.push(Rule::default().goes_to(bridge, true).belongs_to_known().accept());
        rules.push(Rule::default().goes_to(bridge, true).after_redirection().accept());
    }
    rules.push(Rule::default().goes_to(bridge, true).drop());
    rules
}

/// Whether a network's rules are there.
pub(crate) fn is_there(bridge: &str) -> bool {
    Ruleset::here().is_ok_and(|mut rules| rules.has(Family::V4, bridge))
}
