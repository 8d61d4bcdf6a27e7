//! The verbs of networks, and what containers have of them.
//!
//! ```text
//! attach   a container that starts: addresses, ports, /etc/hosts, /etc/resolv.conf; and its end
//! step     the same for a program that a build runs
//! connect  further networks for a container, whether it runs or not
//! facts    what `inspect`, `ps` and `port` show of a container
//! verbs    create, ls, inspect, rm, prune
//! ```
//!
//! Networks are records in the store (`varve/networks/`); what runs of them is recorded in the
//! run directory, one for each network namespace of the machine, since bridges are of one. Who does
//! the work is `varve_runtime::network`.
//!
//! # Invariants
//!
//! 1. A container is attached only by who holds its monitor's lock, and detached before that lock
//!    is let go of, or else by who has held the networks' lock since before. So whoever has that
//!    lock and finds something recorded of a container without a monitor sees what a crash left.

mod attach;
mod connect;
mod error;
mod facts;
mod step;
mod verbs;

pub use attach::AttachedNetworks;
pub(crate) use attach::ConnectedContainer;
pub use error::NetworkError;
pub use facts::NetworksNow;
pub(crate) use step::{StepNetwork, host as host_network, none as no_network};
pub use verbs::CreateNetwork;

use std::{
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use varve_runtime::{
    network::{Driver, Network, Networks, Reconciled, Sandbox},
    state,
};
use varve_types::container::{Container, ContainerId, NetworkMode, NetworkRequest};

use crate::{Engine, Result};

impl Engine {
    /// The networks, made known where they are not.
    fn networks(&self, now: Timestamp) -> Result<Networks> {
        let run = self.store().machine_run_directory(run_name()?)?;
        let records = self.store().root().join("varve/networks");
        let opened = Networks::open(&records, &run, self.network_helper.clone(), now);
        Ok(opened.map_err(NetworkError::from)?)
    }

    /// The networks, where they have something of a container.
    fn networks_of(&self, id: &ContainerId) -> Result<Option<Networks>> {
        let Some(run) = self.store().machine_run_path(run_name()?)? else { return Ok(None) };
        match Networks::recorded_sandbox(&run, id).map_err(NetworkError::from)? {
            // They have been made known, so that the time does not matter.
            Some(_) => self.networks(Timestamp::UNIX_EPOCH).map(Some),
            None => Ok(None),
        }
    }

    /// What is recorded of networks, without making anything.
    fn recorded_networks(&self) -> Result<(Vec<Network>, Vec<Sandbox>)> {
        let Some(run) = self.store().machine_run_path(run_name()?)? else {
            return Ok((Vec::new(), Vec::new()));
        };
        let records = self.store().root().join("varve/networks");
        Ok(Networks::recorded(&records, &run).map_err(NetworkError::from)?)
    }

    /// Takes away what containers left that are no more: interfaces, processes, rules, names,
    /// bridges. For after a crash, and for verbs that look whether a network is in use.
    fn reconcile(&self, networks: &Networks) -> Result<Reconciled, NetworkError> {
        // Who cannot be asked is taken to live.
        let is_live = |id: &ContainerId| {
            self.store.has_step(id)
                || state::is_watched(&self.store().container_path(id)).unwrap_or(true)
        };
        Ok(networks.reconcile(&is_live)?)
    }
}

/// The directory of what runs in this network namespace, below the run directory.
fn run_name() -> Result<PathBuf, NetworkError> {
    let path = Path::new("/proc/thread-self/ns/net");
    let facts = std::fs::metadata(path).map_err(NetworkError::namespace("find"))?;
    Ok(Path::new("networks").join(facts.ino().to_string()))
}

/// The networks that a container is to be in, by name, in the order of its interfaces: the one it
/// was made with comes first. None for one that shares another's namespace.
fn wanted(container: &Container) -> Vec<(String, NetworkRequest)> {
    let mode = NetworkMode::of(&container.host_config.network_mode);
    let first = match &mode {
        NetworkMode::Container(_) => return Vec::new(),
        NetworkMode::Bridge => "bridge",
        NetworkMode::Host => "host",
        NetworkMode::None => "none",
        NetworkMode::Named(name) => name.as_str(),
    };
    if container.networks.is_empty() {
        return vec![(first.to_owned(), NetworkRequest::default())];
    }
    let mut wanted: Vec<(String, NetworkRequest)> =
        container.networks.iter().map(|(name, request)| (name.clone(), request.clone())).collect();
    wanted.sort_by_key(|(name, _)| name != first);
    wanted
}

/// Finds a recorded network by its name or ID.
fn known<'a>(networks: &'a [Network], name: &str) -> Option<&'a Network> {
    networks.iter().find(|network| network.name == name || network.id == name)
}

/// Whether containers find each other by name in one of these networks.
fn resolves_names(networks: &[Network], wanted: &[(String, NetworkRequest)]) -> bool {
    let made = |network: &Network| network.driver == Driver::Bridge && network.resolves_names();
    wanted.iter().any(|(name, _)| known(networks, name).is_none_or(made))
}
