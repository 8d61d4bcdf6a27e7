//! What listings show of containers, volumes and networks.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Container, ContainerId, MountPoint, PortBindings, Protocol, State};
use crate::ImageId;

/// A container in a listing (`ps`, `system df -v`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// Its ID.
    pub id: ContainerId,
    /// Its name, and the names that links give it (`web/db`).
    pub names: Vec<String>,
    /// The image as it was typed, or its ID where that name now means another.
    pub image: String,
    /// The image.
    pub image_id: ImageId,
    /// The program and its arguments.
    pub command: Vec<String>,
    /// When it was made.
    pub created: Timestamp,
    /// What became of it.
    pub state: State,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// What is mounted into it.
    pub mounts: Vec<MountPoint>,
    /// Names of its networks; the mode where there is none.
    pub networks: Vec<String>,
    /// Its ports, those that are published with where.
    pub ports: Vec<ListedPort>,
    /// Sizes, where they were asked for.
    pub size: Option<ContainerSize>,
}

/// How large a container is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ContainerSize {
    /// Bytes of the files that it has changed or made.
    pub writable_bytes: u64,
    /// Bytes of these and of the image's files.
    pub root_bytes: u64,
}

/// A port in a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedPort {
    /// The address of the host, where it is published.
    pub host_ip: String,
    /// The port of the host; none where it is not published.
    pub host_port: Option<u16>,
    /// The port of the container.
    pub number: u16,
    /// The protocol.
    pub protocol: Protocol,
}

/// Everything about a container, as `inspect` shows it.
#[derive(Debug, Clone, PartialEq)]
pub struct Facts {
    /// The record.
    pub container: Container,
    /// What became of it.
    pub state: State,
    /// The settings of the network while it runs.
    pub network: NetworkFacts,
    /// The IDs of processes that were started in it besides its own; none when there are none.
    pub exec_ids: Option<Vec<String>>,
    /// Paths of its files on the host; empty where there is none.
    pub paths: FactPaths,
    /// The backend that mounts its layers.
    pub driver: String,
    /// What the backend tells of it.
    pub driver_data: BTreeMap<String, String>,
    /// Sizes, where they were asked for.
    pub size: Option<ContainerSize>,
}

/// Where a container's own files are on the host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FactPaths {
    /// Its `/etc/resolv.conf`.
    pub resolv_conf: String,
    /// Its `/etc/hostname`.
    pub hostname: String,
    /// Its `/etc/hosts`.
    pub hosts: String,
    /// Its log.
    pub log: String,
}

/// What a container was given of the network (docker's `NetworkSettings`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NetworkFacts {
    /// The ID of its network namespace.
    pub sandbox_id: String,
    /// The path of its network namespace.
    pub sandbox_key: String,
    /// The ports, each with where it is published; empty where it is not.
    pub ports: PortBindings,
    /// What it has in each network, by the network's name.
    pub networks: BTreeMap<String, EndpointFacts>,
}

/// What a container has in one network (docker's `EndpointSettings`), as JSON in its order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[allow(missing_docs, reason = "the names are docker's; those that need words have them")]
pub struct EndpointFacts {
    /// The addresses that were asked for.
    #[serde(rename = "IPAMConfig")]
    pub ipam_config: Option<BTreeMap<String, String>>,
    pub links: Option<Vec<String>>,
    pub aliases: Option<Vec<String>>,
    pub mac_address: String,
    #[serde(rename = "NetworkID")]
    pub network_id: String,
    #[serde(rename = "EndpointID")]
    pub endpoint_id: String,
    pub gateway: String,
    #[serde(rename = "IPAddress")]
    pub ip_address: String,
    /// Bits of the address that are the network's.
    #[serde(rename = "IPPrefixLen")]
    pub ip_prefix: u8,
    #[serde(rename = "IPv6Gateway")]
    pub ipv6_gateway: String,
    #[serde(rename = "GlobalIPv6Address")]
    pub ipv6_address: String,
    #[serde(rename = "GlobalIPv6PrefixLen")]
    pub ipv6_prefix: u8,
    pub driver_opts: Option<BTreeMap<String, String>>,
    /// The names by which the others of the network find it.
    #[serde(rename = "DNSNames")]
    pub dns_names: Option<Vec<String>>,
}

/// The processes of a container, as `top` lists them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProcessTable {
    /// The names of the columns.
    pub titles: Vec<String>,
    /// A row for each process.
    pub rows: Vec<Vec<String>>,
}

/// What a container uses (`stats`).
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Usage {
    /// The container as it was named on the line, or its ID.
    pub container: String,
    /// Its ID; empty while nothing is known.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Parts of one processor in a hundred.
    pub cpu_percent: f64,
    /// Memory in bytes, without what the kernel can take back at once.
    pub memory_bytes: u64,
    /// Its limit in bytes, or the machine's memory.
    pub memory_limit_bytes: u64,
    /// Bytes received.
    pub received_bytes: u64,
    /// Bytes sent.
    pub sent_bytes: u64,
    /// Bytes read from devices.
    pub read_bytes: u64,
    /// Bytes written to devices.
    pub written_bytes: u64,
    /// Processes and threads.
    pub pids: u64,
}

/// What a container did to a path of its image (`diff`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangeKind {
    /// It was not there.
    Added,
    /// It is another.
    Changed,
    /// It is gone.
    Deleted,
}

/// A path in which a container differs from its image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// What was done.
    pub kind: ChangeKind,
    /// The absolute path; bytes that are not UTF-8 are U+FFFD.
    pub path: String,
}

/// A volume (docker's `Volume`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Volume {
    /// Its name.
    pub name: String,
    /// When it was made.
    pub created: Option<Timestamp>,
    /// The directory on the host.
    pub mountpoint: String,
    /// Labels; none where none were given.
    pub labels: Option<BTreeMap<String, String>>,
    /// Options of the driver; none where none were given.
    pub options: Option<BTreeMap<String, String>>,
    /// How many containers it is mounted into, and its bytes, where they were asked for.
    pub usage: Option<VolumeUsage>,
}

/// How a volume is used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct VolumeUsage {
    /// Containers that it is mounted into.
    pub links: u64,
    /// Bytes of its files.
    pub size_bytes: u64,
}

/// A network (docker's `network.Inspect`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Network {
    /// Its name.
    pub name: String,
    /// Its ID.
    pub id: String,
    /// When it was made.
    pub created: Timestamp,
    /// `bridge`, `host` or `null`.
    pub driver: String,
    /// Whether it has IPv4.
    pub ipv4: bool,
    /// Whether it has IPv6.
    pub ipv6: bool,
    /// Whether there is no way out of it.
    pub internal: bool,
    /// The pools of addresses; none for the networks that have none.
    pub pools: Vec<AddressPool>,
    /// The containers in it that run, by their ID.
    pub containers: BTreeMap<String, NetworkMember>,
    /// Options of the driver.
    pub options: BTreeMap<String, String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
}

/// Addresses that a network gives out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AddressPool {
    /// The subnet, such as `172.18.0.0/16`.
    pub subnet: String,
    /// The part of it to give out; empty for all of it.
    pub range: String,
    /// The address of the host; empty before there is one.
    pub gateway: String,
    /// Addresses that are somebody else's, by name.
    pub auxiliary: BTreeMap<String, String>,
}

/// A container in a network.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NetworkMember {
    /// Its name.
    pub name: String,
    /// The ID of its place in the network.
    pub endpoint_id: String,
    /// Its hardware address.
    pub mac_address: String,
    /// Its address with the prefix, such as `172.18.0.2/16`.
    pub ipv4_address: String,
    /// Its IPv6 address with the prefix.
    pub ipv6_address: String,
}

/// What a `prune` removed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PruneReport {
    /// IDs of containers, names of volumes or networks.
    pub removed: Vec<String>,
    /// Bytes that are free again.
    pub reclaimed_bytes: u64,
}
