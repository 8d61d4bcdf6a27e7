//! What `inspect`, `ps` and `network inspect` tell, with docker's members.

use std::collections::BTreeMap;

use varve_types::container::{
    NetworkRequest, Port, PortBinding, PortBindings,
    listing::{self, EndpointFacts, NetworkFacts, NetworkMember},
};

use super::{
    networks::Inspected,
    record::{Endpoint, Network, Sandbox},
};

/// A network and who is in it.
pub fn described(inspected: &Inspected) -> listing::Network {
    let network = &inspected.network;
    let pools = network.pools.iter().map(|pool| listing::AddressPool {
        subnet: pool.subnet.to_string(),
        range: pool.ip_range.map(|range| range.to_string()).unwrap_or_default(),
        gateway: pool.gateway.to_string(),
        auxiliary: pool
            .auxiliary
            .iter()
            .map(|(name, address)| (name.clone(), address.to_string()))
            .collect(),
    });
    let members = inspected
        .sandboxes
        .iter()
        .filter_map(|sandbox| Some((sandbox.container.to_string(), member(sandbox, network)?)));
    listing::Network {
        name: network.name.clone(),
        id: network.id.clone(),
        created: network.created,
        driver: network.driver.as_str().to_owned(),
        ipv4: true,
        ipv6: network.pool(false).is_some(),
        internal: network.internal,
        pools: pools.collect(),
        containers: members.collect(),
        options: network.options.clone(),
        labels: network.labels.clone(),
    }
}

fn member(sandbox: &Sandbox, network: &Network) -> Option<NetworkMember> {
    let mut endpoints = sandbox.endpoints.iter();
    let endpoint = endpoints.find(|endpoint| endpoint.network_id == network.id)?;
    let v4 = endpoint.ipv4.map(|lease| format!("{}/{}", lease.address, lease.prefix));
    let v6 = endpoint.ipv6.map(|lease| format!("{}/{}", lease.address, lease.prefix));
    Some(NetworkMember {
        name: sandbox.name.clone(),
        endpoint_id: endpoint.id.clone(),
        mac_address: endpoint.mac.map(|mac| mac.to_string()).unwrap_or_default(),
        ipv4_address: v4.unwrap_or_default(),
        ipv6_address: v6.unwrap_or_default(),
    })
}

/// What a running container has. `exposed` are its ports, published or not; `key` is a path that
/// stands for its network namespace.
pub fn network_facts(sandbox: &Sandbox, exposed: &[Port], key: &str) -> NetworkFacts {
    let mut ports: PortBindings = exposed.iter().map(|port| (*port, Vec::new())).collect();
    for published in &sandbox.ports {
        let protocol = published.protocol.into();
        let port = Port { number: published.container_port, protocol };
        ports.entry(port).or_default().push(PortBinding {
            host_ip: published.host_ip.to_string(),
            host_port: published.host_port.to_string(),
        });
    }
    NetworkFacts {
        // The namespace is the container's, and so is its ID.
        sandbox_id: sandbox.container.to_string(),
        sandbox_key: key.to_owned(),
        ports,
        networks: sandbox
            .endpoints
            .iter()
            .map(|endpoint| (endpoint.network.clone(), placed(endpoint)))
            .collect(),
    }
}

/// What a container that does not run wants of a network.
pub fn endpoint_facts(request: &NetworkRequest, network_id: &str) -> EndpointFacts {
    let mut asked = BTreeMap::new();
    if let Some(address) = request.ipv4_address {
        asked.insert("IPv4Address".to_owned(), address.to_string());
    }
    if let Some(address) = request.ipv6_address {
        asked.insert("IPv6Address".to_owned(), address.to_string());
    }
    let some = |list: &Vec<String>| (!list.is_empty()).then(|| list.clone());
    let options = &request.driver_options;
    EndpointFacts {
        ipam_config: (!asked.is_empty()).then_some(asked),
        links: some(&request.links),
        aliases: some(&request.aliases),
        network_id: network_id.to_owned(),
        driver_opts: (!options.is_empty()).then(|| options.clone()),
        ..EndpointFacts::default()
    }
}

fn placed(endpoint: &Endpoint) -> EndpointFacts {
    let (v4, v6) = (endpoint.ipv4, endpoint.ipv6);
    // An internal network has an address at its bridge, and no way out through it.
    let leads_out = |text: String| if endpoint.internal { String::new() } else { text };
    EndpointFacts {
        mac_address: endpoint.mac.map(|mac| mac.to_string()).unwrap_or_default(),
        endpoint_id: endpoint.id.clone(),
        gateway: v4.map(|lease| leads_out(lease.gateway.to_string())).unwrap_or_default(),
        ip_address: v4.map(|lease| lease.address.to_string()).unwrap_or_default(),
        ip_prefix: v4.map_or(0, |lease| lease.prefix),
        ipv6_gateway: v6.map(|lease| leads_out(lease.gateway.to_string())).unwrap_or_default(),
        ipv6_address: v6.map(|lease| lease.address.to_string()).unwrap_or_default(),
        ipv6_prefix: v6.map_or(0, |lease| lease.prefix),
        dns_names: (!endpoint.names.is_empty()).then(|| endpoint.names.clone()),
        ..endpoint_facts(&endpoint.request, &endpoint.network_id)
    }
}
