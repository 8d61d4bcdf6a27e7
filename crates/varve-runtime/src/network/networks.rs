//! Networks: made, found, listed and removed.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    path::Path,
};

use jiff::Timestamp;
use varve_fs::durable;
use varve_types::ContainerId;

use super::{
    address::Subnet,
    error::{Error, Result},
    firewall, ground,
    helper::HelperCommand,
    link::Links,
    pool,
    record::{AddressPool, Driver, Network, Records, Sandbox},
};

/// The default bridge's interface; further stores on one machine take the next free number.
const DEFAULT_BRIDGE: &str = "varve";
const BRIDGES_MAX: u32 = 1_000;

/// The networks of one store.
#[derive(Debug)]
pub struct Networks {
    pub(crate) records: Records,
    pub(crate) helper: HelperCommand,
    /// Whether bridges are in a network of the user's own.
    pub(super) has_ground: bool,
}

/// What a new network should be.
#[derive(Debug, Clone, Default)]
pub struct NewNetwork {
    /// Its name.
    pub name: String,
    /// `bridge`; empty is the same.
    pub driver: String,
    /// Its subnets; chosen when there is none.
    pub pools: Vec<NewPool>,
    /// Whether it has IPv6 as well.
    pub ipv6: bool,
    /// Whether nothing goes in or out.
    pub internal: bool,
    /// Kept and shown.
    pub attachable: bool,
    /// `--label`
    pub labels: BTreeMap<String, String>,
    /// `--opt`
    pub options: BTreeMap<String, String>,
}

/// A subnet of a new network.
#[derive(Debug, Clone)]
pub struct NewPool {
    /// All its addresses.
    pub subnet: Subnet,
    /// Those that are given to who asks for none.
    pub ip_range: Option<Subnet>,
    /// The bridge's; the first when absent.
    pub gateway: Option<IpAddr>,
    /// Somebody else's.
    pub auxiliary: BTreeMap<String, IpAddr>,
}

/// A network and who is in it.
#[derive(Debug, Clone)]
pub struct Inspected {
    /// The network.
    pub network: Network,
    /// The containers that run in it.
    pub sandboxes: Vec<Sandbox>,
}

impl Networks {
    /// Opens the networks recorded in `directory`, and what runs as recorded in `run_directory`,
    /// which is on a file system that forgets at a restart. Writes down `bridge`, `host` and
    /// `none` if this is the first time; makes nothing else.
    pub fn open(
        directory: &Path,
        run_directory: &Path,
        helper: HelperCommand,
        now: Timestamp,
    ) -> Result<Self> {
        let records = Records::open(directory, run_directory)?;
        let networks = Self { records, helper, has_ground: !ground::may_administer() };
        let _lock = networks.records.lock()?;
        let known = networks.records.networks()?;
        for (name, driver) in
            [("bridge", Driver::Bridge), ("host", Driver::Host), ("none", Driver::Null)]
        {
            if !known.iter().any(|network| network.name == name) {
                networks.records.write_network(&networks.predefined(name, driver, now)?)?;
            }
        }
        Ok(networks)
    }

    /// What is recorded in the directories now, for who only reads: nothing is made, no lock is
    /// taken, and a record that is being changed is seen as it was or as it will be.
    pub fn recorded(
        directory: &Path,
        run_directory: &Path,
    ) -> Result<(Vec<Network>, Vec<Sandbox>)> {
        let records = Records::at(directory, run_directory);
        Ok((records.networks()?, records.sandboxes()?))
    }

    /// What is recorded of one container, for who only reads.
    pub fn recorded_sandbox(
        run_directory: &Path,
        container: &ContainerId,
    ) -> Result<Option<Sandbox>> {
        Records::at(Path::new(""), run_directory).sandbox(container)
    }

    fn predefined(&self, name: &str, driver: Driver, now: Timestamp) -> Result<Network> {
        let (mut bridge, mut pools, mut options) = (None, Vec::new(), BTreeMap::new());
        if driver == Driver::Bridge {
            let name = Self::free_bridge()?;
            pools.push(first_gateway(self.choose_subnet(true)?));
            let described = [
                ("default_bridge", "true"),
                ("enable_icc", "true"),
                ("enable_ip_masquerade", "true"),
                ("host_binding_ipv4", "0.0.0.0"),
                ("name", &name),
            ];
            options = described
                .map(|(option, value)| {
                    (format!("com.docker.network.bridge.{option}"), value.to_owned())
                })
                .into();
            bridge = Some(name);
        }
        Ok(Network {
            id: random_id()?,
            name: name.to_owned(),
            created: now,
            driver,
            bridge,
            pools,
            chosen: true,
            internal: false,
            attachable: false,
            labels: BTreeMap::new(),
            options,
        })
    }

    fn free_bridge() -> Result<String> {
        let failed = || Error::kernel("list", "interfaces");
        let names = Links::here().and_then(|mut links| links.names()).map_err(failed())?;
        let free = (0..BRIDGES_MAX)
            .map(|number| format!("{DEFAULT_BRIDGE}{number}"))
            .find(|name| !names.contains(name));
        free.ok_or(Error::PoolsUsedUp)
    }

    /// Chooses a subnet that neither this machine nor another network uses. The lock is held.
    pub(crate) fn choose_subnet(&self, is_default: bool) -> Result<Subnet> {
        let failed = || Error::kernel("list", "routes");
        let mut taken =
            Links::here().and_then(|mut links| links.known_subnets()).map_err(failed())?;
        taken.extend(self.subnets(None)?);
        pool::choose_subnet(is_default, &taken).ok_or(Error::PoolsUsedUp)
    }

    fn subnets(&self, without: Option<&str>) -> Result<Vec<Subnet>> {
        let networks = self.records.networks()?;
        let others = networks.iter().filter(|network| Some(network.id.as_str()) != without);
        Ok(others.flat_map(|network| &network.pools).map(|pool| pool.subnet).collect())
    }

    /// Makes a network. Its bridge comes into being with the first container.
    pub fn create(&self, new: &NewNetwork, now: Timestamp) -> Result<Network> {
        check_name(&new.name)?;
        match new.driver.as_str() {
            "" | "bridge" => {}
            "host" | "null" => return Err(Error::OneOnly(new.driver.clone())),
            other => return Err(Error::UnknownDriver(other.to_owned())),
        }
        let _lock = self.records.lock()?;
        if matches!(new.name.as_str(), "bridge" | "host" | "none") {
            return Err(Error::Predefined(new.name.clone()));
        }
        if self.records.networks()?.iter().any(|network| network.name == new.name) {
            return Err(Error::Exists(new.name.clone()));
        }
        let id = random_id()?;
        let taken = self.subnets(None)?;
        let mut pools = Vec::new();
        for asked in &new.pools {
            if taken.iter().any(|other| other.overlaps(asked.subnet)) {
                return Err(Error::Overlaps(asked.subnet));
            }
            pools.push(asked.check()?);
        }
        if pools.iter().filter(|pool| pool.subnet.is_ipv4()).count() > 1
            || pools.iter().filter(|pool| !pool.subnet.is_ipv4()).count() > 1
        {
            let reason = "bridge driver doesn't support multiple subnets";
            return Err(Error::InvalidNetwork(reason.to_owned()));
        }
        let chosen = !pools.iter().any(|pool| pool.subnet.is_ipv4());
        if chosen {
            pools.insert(0, first_gateway(self.choose_subnet(false)?));
        }
        if new.ipv6 && pools.iter().all(|pool| pool.subnet.is_ipv4()) {
            pools.extend(pool::choose_subnet_v6(&id).map(first_gateway));
        }
        let asked_name = new.options.get("com.docker.network.bridge.name").cloned();
        let bridge = asked_name.unwrap_or_else(|| format!("vr-{}", &id[..12]));
        if bridge.is_empty() || bridge.len() > 15 || bridge.contains(['/', ' ']) {
            return Err(Error::InvalidNetwork(format!("invalid bridge name: {bridge}")));
        }
        let network = Network {
            id,
            name: new.name.clone(),
            created: now,
            driver: Driver::Bridge,
            bridge: Some(bridge),
            pools,
            chosen,
            internal: new.internal,
            attachable: new.attachable,
            labels: new.labels.clone(),
            options: new.options.clone(),
        };
        self.records.write_network(&network)?;
        Ok(network)
    }

    /// All networks, by name.
    pub fn list(&self) -> Result<Vec<Network>> {
        let _lock = self.records.lock()?;
        self.records.networks()
    }

    /// Finds a network by name, ID or the beginning of its ID, and who is in it.
    pub fn inspect(&self, name: &str) -> Result<Inspected> {
        let _lock = self.records.lock()?;
        let network = find(&self.records.networks()?, name)?.clone();
        let is_in =
            |sandbox: &Sandbox| sandbox.endpoints.iter().any(|e| e.network_id == network.id);
        let sandboxes = self.records.sandboxes()?.into_iter().filter(is_in).collect();
        Ok(Inspected { network, sandboxes })
    }

    /// Removes a network that no running container is in, and returns it.
    pub fn remove(&self, name: &str) -> Result<Network> {
        let _lock = self.records.lock()?;
        let network = find(&self.records.networks()?, name)?.clone();
        if network.is_predefined() {
            return Err(Error::PredefinedRemoval(network.name));
        }
        self.on_ground(|| self.remove_found(&network))?;
        Ok(network)
    }

    fn remove_found(&self, network: &Network) -> Result<()> {
        let sandboxes = self.records.sandboxes()?;
        if sandboxes.iter().any(|sandbox| is_in(sandbox, &network.id)) {
            return Err(Error::InUse { name: network.name.clone(), id: network.id.clone() });
        }
        Self::take_down(network)?;
        self.records.remove_network(&network.id)
    }

    /// Removes networks that `is_unused` agrees to and no running container is in. Returns their
    /// names.
    pub fn prune(&self, is_unused: &dyn Fn(&Network) -> bool) -> Result<Vec<String>> {
        let _lock = self.records.lock()?;
        let sandboxes = self.records.sandboxes()?;
        let mut removed = Vec::new();
        for network in self.records.networks()? {
            let used = sandboxes.iter().any(|sandbox| is_in(sandbox, &network.id));
            if !network.is_predefined() && !used && is_unused(&network) {
                self.on_ground(|| self.remove_found(&network))?;
                removed.push(network.name);
            }
        }
        Ok(removed)
    }

    /// Removes a network's bridge and rules; its record stays.
    pub(crate) fn take_down(network: &Network) -> Result<()> {
        let Some(bridge) = &network.bridge else { return Ok(()) };
        let link = Links::here().and_then(|mut links| links.remove(bridge));
        link.map_err(Error::kernel("remove bridge", bridge))?;
        match firewall::remove(bridge) {
            Err(error) if firewall::is_unsupported(&error) => Ok(()),
            other => other.map_err(Error::kernel("remove the rules of", bridge)),
        }
    }
}

impl NewPool {
    fn check(&self) -> Result<AddressPool> {
        let subnet = self.subnet;
        let invalid = |text: String| Err(Error::InvalidNetwork(text));
        let gateway = match self.gateway.or_else(|| subnet.nth(1)) {
            Some(gateway) if subnet.contains(gateway) => gateway,
            Some(gateway) => {
                return invalid(format!("no matching subnet for gateway {gateway}"));
            }
            None => return invalid(format!("subnet {subnet} has no room for containers")),
        };
        if let Some(range) = self.ip_range
            && !(subnet.contains(range.base()) && range.prefix() >= subnet.prefix())
        {
            return invalid(format!("no matching subnet for range {range}"));
        }
        if let Some(address) = self.auxiliary.values().find(|address| !subnet.contains(**address)) {
            return invalid(format!("no matching subnet for aux-address {address}"));
        }
        let auxiliary = self.auxiliary.clone();
        Ok(AddressPool { subnet, ip_range: self.ip_range, gateway, auxiliary })
    }
}

/// A pool with docker's choice of gateway: the first address.
pub(crate) fn first_gateway(subnet: Subnet) -> AddressPool {
    let gateway = subnet.nth(1).unwrap_or_else(|| subnet.base());
    AddressPool { subnet, ip_range: None, gateway, auxiliary: BTreeMap::new() }
}

/// Finds a network as docker does: whole ID, name, then the beginning of an ID.
pub(crate) fn find<'a>(networks: &'a [Network], name: &str) -> Result<&'a Network> {
    let whole = networks.iter().find(|network| network.id == name);
    let named = || networks.iter().find(|network| network.name == name);
    if let Some(found) = whole.or_else(named) {
        return Ok(found);
    }
    let begins: Vec<&Network> = networks
        .iter()
        .filter(|network| !name.is_empty() && network.id.starts_with(name))
        .collect();
    match begins[..] {
        [] => Err(Error::NotFound(name.to_owned())),
        [found] => Ok(found),
        _ => Err(Error::Ambiguous(name.to_owned(), begins.len())),
    }
}

pub(crate) fn is_in(sandbox: &Sandbox, network_id: &str) -> bool {
    sandbox.endpoints.iter().any(|endpoint| endpoint.network_id == network_id)
}

/// IDs of networks that somebody is in.
pub(crate) fn used(sandboxes: &[Sandbox]) -> BTreeSet<&str> {
    let endpoints = sandboxes.iter().flat_map(|sandbox| &sandbox.endpoints);
    endpoints.map(|endpoint| endpoint.network_id.as_str()).collect()
}

fn check_name(name: &str) -> Result<()> {
    let starts = name.starts_with(|c: char| c.is_ascii_alphanumeric());
    let goes_on = name.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c));
    if starts && goes_on { Ok(()) } else { Err(Error::InvalidName(name.to_owned())) }
}

/// 64 hexadecimal digits that nobody can predict.
pub(crate) fn random_id() -> Result<String> {
    let part = |_| durable::random_name().map_err(Error::kernel("ask for", "random numbers"));
    (0..4).map(part).collect()
}
