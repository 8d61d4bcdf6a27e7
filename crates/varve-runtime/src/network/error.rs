//! What can go wrong with networks, in docker's words where it has them.

use std::{io, path::PathBuf};

use varve_types::{Kind, sealed};

use super::address::Subnet;

/// Why a network did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No network has this name or ID.
    #[error("network {0} not found")]
    NotFound(String),

    /// Several networks have IDs that begin so.
    #[error("network {0} is ambiguous ({1} matches found based on ID prefix)")]
    Ambiguous(String, usize),

    /// A network has this name already.
    #[error("network with name {0} already exists")]
    Exists(String),

    /// `bridge`, `host` and `none` are always there.
    #[error("operation is not permitted on predefined {0} network ")]
    Predefined(String),

    /// `bridge`, `host` and `none` cannot be removed.
    #[error("{0} is a pre-defined network and cannot be removed")]
    PredefinedRemoval(String),

    /// Containers that run are in the network.
    #[error("error while removing network: network {name} id {id} has active endpoints")]
    InUse {
        /// The network's name.
        name: String,
        /// Its ID.
        id: String,
    },

    /// There is no driver of this name.
    #[error("could not find plugin {0} in v1 plugin registry: plugin not found")]
    UnknownDriver(String),

    /// Only one of these can be.
    #[error("only one instance of \"{0}\" network is allowed")]
    OneOnly(String),

    /// A network's description makes no sense.
    #[error("{0}")]
    InvalidNetwork(String),

    /// The name of a network has characters that names have not.
    #[error(
        "{0} includes invalid characters for a local network name, only \"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed"
    )]
    InvalidName(String),

    /// The subnet lies in that of another network.
    #[error("invalid pool request: Pool overlaps with other one on this address space")]
    Overlaps(Subnet),

    /// Every subnet that could be chosen is in use on this machine.
    #[error("all predefined address pools have been fully subnetted")]
    PoolsUsedUp,

    /// Every address of the network is taken.
    #[error("no available IPv4 addresses on this network's address pools: {name} ({id})")]
    AddressesUsedUp {
        /// The network's name.
        name: String,
        /// Its ID.
        id: String,
    },

    /// The asked-for address is another container's.
    #[error("Address already in use")]
    AddressInUse,

    /// The asked-for address cannot be given.
    #[error("invalid config for network {network}: invalid endpoint settings:\n{reasons}")]
    InvalidEndpoint {
        /// The network's name.
        network: String,
        /// A line each.
        reasons: String,
    },

    /// The container is in the network already.
    #[error("endpoint with name {container} already exists in network {network}")]
    Connected {
        /// The container's name.
        container: String,
        /// The network's name.
        network: String,
    },

    /// The container is not in the network.
    #[error("container {container} is not connected to network {network}")]
    NotConnected {
        /// The container's ID.
        container: String,
        /// The network's name.
        network: String,
    },

    /// A container that shares the host's network cannot have others.
    #[error("container cannot be disconnected from host network or connected to host network")]
    HostNetwork,

    /// A container without network, or with another's, cannot be connected to one.
    #[error(
        "container cannot be connected to multiple networks with one of the networks in private (none) mode"
    )]
    PrivateNetwork,

    /// A published port is not free.
    #[error(
        "driver failed programming external connectivity on endpoint {container} ({endpoint}): {reason}"
    )]
    Port {
        /// The container's name.
        container: String,
        /// The endpoint's ID.
        endpoint: String,
        /// Which port, and what stands in the way.
        reason: PortRefusal,
    },

    /// More ports than a container may publish.
    #[error("container publishes more than {0} ports")]
    TooManyPorts(usize),

    /// A record cannot be understood.
    #[error("{} is damaged", path.display())]
    Damaged {
        /// The record.
        path: PathBuf,
        /// What is wrong with it.
        source: sealed::SealError,
    },

    /// A file could not be read or written.
    #[error("cannot {action} {}", path.display())]
    File {
        /// What was tried: "read", "write", "lock" …
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the kernel says.
        source: io::Error,
    },

    /// The kernel refused to set something up.
    #[error("cannot {action} {subject}")]
    Kernel {
        /// What was tried: "make bridge", "remove interface" …
        action: &'static str,
        /// What it was tried with.
        subject: String,
        /// What the kernel says.
        source: io::Error,
    },
}

/// Why a port of the host is not a container's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PortRefusal {
    /// Another container has it.
    #[error("Bind for {0} failed: port is already allocated")]
    Allocated(String),

    /// The kernel says no; mostly another program has it.
    #[error("Error starting userland proxy: listen {protocol} {address}: bind: {reason}")]
    Bind {
        /// `tcp4`, `udp6` …
        protocol: String,
        /// Address and port.
        address: String,
        /// The kernel's words in small letters.
        reason: String,
    },

    /// All ports of a range are taken.
    #[error("all ports are allocated")]
    RangeUsedUp,
}

impl Error {
    /// Classifies the error for exit codes, HTTP statuses and retry decisions.
    pub fn kind(&self) -> Kind {
        match self {
            Error::NotFound(_) => Kind::NotFound,
            Error::Ambiguous(..)
            | Error::InvalidNetwork(_)
            | Error::InvalidName(_)
            | Error::InvalidEndpoint { .. } => Kind::Invalid,
            Error::Exists(_)
            | Error::InUse { .. }
            | Error::AddressInUse
            | Error::Connected { .. }
            | Error::NotConnected { .. }
            | Error::HostNetwork
            | Error::PrivateNetwork
            | Error::Port { .. } => Kind::Conflict,
            Error::Predefined(_)
            | Error::PredefinedRemoval(_)
            | Error::OneOnly(_)
            | Error::Overlaps(_) => Kind::Denied,
            Error::UnknownDriver(_) => Kind::Unsupported,
            Error::PoolsUsedUp | Error::AddressesUsedUp { .. } | Error::TooManyPorts(_) => {
                Kind::Exhausted
            }
            Error::Damaged { .. } => Kind::Corrupt,
            Error::File { .. } | Error::Kernel { .. } => Kind::Internal,
        }
    }

    pub(crate) fn kernel(
        action: &'static str,
        subject: impl Into<String>,
    ) -> impl FnOnce(io::Error) -> Self {
        let subject = subject.into();
        move |source| Error::Kernel { action, subject, source }
    }

    pub(crate) fn file(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Error::File { action, path, source }
    }
}

/// What this module returns.
pub type Result<T> = std::result::Result<T, Error>;
