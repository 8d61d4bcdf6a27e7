//! A store taken away, with all that is mounted of it: `system reset`.

use std::io;

use varve_fs::{
    durable,
    mount::{self, InUse, table::Table},
};

use crate::{Result, Store, error::cannot};

impl Store {
    /// Removes all that was made in the store and in its run directory, whoever has it. No container
    /// may run. A directory that holds no store stays as it is, and so does what is not ours beside
    /// one. Cut off, it is done again by the next call.
    pub fn reset(&self) -> Result<()> {
        let root = self.root();
        if !self.is_made() {
            return Ok(());
        }
        // Whoever is about to publish comes before; whoever comes later finds no store.
        let held = self.sweeping()?;
        let table = Table::read()?;
        let whole = self.machine_run_directory("")?;
        let whole = whole.canonicalize().map_err(cannot("open", &whole))?;
        for place in [whole.as_path(), root] {
            for row in table.beneath(place).filter(|row| row.place != root) {
                mount::unmount(&row.place, InUse::Detached)?;
            }
        }
        durable::discard_tree(&whole).map_err(cannot("remove", &whole))?;
        // Names first, and last what tells that it is a store.
        for name in ["index.json", "blobs", "oci-layout", "varve"] {
            let path = root.join(name);
            durable::discard_tree(&path).map_err(cannot("remove", &path))?;
        }
        drop(held);
        match durable::remove_directory(root) {
            // Somebody else's files are in it, or it is mounted.
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::DirectoryNotEmpty
                        | io::ErrorKind::ResourceBusy
                        | io::ErrorKind::PermissionDenied
                ) =>
            {
                Ok(())
            }
            removed => removed.map(drop).map_err(cannot("remove", root)),
        }
    }
}
