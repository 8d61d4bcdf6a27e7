//! File locks between processes (`flock`): freed by the kernel when their holder dies.
//!
//! A lock belongs to one open file, so two locks taken in one process exclude each other just as
//! those of two processes do.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::Path,
};

use rustix::{fs::FlockOperation, io::Errno};

/// A held lock; dropping it lets go.
#[derive(Debug)]
pub struct FileLock {
    file: File,
}

impl FileLock {
    /// Waits for a lock that others may share. Creates the file when it is absent.
    pub fn shared(path: &Path) -> io::Result<Self> {
        let file = open(path)?;
        wait(&file, FlockOperation::LockShared)?;
        Ok(Self { file })
    }

    /// Waits for a lock that nobody shares. Creates the file when it is absent.
    pub fn exclusive(path: &Path) -> io::Result<Self> {
        let file = open(path)?;
        wait(&file, FlockOperation::LockExclusive)?;
        Ok(Self { file })
    }

    /// Takes an exclusive lock, or returns `None` at once when somebody has it. Creates the file
    /// when it is absent.
    pub fn try_exclusive(path: &Path) -> io::Result<Option<Self>> {
        Self::try_exclusive_on(open(path)?)
    }

    /// Takes an exclusive lock on an open file, or returns `None` at once when somebody has it.
    pub fn try_exclusive_on(file: File) -> io::Result<Option<Self>> {
        match wait(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Self { file })),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Takes a lock that others may share, or returns `None` at once when somebody has an exclusive
    /// one. Creates the file when it is absent.
    pub fn try_shared(path: &Path) -> io::Result<Option<Self>> {
        let file = open(path)?;
        match wait(&file, FlockOperation::NonBlockingLockShared) {
            Ok(()) => Ok(Some(Self { file })),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Lets others share an exclusive lock. For a moment it is nobody's: what it guards may be gone
    /// afterwards, which [`is_at`](Self::is_at) tells.
    pub fn share(&self) -> io::Result<()> {
        wait(&self.file, FlockOperation::LockShared)
    }

    /// The locked file.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Whether `path` still names the locked file. Where locked files may be removed by others, a
    /// lock counts only after this was asked.
    pub fn is_at(&self, path: &Path) -> io::Result<bool> {
        let mine = self.file.metadata()?;
        match fs::symlink_metadata(path) {
            Ok(there) => Ok((mine.dev(), mine.ino()) == (there.dev(), there.ino())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// Where the file may not be written, a handle for reading locks as well.
fn open(path: &Path) -> io::Result<File> {
    let writable = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path);
    match writable {
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem
            ) =>
        {
            File::open(path).map_err(|_| error)
        }
        other => other,
    }
}

fn wait(file: &File, operation: FlockOperation) -> io::Result<()> {
    loop {
        match rustix::fs::flock(file, operation) {
            Err(Errno::INTR) => {}
            other => return Ok(other?),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exclusive_lock_excludes_and_is_freed_by_dropping_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lock");
        let held = FileLock::exclusive(&path).unwrap();
        assert!(FileLock::try_exclusive(&path).unwrap().is_none());
        drop(held);
        assert!(FileLock::try_exclusive(&path).unwrap().is_some());
    }

    #[test]
    fn shared_locks_are_shared() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lock");
        let _one = FileLock::shared(&path).unwrap();
        let _two = FileLock::shared(&path).unwrap();
        assert!(FileLock::try_exclusive(&path).unwrap().is_none());
    }

    #[test]
    fn a_lock_knows_when_its_file_was_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lock");
        let held = FileLock::exclusive(&path).unwrap();
        assert!(held.is_at(&path).unwrap());
        fs::remove_file(&path).unwrap();
        assert!(!held.is_at(&path).unwrap());
        fs::write(&path, b"").unwrap();
        assert!(!held.is_at(&path).unwrap());
    }
}
