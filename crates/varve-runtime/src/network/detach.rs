//! Containers out of their networks, at once or behind an answer.

use std::path::Path;

use varve_fs::lock::FileLock;
use varve_types::ContainerId;

use super::{
    error::Result,
    networks::{self, Networks},
    record::{Network, Records, Sandbox},
};

impl Networks {
    /// Takes a container out of its networks and frees its addresses and ports. One that is in
    /// none is fine.
    pub fn detach(&self, container: &ContainerId) -> Result<()> {
        let _lock = self.records.lock()?;
        match self.records.sandbox(container)? {
            Some(sandbox) => {
                self.on_ground(|| self.clear(&sandbox))?;
                self.settle_ground()
            }
            None => Ok(()),
        }
    }

    /// Begins to take out a container that [is quiet](Sandbox::is_quiet): nobody else sees the
    /// networks any more until it is out. `None` where it is in none.
    pub fn begin_detach(self, container: &ContainerId) -> Result<Option<Detaching>> {
        let lock = self.records.lock()?;
        let Some(sandbox) = self.records.sandbox(container)? else { return Ok(None) };
        let mut others = self.records.sandboxes()?;
        others.retain(|other| other.container != *container);
        let used = networks::used(&others);
        let mut idle = self.records.networks()?;
        idle.retain(|network| {
            networks::is_in(&sandbox, &network.id) && !used.contains(network.id.as_str())
        });
        Ok(Some(Detaching { networks: self, sandbox, idle, _lock: lock }))
    }

    /// The containers of which something is recorded in the run directory, and whether somebody
    /// just changes that. For who only reads.
    pub fn recorded_containers(
        directory: &Path,
        run_directory: &Path,
    ) -> Result<(Vec<ContainerId>, bool)> {
        let records = Records::at(directory, run_directory);
        let containers = records.sandbox_ids()?;
        let is_busy = !containers.is_empty() && records.is_locked()?;
        Ok((containers, is_busy))
    }
}

impl Sandbox {
    /// Whether nobody but its own processes has anything of it: no port, no name, no helper.
    pub fn is_quiet(&self) -> bool {
        self.ports.is_empty()
            && self.helpers.is_empty()
            && self.endpoints.iter().all(|endpoint| endpoint.names.is_empty())
    }
}

/// A container on its way out of its networks. As long as this lives nobody else uses them;
/// dropped, everything stays for [`Networks::reconcile`].
#[derive(Debug)]
#[must_use = "it is out when this is finished"]
pub struct Detaching {
    networks: Networks,
    sandbox: Sandbox,
    /// The networks in which nobody else is. They were read before: whoever was told that the
    /// container is gone may remove the store.
    idle: Vec<Network>,
    _lock: FileLock,
}

impl Detaching {
    /// Takes it out.
    pub fn finish(self) -> Result<()> {
        self.networks.on_ground(|| {
            self.sandbox.endpoints.iter().try_for_each(Networks::unplug)?;
            self.idle.iter().try_for_each(Networks::take_down)
        })?;
        self.networks.records.remove_sandbox(&self.sandbox.container)?;
        self.networks.settle_ground()
    }
}
