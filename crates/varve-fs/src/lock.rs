//! File locks between processes (`flock`): freed by the kernel when their holder dies.

use std::{io, path::Path};

/// A held lock; dropping it lets go.
#[derive(Debug)]
pub struct FileLock {
    _file: std::fs::File,
}

impl FileLock {
    /// Waits for a lock that others may share.
    pub fn shared(_path: &Path) -> io::Result<Self> {
        todo!()
    }

    /// Waits for a lock that nobody shares.
    pub fn exclusive(_path: &Path) -> io::Result<Self> {
        todo!()
    }

    /// Takes an exclusive lock, or returns `None` at once when somebody has it.
    pub fn try_exclusive(_path: &Path) -> io::Result<Option<Self>> {
        todo!()
    }
}
