//! What `inspect`, `ps` and `port` show of a container's networks.

use std::collections::BTreeMap;

use varve_runtime::{
    network::{Network, Sandbox, endpoint_facts, network_facts},
    state,
};
use varve_types::container::{
    Container, ContainerId, PortBindings, State,
    listing::{ListedPort, NetworkFacts},
};

use super::{NetworkError, attach::exposed, known, wanted};
use crate::{Engine, Result};

/// What is recorded of networks at one moment.
#[derive(Debug)]
pub struct NetworksNow {
    networks: Vec<Network>,
    sandboxes: BTreeMap<ContainerId, Sandbox>,
}

impl Engine {
    /// What is recorded of networks now: for who asks about several containers. Makes nothing.
    pub fn networks_now(&self) -> Result<NetworksNow> {
        let (networks, sandboxes) = self.recorded_networks()?;
        let sandboxes = sandboxes.into_iter().map(|sandbox| (sandbox.container, sandbox)).collect();
        Ok(NetworksNow { networks, sandboxes })
    }

    /// Where the ports of a container are published now; empty when it does not run.
    pub fn published_ports(&self, container: &str) -> Result<PortBindings> {
        let container = self.container(container)?;
        let found = state::read(&self.store().container_path(&container.id));
        let found = found.map_err(NetworkError::from)?;
        let mut ports = self.networks_now()?.facts(&container, &found).ports;
        ports.retain(|_, places| !places.is_empty());
        Ok(ports)
    }
}

impl NetworksNow {
    /// What a container was given of the network; when it does not run, what it is to be given.
    pub fn facts(&self, container: &Container, state: &State) -> NetworkFacts {
        let process = state.process.as_ref().filter(|_| state.status.has_processes());
        if let (Some(sandbox), Some(process)) = (self.sandboxes.get(&container.id), process) {
            let key = format!("/proc/{}/ns/net", process.pid);
            return network_facts(sandbox, &exposed(container), &key);
        }
        let networks = wanted(container).into_iter().map(|(name, request)| {
            let network = known(&self.networks, &name);
            let id = network.map(|network| network.id.as_str()).unwrap_or_default();
            let name = network.map_or(name, |network| network.name.clone());
            (name, endpoint_facts(&request, id))
        });
        NetworkFacts { networks: networks.collect(), ..NetworkFacts::default() }
    }

    /// The ports that `ps` lists: those of a container that runs, published or not.
    pub fn listed_ports(facts: &NetworkFacts) -> Vec<ListedPort> {
        let mut listed = Vec::new();
        for (port, places) in &facts.ports {
            let bare = ListedPort {
                host_ip: String::new(),
                host_port: None,
                number: port.number,
                protocol: port.protocol,
            };
            if places.is_empty() {
                listed.push(bare);
                continue;
            }
            listed.extend(places.iter().map(|place| ListedPort {
                host_ip: place.host_ip.clone(),
                host_port: place.host_port.parse().ok(),
                ..bare.clone()
            }));
        }
        listed
    }
}
