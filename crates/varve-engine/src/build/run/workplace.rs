//! The places of one program: on the store's disk what it changes, in memory what is shown to it.

use std::{
    fs::{self, Permissions},
    os::unix::fs::{PermissionsExt as _, chown},
    path::{Path, PathBuf},
};

use varve_build::solve::BuildLayer;
use varve_fs::{
    durable,
    mount::{self, InUse, Upper, table::Table},
};
use varve_runtime::oci::{Delete, Runtime as _};
use varve_store::{Holder, Lease, Mounted, RootOwner, StepDirectory};
use varve_types::{ContainerId, DiffId};

use super::{error::RunError, program::write_private};
use crate::{Engine, Result};

/// Magic number of file systems in memory.
const TMPFS: i64 = 0x0102_1994;

/// The places of one program. To be [cleared](Self::clear) at its end.
pub(super) struct Workplace<'a> {
    engine: &'a Engine,
    directory: StepDirectory,
    private: PathBuf,
    /// What is mounted for it, the root first.
    mounted: Vec<(Holder, Mounted)>,
    rootfs: PathBuf,
}

impl<'a> Workplace<'a> {
    /// Makes the places.
    pub(super) fn make(engine: &'a Engine, id: ContainerId) -> Result<Self, RunError> {
        let directory = engine.store().make_step(id)?;
        let private = private_path(engine, &id)?;
        durable::create_directory(&private, 0o700).map_err(RunError::io("create", &private))?;
        let place =
            Self { engine, directory, private, mounted: Vec::new(), rootfs: PathBuf::new() };
        // Secrets are not for a disk.
        let facts =
            rustix::fs::statfs(&place.private).map_err(RunError::io("read", &place.private));
        let made = facts.and_then(|facts| {
            if facts.f_type == TMPFS { Ok(()) } else { Ok(mount::in_memory(&place.private)?) }
        });
        match made {
            Ok(()) => Ok(place),
            Err(error) => {
                place.clear();
                Err(error)
            }
        }
    }

    /// Which program.
    pub(super) fn id(&self) -> &ContainerId {
        self.directory.id()
    }

    /// Where its root is mounted.
    pub(super) fn rootfs(&self) -> &Path {
        &self.rootfs
    }

    /// The directory of what it changes.
    pub(super) fn upper(&self) -> PathBuf {
        self.directory.path().join("upper")
    }

    /// The runtime's bundle, and whatever else only the builder and the program see.
    pub(super) fn private_directory(&self) -> &Path {
        &self.private
    }

    /// A file in it.
    pub(super) fn private(&self, name: &str) -> PathBuf {
        self.private.join(name)
    }

    /// Writes a file in it.
    pub(super) fn write(&self, name: &str, bytes: &[u8], mode: u32) -> Result<(), RunError> {
        write_private(&self.private(name), bytes, mode)
    }

    /// Mounts the root of the program.
    pub(super) fn mount_root(
        &mut self,
        layers: &[BuildLayer],
        lease: &Lease,
    ) -> Result<(), RunError> {
        let ids: Vec<DiffId> = layers.iter().map(|layer| layer.diff_id).collect();
        let owner = self.engine.store().root_owner(lease, &ids)?;
        let upper = self.make_upper("upper", "work", owner)?;
        self.rootfs = self.mount(layers, Some(upper))?;
        Ok(())
    }

    /// Mounts files of other steps. With `writable` what is written to them goes with the program.
    pub(super) fn mount_files(
        &mut self,
        layers: &[BuildLayer],
        writable: bool,
        lease: &Lease,
    ) -> Result<PathBuf, RunError> {
        let upper = if writable {
            let ids: Vec<DiffId> = layers.iter().map(|layer| layer.diff_id).collect();
            let owner = self.engine.store().root_owner(lease, &ids)?;
            let number = self.mounted.len();
            Some(self.make_upper(&format!("upper-{number}"), &format!("work-{number}"), owner)?)
        } else {
            None
        };
        self.mount(layers, upper)
    }

    fn make_upper(&self, upper: &str, work: &str, owner: RootOwner) -> Result<Upper, RunError> {
        let [directory, work] = [upper, work].map(|name| self.directory.path().join(name));
        for path in [&directory, &work] {
            durable::create_directories_unsynced(path, 0o700)
                .map_err(RunError::io("create", path))?;
        }
        // Where owners cannot be given away, the one who may write is the one who asks.
        let _ = chown(&directory, Some(owner.uid), Some(owner.gid));
        fs::set_permissions(&directory, Permissions::from_mode(owner.mode))
            .map_err(RunError::io("change", &directory))?;
        // What the layer is made of is read from there at once, and a crash begins the step anew.
        Ok(Upper { directory, work, is_fleeting: true })
    }

    fn mount(&mut self, layers: &[BuildLayer], upper: Option<Upper>) -> Result<PathBuf, RunError> {
        let layers: Vec<_> = layers.iter().map(|layer| (layer.diff_id, layer.times)).collect();
        let holder = Holder::process()?;
        let mounted = self.engine.store().mount_build(&holder, &layers, upper.as_ref())?;
        let path = mounted.path.clone();
        self.mounted.push((holder, mounted));
        Ok(path)
    }

    /// Takes the mounts away, so that what the program changed lies in the upper alone.
    pub(super) fn unmount_root(&mut self) -> Result<(), RunError> {
        unmount_beneath(&self.private, &self.private)?;
        while let Some((holder, mounted)) = self.mounted.pop() {
            let released = self.engine.store().release(&holder, InUse::Detached);
            drop(mounted);
            released?;
        }
        Ok(())
    }

    /// Gives everything back. What cannot be given back stays for the next command that looks.
    pub(super) fn clear(mut self) {
        let _ = self.unmount_root();
        let _ = self.engine.clear_step(self.directory);
    }
}

fn private_path(engine: &Engine, id: &ContainerId) -> Result<PathBuf> {
    Ok(engine.store().run_directory("steps")?.join(id.to_string()))
}

/// Unmounts what is mounted in a directory, and not what is mounted at `but`.
fn unmount_beneath(directory: &Path, but: &Path) -> Result<(), RunError> {
    let table = Table::read()?;
    for row in table.beneath(directory).filter(|row| row.place != but) {
        mount::unmount(&row.place, InUse::Detached)?;
    }
    Ok(())
}

impl Engine {
    /// Takes away what programs of builds that were killed left: processes, groups, networks,
    /// mounts, files.
    pub fn tidy_steps(&self) -> Result<()> {
        let dead = self.store.dead_steps()?;
        if dead.is_empty() {
            return Ok(());
        }
        self.store.tidy_mounts()?;
        for step in dead {
            let id = step.id().to_string();
            let _ = self.embedded_runtime()?.delete(&id, Delete::Force);
            // The next one may be free of what stands in the way of this one.
            let _ = self.clear_step(step);
        }
        Ok(())
    }

    /// Gives back what a step has, its directory last: as long as that is there, the rest is found.
    fn clear_step(&self, step: StepDirectory) -> Result<(), RunError> {
        self.detach_networks(step.id())?;
        let private = private_path(self, step.id())?;
        unmount_beneath(&private, Path::new(""))?;
        durable::discard_tree(&private).map_err(RunError::io("remove", &private))?;
        Ok(self.store.remove_step(step)?)
    }
}
