//! Which subnet a network gets, and which address a container.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv6Addr},
};

use super::{address::Subnet, record::AddressPool};

/// For the default bridge: a `/16`, first of those that are free. Not of 172.16.0.0/12 or
/// 192.168.0.0/16, where docker takes its own, nor where podman, Kubernetes and k3s do.
const DEFAULT_BRIDGE: &[&str] =
    &["10.83.0.0/16", "10.113.0.0/16", "10.147.0.0/16", "10.211.0.0/16"];

/// For other networks: a `/20` of one of these.
const OTHERS: &[&str] = &["10.84.0.0/14", "10.114.0.0/15", "10.148.0.0/14", "10.212.0.0/14"];
const OTHERS_PREFIX: u8 = 20;

/// Finds a subnet that nobody has.
pub(crate) fn choose_subnet(is_default: bool, taken: &[Subnet]) -> Option<Subnet> {
    let is_free = |subnet: &Subnet| !taken.iter().any(|other| other.overlaps(*subnet));
    let parse = |text: &&str| text.parse::<Subnet>().ok();
    if is_default {
        return DEFAULT_BRIDGE.iter().filter_map(parse).find(is_free);
    }
    let parts = |whole: Subnet| {
        let count = 1_u128 << (OTHERS_PREFIX - whole.prefix());
        let size = 1_u128 << (32 - OTHERS_PREFIX);
        (0..count).filter_map(move |n| Subnet::new(whole.nth(n * size)?, OTHERS_PREFIX))
    };
    OTHERS.iter().filter_map(parse).flat_map(parts).find(is_free)
}

/// A `/64` of the private IPv6 addresses, made of a network's random ID.
pub(crate) fn choose_subnet_v6(network_id: &str) -> Option<Subnet> {
    let digits = network_id.get(..14)?;
    let random = u128::from_str_radix(digits, 16).ok()?;
    Subnet::new(Ipv6Addr::from((0xfd_u128 << 120) | (random << 64)).into(), 64)
}

/// The lowest address that nobody has.
pub(crate) fn choose_address(pool: &AddressPool, taken: &BTreeSet<IpAddr>) -> Option<IpAddr> {
    let range = pool.ip_range.unwrap_or(pool.subnet);
    // Each taken address can stand in the way once, and so can the reserved ones.
    let tries = taken.len() as u128 + pool.auxiliary.len() as u128 + 4;
    (0..range.size().min(tries))
        .filter_map(|distance| range.nth(distance))
        .find(|address| is_for_containers(pool, *address) && !taken.contains(address))
}

/// Whether the address may be a container's, if it is free.
pub(crate) fn is_for_containers(pool: &AddressPool, address: IpAddr) -> bool {
    let subnet = pool.subnet;
    let is_first = address == subnet.base() && subnet.size() > 2;
    subnet.contains(address)
        && !is_first
        && Some(address) != subnet.broadcast()
        && address != pool.gateway
        && !pool.auxiliary.values().any(|other| *other == address)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn subnet(text: &str) -> Subnet {
        text.parse().unwrap()
    }

    #[test]
    fn a_chosen_subnet_collides_with_nothing() {
        assert_eq!(choose_subnet(true, &[]), Some(subnet("10.83.0.0/16")));
        assert_eq!(choose_subnet(true, &[subnet("10.83.9.0/24")]), Some(subnet("10.113.0.0/16")));
        assert_eq!(choose_subnet(true, &[subnet("10.0.0.0/8")]), None);
        let taken = [subnet("10.84.0.0/16"), subnet("10.85.0.0/20")];
        assert_eq!(choose_subnet(false, &taken), Some(subnet("10.85.16.0/20")));
    }

    #[test]
    fn a_subnet_is_given_until_all_are() {
        let mut taken = Vec::new();
        while let Some(next) = choose_subnet(false, &taken) {
            taken.push(next);
        }
        assert_eq!(taken.len(), 3 * 64 + 32);
    }

    #[test]
    fn addresses_are_given_from_the_lowest_and_never_twice() {
        let pool = AddressPool {
            subnet: subnet("10.1.0.0/29"),
            ip_range: None,
            gateway: "10.1.0.1".parse().unwrap(),
            auxiliary: BTreeMap::from([("router".to_owned(), "10.1.0.3".parse().unwrap())]),
        };
        let mut taken = BTreeSet::new();
        while let Some(next) = choose_address(&pool, &taken) {
            assert!(taken.insert(next));
        }
        let given: Vec<String> = taken.iter().map(IpAddr::to_string).collect();
        assert_eq!(given, ["10.1.0.2", "10.1.0.4", "10.1.0.5", "10.1.0.6"]);
    }

    #[test]
    fn a_range_bounds_what_is_given() {
        let pool = AddressPool {
            subnet: subnet("10.1.0.0/16"),
            ip_range: Some(subnet("10.1.5.0/30")),
            gateway: "10.1.0.1".parse().unwrap(),
            auxiliary: BTreeMap::new(),
        };
        let mut taken = BTreeSet::from(["10.1.5.1".parse().unwrap()]);
        assert_eq!(choose_address(&pool, &taken), Some("10.1.5.0".parse().unwrap()));
        taken.extend(
            ["10.1.5.0", "10.1.5.2", "10.1.5.3"].map(|text| text.parse::<IpAddr>().unwrap()),
        );
        assert_eq!(choose_address(&pool, &taken), None);
    }
}
