//! What `inspect` and `network inspect` show, in docker's form.

use std::collections::BTreeMap;

use serde::Serialize;
use varve_types::container::{Port, PortBinding};

use super::{
    networks::Inspected,
    record::{Endpoint, Network, Sandbox},
};

/// A network as `network inspect` shows it.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct NetworkDescription {
    name: String,
    id: String,
    created: String,
    scope: &'static str,
    driver: &'static str,
    #[serde(rename = "EnableIPv4")]
    enable_ipv4: bool,
    #[serde(rename = "EnableIPv6")]
    enable_ipv6: bool,
    #[serde(rename = "IPAM")]
    ipam: AddressManagement,
    internal: bool,
    attachable: bool,
    ingress: bool,
    config_from: ConfigFrom,
    config_only: bool,
    containers: BTreeMap<String, Member>,
    options: BTreeMap<String, String>,
    labels: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
struct AddressManagement {
    driver: &'static str,
    options: Option<BTreeMap<String, String>>,
    config: Option<Vec<PoolDescription>>,
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
struct PoolDescription {
    subnet: String,
    #[serde(rename = "IPRange", skip_serializing_if = "String::is_empty")]
    ip_range: String,
    gateway: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    auxiliary_addresses: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
struct ConfigFrom {
    network: String,
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Member {
    name: String,
    #[serde(rename = "EndpointID")]
    endpoint_id: String,
    mac_address: String,
    #[serde(rename = "IPv4Address")]
    ipv4_address: String,
    #[serde(rename = "IPv6Address")]
    ipv6_address: String,
}

impl NetworkDescription {
    /// Describes a network and who is in it.
    pub fn of(inspected: &Inspected) -> Self {
        let network = &inspected.network;
        let has_v6 = network.pool(false).is_some();
        Self {
            name: network.name.clone(),
            id: network.id.clone(),
            created: network.created.to_string(),
            scope: "local",
            driver: network.driver.as_str(),
            enable_ipv4: true,
            enable_ipv6: has_v6,
            ipam: AddressManagement::of(network),
            internal: network.internal,
            attachable: network.attachable,
            ingress: false,
            config_from: ConfigFrom::default(),
            config_only: false,
            containers: inspected
                .sandboxes
                .iter()
                .filter_map(|sandbox| Some((sandbox, member(sandbox, network)?)))
                .map(|(sandbox, member)| (sandbox.container.to_string(), member))
                .collect(),
            options: network.options.clone(),
            labels: network.labels.clone(),
        }
    }
}

fn member(sandbox: &Sandbox, network: &Network) -> Option<Member> {
    let mut endpoints = sandbox.endpoints.iter();
    let endpoint = endpoints.find(|endpoint| endpoint.network_id == network.id)?;
    let v4 = endpoint.ipv4.map(|lease| format!("{}/{}", lease.address, lease.prefix));
    let v6 = endpoint.ipv6.map(|lease| format!("{}/{}", lease.address, lease.prefix));
    Some(Member {
        name: sandbox.name.clone(),
        endpoint_id: endpoint.id.clone(),
        mac_address: endpoint.mac.map(|mac| mac.to_string()).unwrap_or_default(),
        ipv4_address: v4.unwrap_or_default(),
        ipv6_address: v6.unwrap_or_default(),
    })
}

impl AddressManagement {
    fn of(network: &Network) -> Self {
        let config: Vec<PoolDescription> = network
            .pools
            .iter()
            .map(|pool| PoolDescription {
                subnet: pool.subnet.to_string(),
                ip_range: pool.ip_range.map(|range| range.to_string()).unwrap_or_default(),
                gateway: pool.gateway.to_string(),
                auxiliary_addresses: pool
                    .auxiliary
                    .iter()
                    .map(|(name, address)| (name.clone(), address.to_string()))
                    .collect(),
            })
            .collect();
        // Docker's `host` and `none` have no list, and user networks an empty map of options.
        let options = (!network.is_predefined()).then(BTreeMap::new);
        Self { driver: "default", options, config: (!config.is_empty()).then_some(config) }
    }
}

/// `NetworkSettings` of a container.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct NetworkSettings {
    bridge: String,
    #[serde(rename = "SandboxID")]
    sandbox_id: String,
    sandbox_key: String,
    /// The container's ports and where on this machine they are; `None` for exposed ones only.
    pub ports: BTreeMap<Port, Option<Vec<PortBinding>>>,
    hairpin_mode: bool,
    #[serde(rename = "LinkLocalIPv6Address")]
    link_local_ipv6_address: String,
    #[serde(rename = "LinkLocalIPv6PrefixLen")]
    link_local_ipv6_prefix_len: u8,
    #[serde(rename = "SecondaryIPAddresses")]
    secondary_ip_addresses: Option<()>,
    #[serde(rename = "SecondaryIPv6Addresses")]
    secondary_ipv6_addresses: Option<()>,
    #[serde(rename = "EndpointID")]
    endpoint_id: String,
    gateway: String,
    #[serde(rename = "GlobalIPv6Address")]
    global_ipv6_address: String,
    #[serde(rename = "GlobalIPv6PrefixLen")]
    global_ipv6_prefix_len: u8,
    #[serde(rename = "IPAddress")]
    ip_address: String,
    #[serde(rename = "IPPrefixLen")]
    ip_prefix_len: u8,
    #[serde(rename = "IPv6Gateway")]
    ipv6_gateway: String,
    mac_address: String,
    /// One for each network, by name.
    pub networks: BTreeMap<String, EndpointSettings>,
}

/// A container's place in one network.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct EndpointSettings {
    #[serde(rename = "IPAMConfig")]
    ipam_config: Option<BTreeMap<&'static str, String>>,
    links: Option<Vec<String>>,
    aliases: Option<Vec<String>>,
    mac_address: String,
    #[serde(rename = "NetworkID")]
    network_id: String,
    #[serde(rename = "EndpointID")]
    endpoint_id: String,
    gateway: String,
    #[serde(rename = "IPAddress")]
    ip_address: String,
    #[serde(rename = "IPPrefixLen")]
    ip_prefix_len: u8,
    #[serde(rename = "IPv6Gateway")]
    ipv6_gateway: String,
    #[serde(rename = "GlobalIPv6Address")]
    global_ipv6_address: String,
    #[serde(rename = "GlobalIPv6PrefixLen")]
    global_ipv6_prefix_len: u8,
    driver_opts: Option<BTreeMap<String, String>>,
    #[serde(rename = "DNSNames")]
    dns_names: Option<Vec<String>>,
}

impl NetworkSettings {
    /// Those of a running container. `exposed` are its ports, published or not; `key` is a path
    /// that stands for its network namespace.
    pub fn of(sandbox: &Sandbox, exposed: &[Port], key: &str) -> Self {
        let mut ports: BTreeMap<Port, Option<Vec<PortBinding>>> =
            exposed.iter().map(|port| (*port, None)).collect();
        for published in &sandbox.ports {
            let protocol = published.protocol.into();
            let port = Port { number: published.container_port, protocol };
            ports.entry(port).or_default().get_or_insert_default().push(PortBinding {
                host_ip: published.host_ip.to_string(),
                host_port: published.host_port.to_string(),
            });
        }
        let default = |endpoint: &&Endpoint| endpoint.network == "bridge";
        let on_bridge = sandbox.endpoints.iter().find(default);
        let at = on_bridge.map(EndpointSettings::of).unwrap_or_default();
        Self {
            bridge: String::new(),
            // The namespace is the container's, and so is its ID.
            sandbox_id: sandbox.container.to_string(),
            sandbox_key: key.to_owned(),
            ports,
            hairpin_mode: false,
            link_local_ipv6_address: String::new(),
            link_local_ipv6_prefix_len: 0,
            secondary_ip_addresses: None,
            secondary_ipv6_addresses: None,
            endpoint_id: at.endpoint_id,
            gateway: at.gateway,
            global_ipv6_address: at.global_ipv6_address,
            global_ipv6_prefix_len: at.global_ipv6_prefix_len,
            ip_address: at.ip_address,
            ip_prefix_len: at.ip_prefix_len,
            ipv6_gateway: at.ipv6_gateway,
            mac_address: at.mac_address,
            networks: sandbox
                .endpoints
                .iter()
                .map(|endpoint| (endpoint.network.clone(), EndpointSettings::of(endpoint)))
                .collect(),
        }
    }
}

impl EndpointSettings {
    /// That of a running container in one network.
    pub fn of(endpoint: &Endpoint) -> Self {
        let request = &endpoint.request;
        let mut asked = BTreeMap::new();
        if let Some(address) = request.ipv4_address {
            asked.insert("IPv4Address", address.to_string());
        }
        if let Some(address) = request.ipv6_address {
            asked.insert("IPv6Address", address.to_string());
        }
        let some = |list: &Vec<String>| (!list.is_empty()).then(|| list.clone());
        let v4 = endpoint.ipv4;
        let v6 = endpoint.ipv6;
        let options = &request.driver_options;
        // An internal network has an address at its bridge, and no way out through it.
        let leads_out = |text: String| if endpoint.internal { String::new() } else { text };
        Self {
            ipam_config: (!asked.is_empty()).then_some(asked),
            links: some(&request.links),
            aliases: some(&request.aliases),
            mac_address: endpoint.mac.map(|mac| mac.to_string()).unwrap_or_default(),
            network_id: endpoint.network_id.clone(),
            endpoint_id: endpoint.id.clone(),
            gateway: v4.map(|lease| leads_out(lease.gateway.to_string())).unwrap_or_default(),
            ip_address: v4.map(|lease| lease.address.to_string()).unwrap_or_default(),
            ip_prefix_len: v4.map_or(0, |lease| lease.prefix),
            ipv6_gateway: v6.map(|lease| leads_out(lease.gateway.to_string())).unwrap_or_default(),
            global_ipv6_address: v6.map(|lease| lease.address.to_string()).unwrap_or_default(),
            global_ipv6_prefix_len: v6.map_or(0, |lease| lease.prefix),
            driver_opts: (!options.is_empty()).then(|| options.clone()),
            dns_names: some(&endpoint.names),
        }
    }
}
