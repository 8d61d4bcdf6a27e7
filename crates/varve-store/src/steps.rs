//! Steps of builds that run: `varve/steps/<id>/`, a directory each, with what a program changes
//! until that becomes a layer.
//!
//! A step belongs to the process that has its `lock` locked. When that process is killed, the kernel
//! frees the lock, and whoever looks next takes away what the step had of the machine, and at last
//! the directory. Its ID is that of a container: networks and the runtime know it by that.

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
};

use varve_fs::{durable, lock::FileLock};
use varve_types::ContainerId;

use crate::{
    Result, Store, containers,
    error::cannot,
    store::{DIRECTORY_MODE, PRIVATE_MODE},
};

const LOCK: &str = "lock";

/// A step's directory. It stays when this is dropped, and is then nobody's.
#[derive(Debug)]
pub struct StepDirectory {
    id: ContainerId,
    path: PathBuf,
    _lock: FileLock,
}

impl StepDirectory {
    /// Which step.
    pub fn id(&self) -> &ContainerId {
        &self.id
    }

    /// The directory. It has a file `lock`; what else is in it is the owner's business.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Store {
    /// Makes a step's directory.
    pub fn make_step(&self, id: ContainerId) -> Result<StepDirectory> {
        let _judging = self.judge_steps()?;
        let path = self.step_path(&id);
        durable::create_directories_unsynced(&path, DIRECTORY_MODE)
            .map_err(cannot("create", &path))?;
        let lock_path = path.join(LOCK);
        let file =
            durable::create_new(&lock_path, PRIVATE_MODE).map_err(cannot("create", &lock_path))?;
        let lock = FileLock::try_exclusive_on(file).map_err(cannot("lock", &lock_path))?;
        let lock =
            lock.ok_or_else(|| cannot("lock", &lock_path)(io::ErrorKind::WouldBlock.into()))?;
        Ok(StepDirectory { id, path, _lock: lock })
    }

    /// Removes a step's directory with all in it.
    pub fn remove_step(&self, step: StepDirectory) -> Result<()> {
        containers::throw_away(self, &step.path)
    }

    /// The steps whose process has died: they are the caller's now.
    pub fn dead_steps(&self) -> Result<Vec<StepDirectory>> {
        let directory = self.steps_path();
        if containers::entries(&directory)?.is_empty() {
            return Ok(Vec::new());
        }
        let _judging = self.judge_steps()?;
        let mut dead = Vec::new();
        for (name, path) in containers::entries(&directory)? {
            let Some(id) = name.to_str().and_then(|name| name.parse::<ContainerId>().ok()) else {
                continue;
            };
            // One that was made just now has its lock, since nobody makes one meanwhile.
            let lock_path = path.join(LOCK);
            let lock = FileLock::try_exclusive(&lock_path).map_err(cannot("lock", &lock_path))?;
            dead.extend(lock.map(|lock| StepDirectory { id, path, _lock: lock }));
        }
        Ok(dead)
    }

    /// Whether a step of this ID runs.
    pub fn has_step(&self, id: &ContainerId) -> bool {
        let lock = File::open(self.step_path(id).join(LOCK));
        lock.is_ok_and(|file| !matches!(FileLock::try_exclusive_on(file), Ok(Some(_))))
    }

    fn judge_steps(&self) -> Result<FileLock> {
        self.make()?;
        let path = self.root().join("varve/steps.lock");
        FileLock::exclusive(&path).map_err(cannot("lock", &path))
    }

    fn steps_path(&self) -> PathBuf {
        self.root().join("varve/steps")
    }

    fn step_path(&self, id: &ContainerId) -> PathBuf {
        self.steps_path().join(id.to_string())
    }
}
