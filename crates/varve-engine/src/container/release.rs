//! What a container has of the machine, and with `rm` and `--rm` the container itself, taken away.
//!
//! A container with `--rm` goes in two steps. First nobody finds it any more, which is what who waits
//! for its end waits for. Behind that answer goes what nobody sees: mounts, files, interfaces. Who
//! would see it (a sweep, which keeps what is mounted; the next user of the same networks) waits.

use varve_fs::{durable, mount::InUse};
use varve_runtime::network::Detaching;
use varve_store::{Containers, HiddenContainer, Releasing};
use varve_types::container::{
    Container, ContainerId, MountKind, NetworkMode, State, Status, VolumeName,
};

use super::bundle::BUNDLES;
use crate::{Engine, Result};

/// What is left of a container that nobody finds any more.
#[must_use = "it stays until it is finished"]
pub(crate) struct PutOff {
    id: ContainerId,
    files: HiddenContainer,
    mounts: Option<Releasing>,
    networks: Option<Detaching>,
}

impl Engine {
    /// Takes away what a container has of the machine, and the container itself where that was to
    /// go with its end. What comes back is to be finished, when somebody who waits was told.
    pub(crate) fn release_container(&self, container: &Container, state: &State) -> Option<PutOff> {
        // Whatever stays is taken away by the next verb that looks.
        let detach = || self.detach_networks(&container.id);
        if state.status == Status::Restarting {
            // Its root stays mounted: what it wrote is there a moment later.
            let _ = detach();
            return None;
        }
        if container.host_config.auto_remove
            && self.is_quiet_in_networks(&container.id)
            && let Ok(put_off) = self.begin_release(container)
        {
            return Some(put_off);
        }
        let release = || self.store.release(&Self::holder(&container.id), InUse::Detached);
        match NetworkMode::of(&container.host_config.network_mode) {
            NetworkMode::None | NetworkMode::Host | NetworkMode::Container(_) => {
                let _ = (detach(), release());
            }
            // In both the kernel waits until nobody looks any more; it may as well wait once.
            NetworkMode::Bridge | NetworkMode::Named(_) => std::thread::scope(|scope| {
                let detaching = scope.spawn(detach);
                let _ = release();
                let _ = detaching.join();
            }),
        }
        let _ = self.release_parts(container);
        if let Ok(path) = self.bundle_path(&container.id) {
            let _ = durable::unlink(&path.join("config.json"));
        }
        if container.host_config.auto_remove {
            let _ = self.forget_container(container, true);
        }
        None
    }

    /// Has nobody find a container any more.
    fn begin_release(&self, container: &Container) -> Result<PutOff> {
        let locked = self.store.lock_containers()?;
        let mounts = self.store.begin_release(&Self::holder(&container.id))?;
        self.release_parts(container)?;
        let files = locked.hide(container)?;
        self.remove_anonymous_volumes(&locked, container)?;
        drop(locked);
        // What cannot be begun now is done by the next listing.
        let networks = match NetworkMode::of(&container.host_config.network_mode) {
            NetworkMode::Bridge | NetworkMode::Named(_) => {
                self.begin_detach(&container.id).ok().flatten()
            }
            NetworkMode::None | NetworkMode::Host | NetworkMode::Container(_) => None,
        };
        Ok(PutOff { id: container.id, files, mounts, networks })
    }

    /// Takes away what is left. What stays is taken away by the next listing.
    pub(crate) fn finish_release(&self, put_off: PutOff) {
        let PutOff { id, files, mounts, networks } = put_off;
        // First what others wait for.
        let _ = mounts.map(Releasing::finish);
        match networks {
            Some(networks) => drop(networks.finish()),
            None => drop(self.detach_networks(&id)),
        }
        self.discard_bundle(&id);
        let _ = self.store.discard_hidden(files);
    }

    /// Takes away what is left of containers that are no more: their monitors were killed when they
    /// had told their end.
    pub(crate) fn clear_the_gone(&self) -> Result<()> {
        let mut known = self.store.container_holders()?;
        known.extend(self.store.run_directory_names(BUNDLES)?);
        let gone = known.iter().filter(|id| !self.store.is_container(id));
        for id in gone.filter_map(|id| id.parse::<ContainerId>().ok()) {
            self.store.release(&Self::holder(&id), InUse::Detached)?;
            self.discard_bundle(&id);
        }
        self.detach_the_gone()
    }

    /// Removes a container's bundle: nobody else has to do with it.
    fn discard_bundle(&self, id: &ContainerId) {
        if let Ok(path) = self.bundle_path(id) {
            let _ = durable::discard_tree(&path);
        }
    }

    /// Removes a container that does not run: its record, its name, its files, and with
    /// `with_volumes` the volumes that nobody gave a name.
    pub(crate) fn forget_container(&self, container: &Container, with_volumes: bool) -> Result<()> {
        let locked = self.store.lock_containers()?;
        // What is left when this process is killed here is found by its record.
        self.store.release(&Self::holder(&container.id), InUse::Detached)?;
        self.release_parts(container)?;
        self.discard_bundle(&container.id);
        locked.remove(container)?;
        if with_volumes { self.remove_anonymous_volumes(&locked, container) } else { Ok(()) }
    }

    /// Removes the volumes of a container that is no more that nobody gave a name and nobody else
    /// uses.
    fn remove_anonymous_volumes(
        &self,
        locked: &Containers<'_>,
        container: &Container,
    ) -> Result<()> {
        let is_anonymous = |mount: &&varve_types::container::MountPoint| {
            mount.kind == MountKind::Volume && mount.anonymous
        };
        if !container.mounts.iter().any(|mount| is_anonymous(&mount)) {
            return Ok(());
        }
        let (others, _) = self.store.containers()?;
        for mount in container.mounts.iter().filter(is_anonymous) {
            let Ok(name) = mount.name.parse::<VolumeName>() else { continue };
            if super::volumes::users(&others, &name).next().is_none() {
                locked.remove_volume(&name)?;
            }
        }
        Ok(())
    }
}
