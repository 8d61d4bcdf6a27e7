//! A container's place in a network: its names and addresses, and the cable.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use varve_types::{ContainerId, container::NetworkRequest};

use super::{
    address::Mac,
    error::{Error, Result},
    link::{Links, Veth},
    netns::Netns,
    networks::{self, Networks},
    pool,
    record::{Driver, Endpoint, Lease, Network, Sandbox},
};

impl Networks {
    /// Chooses names and addresses for a container in a network.
    pub(super) fn plan(
        &self,
        network: &Network,
        sandbox: &Sandbox,
        request: &NetworkRequest,
        names: Vec<String>,
    ) -> Result<Endpoint> {
        let id = networks::random_id()?;
        let mut endpoint = Endpoint {
            network_id: network.id.clone(),
            network: network.name.clone(),
            id: id.clone(),
            interface: None,
            host_interface: None,
            mac: None,
            ipv4: None,
            ipv6: None,
            internal: network.internal,
            names: Vec::new(),
            request: request.clone(),
        };
        if network.driver != Driver::Bridge {
            return Ok(endpoint);
        }
        check_addresses(network, request)?;
        let used = |name: &str| {
            sandbox.endpoints.iter().any(|other| other.interface.as_deref() == Some(name))
        };
        let mut interfaces = (0..).map(|number| format!("eth{number}"));
        endpoint.interface = interfaces.find(|name| !used(name));
        endpoint.host_interface = Some(format!("vv{}", &id[..10]));
        self.lease(network, request, &mut endpoint)?;
        if let Some(text) = &request.mac_address {
            let invalid =
                |error: super::address::InvalidMac| Error::InvalidNetwork(error.to_string());
            endpoint.mac = Some(text.parse().map_err(invalid)?);
        }
        if network.resolves_names() {
            endpoint.names = names;
        }
        Ok(endpoint)
    }

    /// Chooses addresses that nobody has.
    fn lease(
        &self,
        network: &Network,
        request: &NetworkRequest,
        endpoint: &mut Endpoint,
    ) -> Result<()> {
        let others = self.records.sandboxes()?;
        let taken: BTreeSet<IpAddr> = others
            .iter()
            .flat_map(Sandbox::addresses)
            .filter(|(network_id, _)| *network_id == network.id)
            .map(|(_, address)| address)
            .collect();
        for pool in &network.pools {
            let asked = if pool.subnet.is_ipv4() {
                request.ipv4_address.map(IpAddr::V4)
            } else {
                request.ipv6_address.map(IpAddr::V6)
            };
            let used_up =
                || Error::AddressesUsedUp { name: network.name.clone(), id: network.id.clone() };
            let address = match asked {
                Some(address) if taken.contains(&address) => return Err(Error::AddressInUse),
                Some(address) => address,
                None => pool::choose_address(pool, &taken).ok_or_else(used_up)?,
            };
            let prefix = pool.subnet.prefix();
            match (address, pool.gateway) {
                (IpAddr::V4(address), IpAddr::V4(gateway)) => {
                    endpoint.ipv4 = Some(Lease { address, prefix, gateway });
                    endpoint.mac = Some(Mac::of(address));
                }
                (IpAddr::V6(address), IpAddr::V6(gateway)) => {
                    endpoint.ipv6 = Some(Lease { address, prefix, gateway });
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Makes an endpoint's interfaces.
    pub(super) fn plug(
        &self,
        endpoint: &Endpoint,
        netns: &Netns,
        inside: &mut Links,
        hairpin: bool,
    ) -> Result<()> {
        let (Some(there), Some(here), Some(mac)) =
            (&endpoint.interface, &endpoint.host_interface, endpoint.mac)
        else {
            return Ok(());
        };
        let network = networks::find(&self.records.networks()?, &endpoint.network_id)?.clone();
        let Some(bridge) = &network.bridge else { return Ok(()) };
        let failed = || Error::kernel("make interface", here);
        let isolated = !network.lets_containers_talk();
        let (mac, mtu) = (mac.0, network.mtu());
        let veth = Veth { here, bridge, there, mac, mtu, isolated, hairpin };
        Links::here().and_then(|mut links| links.add_veth(&veth, netns)).map_err(failed())?;
        if endpoint.ipv6.is_none() {
            // A kernel without IPv6 makes no such addresses anyway.
            let _ = inside.without_link_local(there);
        }
        let v4 = endpoint.ipv4.map(|lease| (IpAddr::V4(lease.address), lease.prefix));
        let v6 = endpoint.ipv6.map(|lease| (IpAddr::V6(lease.address), lease.prefix));
        for (address, prefix) in v4.into_iter().chain(v6) {
            inside.add_address(there, address, prefix).map_err(failed())?;
        }
        inside.set_up(there).map_err(failed())
    }

    pub(super) fn unplug(endpoint: &Endpoint) -> Result<()> {
        let Some(name) = &endpoint.host_interface else { return Ok(()) };
        let removed = Links::here().and_then(|mut links| links.remove(name));
        removed.map(drop).map_err(Error::kernel("remove interface", name))
    }
}

/// Docker's `DNSNames`: name, aliases, short ID, host name, each once.
pub(super) fn all_names(
    name: &str,
    hostname: &str,
    container: &ContainerId,
    request: &NetworkRequest,
) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    let aliases = request.aliases.iter().cloned();
    let all = std::iter::once(name.to_owned()).chain(aliases);
    for name in all.chain([container.short(), hostname.to_owned()]) {
        if !name.is_empty() && !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

fn check_addresses(network: &Network, request: &NetworkRequest) -> Result<()> {
    let v4 = request.ipv4_address.map(IpAddr::V4);
    let v6 = request.ipv6_address.map(IpAddr::V6);
    let mut reasons = Vec::new();
    for address in v4.into_iter().chain(v6) {
        if network.is_predefined() {
            let text = "user specified IP address is supported on user defined networks only";
            reasons.push(format!("* {text}"));
        }
        let pool = network.pool(address.is_ipv4());
        if !pool.is_some_and(|pool| pool.subnet.contains(address)) {
            let text = "no configured subnet or ip-range contain the IP address";
            reasons.push(format!("* {text} {address}"));
        } else if !pool.is_some_and(|pool| pool::is_for_containers(pool, address)) {
            return Err(Error::AddressInUse);
        }
    }
    if reasons.is_empty() {
        return Ok(());
    }
    Err(Error::InvalidEndpoint { network: network.name.clone(), reasons: reasons.join("\n") })
}

pub(super) fn set_default_routes(sandbox: &Sandbox, links: &mut Links) -> Result<()> {
    let failed = || Error::kernel("set the default route of", sandbox.container.to_string());
    let mut routes: BTreeMap<&str, Vec<IpAddr>> = BTreeMap::new();
    if let Some(endpoint) = sandbox.gateway_endpoint()
        && let (Some(interface), Some(lease)) = (&endpoint.interface, endpoint.ipv4)
    {
        routes.entry(interface).or_default().push(lease.gateway.into());
    }
    let leads_out = |endpoint: &&Endpoint| endpoint.ipv6.is_some() && !endpoint.internal;
    if let Some(endpoint) = sandbox.endpoints.iter().find(leads_out)
        && let (Some(interface), Some(lease)) = (&endpoint.interface, endpoint.ipv6)
    {
        routes.entry(interface).or_default().push(lease.gateway.into());
    }
    for (interface, gateways) in routes {
        for gateway in gateways {
            links.set_default_route(interface, gateway).map_err(failed())?;
        }
    }
    Ok(())
}
