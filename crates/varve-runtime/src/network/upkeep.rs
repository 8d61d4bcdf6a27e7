//! Bridges, rules and names as the records want them, and nothing else.

use std::{
    collections::BTreeSet,
    fs, io,
    net::{IpAddr, Ipv4Addr},
};

use varve_types::ContainerId;

use super::{
    address::Mac,
    attach::{Reconciled, Warning},
    conntrack,
    error::{Error, Result},
    firewall,
    link::Links,
    networks::{self, Networks, first_gateway},
    ports::PublishedPort,
    process,
    record::{Endpoint, Network, Sandbox, Zone},
};

impl Networks {
    /// Removes what containers left that are no more. `is_live` is asked while the lock is held: a
    /// container must be live for it from before it is attached until after it is detached.
    pub fn reconcile(&self, is_live: &dyn Fn(&ContainerId) -> bool) -> Result<Reconciled> {
        let _lock = self.records.lock()?;
        let mut dead = self.records.sandboxes()?;
        dead.retain(|sandbox| !is_live(&sandbox.container));
        let done = self.on_ground(|| self.take_away(&dead))?;
        self.settle_ground()?;
        Ok(done)
    }

    fn take_away(&self, dead: &[Sandbox]) -> Result<Reconciled> {
        let mut done = Reconciled::default();
        for sandbox in dead {
            self.clear(sandbox)?;
            done.containers.push(sandbox.container);
        }
        let sandboxes = self.records.sandboxes()?;
        let used = networks::used(&sandboxes);
        let failed = || Error::kernel("list", "interfaces");
        let names = Links::here().and_then(|mut links| links.names()).map_err(failed())?;
        for network in self.records.networks()? {
            // A process that died may have changed who is there and not said so.
            self.write_zone(&network.id, &network.name, &sandboxes, None)?;
            let stands = network
                .bridge
                .as_ref()
                .is_some_and(|bridge| names.contains(bridge) || firewall::is_there(bridge));
            if stands && !used.contains(network.id.as_str()) {
                Self::take_down(&network)?;
                done.networks.push(network.name);
            }
        }
        Ok(done)
    }

    /// Finds a network and makes sure that its rules and its bridge are there.
    pub(super) fn ready(&self, name: &str, warnings: &mut Vec<Warning>) -> Result<Network> {
        let mut network = networks::find(&self.records.networks()?, name)?.clone();
        let Some(bridge) = network.bridge.clone() else { return Ok(network) };
        let failed = || Error::kernel("make bridge", &bridge);
        let mut links = Links::here().map_err(failed())?;
        let stands = links.exists(&bridge).map_err(failed())?;
        if !stands && network.chosen {
            self.choose_again(&mut network, &mut links)?;
        }
        // The rules first: where the bridge is, they are. They are looked for all the same, since
        // whoever reloads a firewall may flush everything.
        if !stands || !firewall::is_there(&bridge) {
            let ports = self.ports_of(&network, None)?;
            match firewall::apply(&network, &ports) {
                Err(error) if firewall::is_unsupported(&error) => {
                    warnings.push(Warning::NoPacketFilter(error.to_string()));
                }
                other => other.map_err(Error::kernel("write the rules of", &bridge))?,
            }
        }
        let v4 = network.pools.iter().find_map(|pool| match pool.gateway {
            IpAddr::V4(address) => Some(address),
            IpAddr::V6(_) => None,
        });
        let mac = Mac::of(v4.unwrap_or(Ipv4Addr::UNSPECIFIED));
        if !stands {
            links.add_bridge(&bridge, mac.0, network.mtu()).map_err(failed())?;
        }
        for pool in &network.pools {
            links.add_address(&bridge, pool.gateway, pool.subnet.prefix()).map_err(failed())?;
        }
        links.set_up(&bridge).map_err(failed())?;
        if !network.internal {
            forward(&network, warnings);
        }
        Ok(network)
    }

    /// The subnet was chosen before; now that the bridge is made, it may be somebody else's.
    fn choose_again(&self, network: &mut Network, links: &mut Links) -> Result<()> {
        let failed = || Error::kernel("list", "routes");
        let known = links.known_subnets().map_err(failed())?;
        let Some(at) = network.pools.iter().position(|pool| pool.subnet.is_ipv4()) else {
            return Ok(());
        };
        if known.iter().any(|other| other.overlaps(network.pools[at].subnet)) {
            network.pools[at] = first_gateway(self.choose_subnet(network.name == "bridge")?);
            self.records.write_network(network)?;
        }
        Ok(())
    }

    /// Writes the rules of the networks that publish a sandbox's ports.
    pub(super) fn publish(&self, sandbox: &Sandbox) -> Result<()> {
        let Some(endpoint) = sandbox.gateway_endpoint() else { return Ok(()) };
        self.apply_rules(&endpoint.network_id)
    }

    pub(super) fn apply_rules(&self, network_id: &str) -> Result<()> {
        let network = networks::find(&self.records.networks()?, network_id)?.clone();
        let ports = self.ports_of(&network, None)?;
        match firewall::apply(&network, &ports) {
            // It was said when the network was made ready.
            Err(error) if firewall::is_unsupported(&error) => Ok(()),
            other => other.map_err(Error::kernel("write the rules of", &network.name)),
        }
    }

    fn ports_of(
        &self,
        network: &Network,
        without: Option<&ContainerId>,
    ) -> Result<Vec<PublishedPort>> {
        let sandboxes = self.records.sandboxes()?.into_iter();
        let of_network = sandboxes.filter(|sandbox| {
            Some(&sandbox.container) != without
                && sandbox.gateway_endpoint().is_some_and(|e| e.network_id == network.id)
        });
        Ok(of_network.flat_map(|sandbox| sandbox.ports).collect())
    }

    /// Removes all that a sandbox's record names, and the record last.
    pub(super) fn clear(&self, sandbox: &Sandbox) -> Result<()> {
        for helper in &sandbox.helpers {
            process::end(helper).map_err(Error::kernel("end", "a helper"))?;
        }
        for endpoint in &sandbox.endpoints {
            Self::unplug(endpoint)?;
        }
        let addresses: Vec<IpAddr> = sandbox.addresses().map(|(_, address)| address).collect();
        if !sandbox.ports.is_empty() {
            let gateway = sandbox.gateway_endpoint().map(|endpoint| endpoint.network_id.clone());
            let mut without = sandbox.clone();
            without.ports.clear();
            // Only what was written down is taken back: there may be no record yet.
            if self.records.sandbox(&sandbox.container)?.is_some() {
                self.records.write_sandbox(&without)?;
                if let Some(network) = gateway {
                    self.apply_rules(&network)?;
                }
            }
            // Flows that know the old way would send to whoever has the address next.
            let _ = conntrack::forget(&addresses);
        }
        // Nobody is to be sent to an address that is free.
        self.write_zones(&sandbox.endpoints, Some(&sandbox.container))?;
        self.settle(&sandbox.endpoints, &[], Some(&sandbox.container))?;
        // Until here whoever comes after a crash begins anew.
        self.records.remove_sandbox(&sandbox.container)
    }

    /// After endpoints are gone: rules of ports, and bridges that nobody needs any more.
    /// The record of `without` does not count.
    pub(super) fn settle(
        &self,
        gone: &[Endpoint],
        ports: &[PublishedPort],
        without: Option<&ContainerId>,
    ) -> Result<()> {
        let mut sandboxes = self.records.sandboxes()?;
        sandboxes.retain(|sandbox| Some(&sandbox.container) != without);
        let used = networks::used(&sandboxes);
        for endpoint in gone {
            let networks = self.records.networks()?;
            let Ok(network) = networks::find(&networks, &endpoint.network_id) else { continue };
            if !used.contains(network.id.as_str()) {
                Self::take_down(network)?;
            } else if !ports.is_empty() {
                self.apply_rules(&network.id)?;
            }
        }
        Ok(())
    }

    /// Writes who is who in the networks of these endpoints.
    pub(super) fn write_zones(
        &self,
        endpoints: &[Endpoint],
        without: Option<&ContainerId>,
    ) -> Result<()> {
        if endpoints.iter().all(|endpoint| endpoint.names.is_empty()) {
            return Ok(());
        }
        let sandboxes = self.records.sandboxes()?;
        for endpoint in endpoints.iter().filter(|endpoint| !endpoint.names.is_empty()) {
            self.write_zone(&endpoint.network_id, &endpoint.network, &sandboxes, without)?;
        }
        Ok(())
    }

    fn write_zone(
        &self,
        id: &str,
        name: &str,
        sandboxes: &[Sandbox],
        without: Option<&ContainerId>,
    ) -> Result<()> {
        let mut zone = Zone { network: name.to_owned(), ..Zone::default() };
        let others = sandboxes.iter().filter(|sandbox| Some(&sandbox.container) != without);
        for endpoint in others.flat_map(|sandbox| &sandbox.endpoints) {
            if endpoint.network_id == id {
                enter(&mut zone, endpoint);
            }
        }
        self.records.write_zone(id, &zone)
    }
}

fn enter(zone: &mut Zone, endpoint: &Endpoint) {
    let v4 = endpoint.ipv4.map(|lease| IpAddr::V4(lease.address));
    let v6 = endpoint.ipv6.map(|lease| IpAddr::V6(lease.address));
    for address in v4.into_iter().chain(v6) {
        if let Some(first) = endpoint.names.first() {
            zone.addresses.insert(address, first.clone());
        }
        let unique: BTreeSet<String> =
            endpoint.names.iter().map(|name| name.to_ascii_lowercase()).collect();
        for name in unique {
            zone.names.entry(name).or_default().push(address);
        }
    }
}

/// Lets this machine pass packets on, as docker does.
fn forward(network: &Network, warnings: &mut Vec<Warning>) {
    let turn_on = |path: &str| -> io::Result<()> {
        match fs::read_to_string(path)?.trim() {
            "0" => fs::write(path, "1"),
            _ => Ok(()),
        }
    };
    let mut done = turn_on("/proc/sys/net/ipv4/ip_forward");
    if network.pool(false).is_some() {
        done = done.and_then(|()| turn_on("/proc/sys/net/ipv6/conf/all/forwarding"));
    }
    if let Err(error) = done {
        warnings.push(Warning::NoForwarding(error.to_string()));
    }
}
