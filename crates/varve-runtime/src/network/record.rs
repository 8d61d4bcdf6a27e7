//! What is kept on disk, and the lock that guards it.
//!
//! ```text
//! <networks>/lock                 held by whoever reads or changes any of this
//! <networks>/<id>.json            a network; survives a restart of the machine
//! <run>/sandboxes/<container>.json  what a running container holds: addresses, interfaces, ports
//! <run>/names/<id>.json           who is to be found by which name in a network
//! ```
//!
//! A sandbox's record is written before anything it names is made, and removed after everything
//! it names is gone. So whatever a killed process leaves behind is written down.

use std::{
    collections::BTreeMap,
    fs, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use varve_fs::{durable, lock::FileLock};
use varve_types::{
    ContainerId,
    container::{NetworkRequest, ProcessIdentity},
    sealed,
};

use super::{
    address::{Mac, Subnet},
    error::{Error, Result},
    ports::PublishedPort,
};

/// What makes a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Driver {
    /// A bridge of this machine.
    Bridge,
    /// This machine's own network.
    Host,
    /// Nothing but loopback.
    Null,
}

impl Driver {
    /// Docker's name of it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Bridge => "bridge",
            Self::Host => "host",
            Self::Null => "null",
        }
    }
}

/// A subnet of a network and what may be given from it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AddressPool {
    /// All addresses of the network.
    pub subnet: Subnet,
    /// Those that containers get when they ask for none; absent for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip_range: Option<Subnet>,
    /// The bridge's address.
    pub gateway: IpAddr,
    /// Addresses that are somebody else's, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub auxiliary: BTreeMap<String, IpAddr>,
}

/// A network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Network {
    /// 64 hexadecimal digits.
    pub id: String,
    /// What users call it.
    pub name: String,
    /// When it was made.
    pub created: Timestamp,
    /// What makes it.
    pub driver: Driver,
    /// The bridge's interface; absent for networks without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bridge: Option<String>,
    /// Its subnets: one of IPv4, and perhaps one of IPv6.
    #[serde(default)]
    pub pools: Vec<AddressPool>,
    /// Whether the subnet was chosen by varve and not asked for.
    #[serde(default)]
    pub chosen: bool,
    /// Whether nothing goes in or out.
    #[serde(default)]
    pub internal: bool,
    /// Docker's `--attachable`; kept and shown.
    #[serde(default)]
    pub attachable: bool,
    /// `--label`.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// `--opt`.
    #[serde(default)]
    pub options: BTreeMap<String, String>,
}

impl Network {
    /// Whether it is one of those that are always there.
    pub fn is_predefined(&self) -> bool {
        matches!(self.name.as_str(), "bridge" | "host" | "none")
    }

    /// Whether containers find each other by name in it.
    pub fn resolves_names(&self) -> bool {
        self.driver == Driver::Bridge && !self.is_predefined()
    }

    /// The subnet of IPv4 or IPv6.
    pub fn pool(&self, v4: bool) -> Option<&AddressPool> {
        self.pools.iter().find(|pool| pool.subnet.is_ipv4() == v4)
    }

    /// Whether what leaves it gets this machine's address.
    pub(crate) fn masquerades(&self) -> bool {
        !self.internal && self.is_on("com.docker.network.bridge.enable_ip_masquerade")
    }

    /// Whether its containers may talk to each other.
    pub(crate) fn lets_containers_talk(&self) -> bool {
        self.is_on("com.docker.network.bridge.enable_icc")
    }

    /// Bytes of the largest packet, where it was said.
    pub(crate) fn mtu(&self) -> Option<u32> {
        self.options.get("com.docker.network.driver.mtu").and_then(|text| text.parse().ok())
    }

    fn is_on(&self, option: &str) -> bool {
        self.options.get(option).is_none_or(|text| !matches!(text.as_str(), "false" | "0"))
    }
}

/// A container's place in one network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Endpoint {
    /// The network's ID.
    pub network_id: String,
    /// The network's name.
    pub network: String,
    /// 64 hexadecimal digits.
    pub id: String,
    /// The interface in the container, `eth0` …; absent without bridge.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interface: Option<String>,
    /// Its other end at the bridge.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_interface: Option<String>,
    /// The hardware address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac: Option<Mac>,
    /// The address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ipv4: Option<Lease<Ipv4Addr>>,
    /// The IPv6 address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ipv6: Option<Lease<Ipv6Addr>>,
    /// Whether the network is internal.
    #[serde(default)]
    pub internal: bool,
    /// Names by which others of the network find it; empty where names are not resolved.
    #[serde(default)]
    pub names: Vec<String>,
    /// What was asked for.
    #[serde(default)]
    pub request: NetworkRequest,
}

/// An address that is a container's as long as its sandbox is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease<A> {
    /// The address.
    pub address: A,
    /// Bits of the subnet.
    pub prefix: u8,
    /// The bridge's address.
    pub gateway: A,
}

/// What a running container holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Sandbox {
    /// Whose it is.
    pub container: ContainerId,
    /// The container's name.
    pub name: String,
    /// Its networks, in the order they were asked for. The first that has a gateway has the
    /// default route.
    pub endpoints: Vec<Endpoint>,
    /// Its published ports.
    #[serde(default)]
    pub ports: Vec<PublishedPort>,
    /// Processes that hold its ports and answer its queries.
    #[serde(default)]
    pub helpers: Vec<ProcessIdentity>,
    /// Whether one of them answers at 127.0.0.11.
    #[serde(default)]
    pub resolver: bool,
    /// Where that sends what it does not know.
    #[serde(default)]
    pub upstreams: Vec<IpAddr>,
}

impl Sandbox {
    /// The endpoint with the default route.
    pub fn gateway_endpoint(&self) -> Option<&Endpoint> {
        let leads_out = |endpoint: &&Endpoint| endpoint.ipv4.is_some() && !endpoint.internal;
        self.endpoints.iter().find(leads_out)
    }

    /// Its addresses.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = (&str, IpAddr)> {
        self.endpoints.iter().flat_map(|endpoint| {
            let v4 = endpoint.ipv4.map(|lease| IpAddr::V4(lease.address));
            let v6 = endpoint.ipv6.map(|lease| IpAddr::V6(lease.address));
            v4.into_iter().chain(v6).map(|address| (endpoint.network_id.as_str(), address))
        })
    }
}

/// Who is to be found by which name: small letters, each with its addresses.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Zone {
    pub(crate) network: String,
    pub(crate) names: BTreeMap<String, Vec<IpAddr>>,
    /// The name that stands for each address.
    pub(crate) addresses: BTreeMap<IpAddr, String>,
}

/// The directories.
#[derive(Debug, Clone)]
pub(crate) struct Records {
    networks: PathBuf,
    sandboxes: PathBuf,
    names: PathBuf,
}

impl Records {
    pub(crate) fn open(networks: &Path, run: &Path) -> Result<Self> {
        let records = Self::at(networks, run);
        for directory in [&records.networks, &records.sandboxes, &records.names] {
            durable::create_directories(directory, 0o700)
                .map_err(Error::file("make", directory))?;
        }
        Ok(records)
    }

    /// The directories as they may or may not be.
    pub(crate) fn at(networks: &Path, run: &Path) -> Self {
        Self {
            networks: networks.to_owned(),
            sandboxes: run.join("sandboxes"),
            names: run.join("names"),
        }
    }

    pub(crate) fn lock(&self) -> Result<FileLock> {
        let path = self.networks.join("lock");
        FileLock::exclusive(&path).map_err(Error::file("lock", path))
    }

    /// Whether somebody has the lock now.
    pub(crate) fn is_locked(&self) -> Result<bool> {
        let path = self.networks.join("lock");
        let free = FileLock::try_shared(&path).map_err(Error::file("lock", path))?;
        Ok(free.is_none())
    }

    /// All networks, by name.
    pub(crate) fn networks(&self) -> Result<Vec<Network>> {
        let mut networks: Vec<Network> = read_all(&self.networks)?;
        networks.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(networks)
    }

    pub(crate) fn sandboxes(&self) -> Result<Vec<Sandbox>> {
        read_all(&self.sandboxes)
    }

    /// The containers that have a record, whatever it says.
    pub(crate) fn sandbox_ids(&self) -> Result<Vec<ContainerId>> {
        let paths = json_files(&self.sandboxes)?.into_iter();
        Ok(paths.filter_map(|path| path.file_stem()?.to_str()?.parse().ok()).collect())
    }

    pub(crate) fn sandbox(&self, container: &ContainerId) -> Result<Option<Sandbox>> {
        read(&self.sandbox_path(container))
    }

    pub(crate) fn sandbox_path(&self, container: &ContainerId) -> PathBuf {
        self.sandboxes.join(format!("{container}.json"))
    }

    /// Where a user's own network is mounted.
    pub(crate) fn ground_path(&self) -> PathBuf {
        self.names.with_file_name("ground")
    }

    /// What the program says that connects it.
    pub(crate) fn ground_log_path(&self) -> PathBuf {
        self.names.with_file_name("uplink.log")
    }

    pub(crate) fn read_ground<T: DeserializeOwned>(&self) -> Result<Option<T>> {
        read(&self.names.with_file_name("uplink.json"))
    }

    pub(crate) fn write_ground<T: Serialize>(&self, uplink: &T) -> Result<()> {
        let run = self.names.with_file_name("");
        write(&run, "uplink", uplink, durable::replace_through_unsynced)
    }

    /// Removes what is left of a user's own network that is unmounted.
    pub(crate) fn remove_ground(&self) -> Result<()> {
        for path in [self.ground_path(), self.ground_log_path()] {
            match std::fs::remove_file(&path) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                done => done.map_err(Error::file("remove", path))?,
            }
        }
        let run = self.names.with_file_name("");
        if run.join("uplink.json").exists() { remove(&run, "uplink") } else { Ok(()) }
    }

    pub(crate) fn names_directory(&self) -> &Path {
        &self.names
    }

    pub(crate) fn write_network(&self, network: &Network) -> Result<()> {
        write(&self.networks, &network.id, network, durable::replace_through)
    }

    pub(crate) fn write_sandbox(&self, sandbox: &Sandbox) -> Result<()> {
        let name = sandbox.container.to_string();
        write(&self.sandboxes, &name, sandbox, durable::replace_through_unsynced)
    }

    pub(crate) fn write_zone(&self, network_id: &str, zone: &Zone) -> Result<()> {
        let path = self.names.join(format!("{network_id}.json"));
        // One that cannot be read is written anew.
        let there: Option<Zone> = read(&path).ok().flatten();
        if zone.names.is_empty() {
            return if path.exists() { remove(&self.names, network_id) } else { Ok(()) };
        }
        if there.as_ref() == Some(zone) {
            return Ok(());
        }
        write(&self.names, network_id, zone, durable::replace_through_unsynced)
    }

    pub(crate) fn remove_network(&self, id: &str) -> Result<()> {
        remove(&self.networks, id)
    }

    pub(crate) fn remove_sandbox(&self, container: &ContainerId) -> Result<()> {
        remove(&self.sandboxes, &container.to_string())
    }
}

/// Puts bytes in the place of a file, by way of a temporary one; synced or not.
type Replace = fn(&Path, &Path, &[u8], u32) -> io::Result<()>;

fn write(directory: &Path, name: &str, record: &impl Serialize, replace: Replace) -> Result<()> {
    let path = directory.join(format!("{name}.json"));
    let bytes = sealed::seal(record)
        .map_err(|source| Error::Damaged { path: path.clone(), source: source.into() })?;
    // The lock is held: a temporary name that a killed process left is used again.
    replace(&directory.join("new"), &path, &bytes, 0o600).map_err(Error::file("write", path))
}

fn remove(directory: &Path, name: &str) -> Result<()> {
    let path = directory.join(format!("{name}.json"));
    durable::unlink(&path).map(drop).map_err(Error::file("remove", path))
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::file("read", path)(error)),
    };
    let parsed = sealed::parse(&bytes);
    parsed.map(Some).map_err(|source| Error::Damaged { path: path.to_owned(), source })
}

/// The records in a directory of networks that cannot be believed: their names, and why.
pub fn damaged_records(networks: &Path) -> Result<Vec<(String, String)>> {
    let mut damaged = Vec::new();
    for path in json_files(networks)? {
        let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        let problem = match read::<Network>(&path) {
            Ok(Some(network)) if network.id != stem => "it is that of another network".to_owned(),
            Ok(_) => continue,
            Err(Error::Damaged { source, .. }) => source.to_string(),
            Err(error) => return Err(error),
        };
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
        damaged.push((name.unwrap_or_default(), problem));
    }
    Ok(damaged)
}

fn read_all<T: DeserializeOwned>(directory: &Path) -> Result<Vec<T>> {
    json_files(directory)?.iter().filter_map(|path| read(path).transpose()).collect()
}

fn json_files(directory: &Path) -> Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(Error::file("read", directory))?,
    };
    for entry in entries {
        let path = entry.map_err(Error::file("read", directory))?.path();
        if path.extension().is_some_and(|end| end == "json") {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}
