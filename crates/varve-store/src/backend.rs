//! Which way this store shows its layers.
//!
//! What works is found out by trying, in `varve/probe/`, and kept in the run directory: it depends
//! on the kernel, the store's file system and the user namespace, and a restart may change it. The
//! answer says for what it holds, and is found out anew where that is something else.

use std::fs;

use varve_fs::{
    backend::{Backend, Probed, probe},
    durable,
    lock::FileLock,
};

use crate::{
    Result, Store,
    error::cannot,
    mounts::Run,
    store::{DIRECTORY_MODE, PRIVATE_MODE},
};

/// Threads that extract a layer.
pub(crate) const THREADS_MAX: usize = 4;

impl Store {
    /// How layers are shown: in the way that was asked for, else in the best that works here. An
    /// error when what was asked for does not work.
    pub fn backend(&self) -> Result<&Probed> {
        if let Some(probed) = self.probed().get() {
            return Ok(probed);
        }
        let probed = self.find_backend(&self.run()?)?;
        Ok(self.probed().get_or_init(|| probed))
    }

    /// The same of a store that was made; `None` also where nothing works.
    pub fn backend_if_made(&self) -> Option<&Probed> {
        if self.is_made() { self.backend().ok() } else { None }
    }

    /// The backend itself.
    pub(crate) fn shown_by(&self) -> Result<Box<dyn Backend>> {
        Ok(self.backend()?.backend())
    }

    fn find_backend(&self, run: &Run) -> Result<Probed> {
        let wanted = self.options().backend;
        let name = wanted.map_or_else(|| "auto".to_owned(), |kind| kind.to_string());
        let kept = run.path(format!("backend-{name}.json"));
        let probes = self.root().join("varve/probe");
        let read = || -> Result<Option<Probed>> {
            let Ok(bytes) = fs::read(&kept) else { return Ok(None) };
            let Ok(probed) = serde_json::from_slice::<Probed>(&bytes) else { return Ok(None) };
            Ok(probed.holds_for(self.root())?.then_some(probed))
        };
        if let Some(probed) = read()? {
            return Ok(probed);
        }
        durable::create_directory(&probes, DIRECTORY_MODE).map_err(cannot("create", &probes))?;
        let lock_path = probes.join("lock");
        let _lock = FileLock::exclusive(&lock_path).map_err(cannot("lock", &lock_path))?;
        if let Some(probed) = read()? {
            // Another process was quicker.
            return Ok(probed);
        }
        let probed = probe(&probes.join("tried"), wanted)?;
        // Made of strings and numbers only; there is nothing that JSON cannot say.
        let text = serde_json::to_vec(&probed).unwrap_or_default();
        durable::replace(&kept, &text, PRIVATE_MODE).map_err(cannot("write", &kept))?;
        Ok(probed)
    }
}
