//! Leases: what an operation that is still running must not lose.
//!
//! A lease is a file under `varve/leases` that its process keeps locked; its lines name what is
//! pinned. When the process dies, the kernel frees the lock, and the next sweep removes the file.
//! Pins are added under the store's shared lock, so a sweep (which has it exclusively) sees either
//! the pin or a process that has not looked for the content yet.

use std::{
    collections::HashSet,
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use varve_fs::{durable, lock::FileLock};
use varve_types::{DiffId, Digest};

use crate::{
    Result, Store,
    error::cannot,
    store::{PRIVATE_MODE, Publishing, Sweeping},
};

/// A held lease; dropping the last clone lets its content go to the next sweep unless something
/// else reaches it.
#[derive(Debug, Clone)]
pub struct Lease {
    held: Arc<Held>,
}

#[derive(Debug)]
struct Held {
    path: PathBuf,
    lock: FileLock,
    pins: Mutex<HashSet<Pin>>,
}

/// One thing that a lease keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Pin {
    Blob(Digest),
    Layer(DiffId),
    /// A second index of a layer.
    Times(Digest),
}

impl Lease {
    pub(crate) fn take(store: &Store) -> Result<Self> {
        let directory = store.root().join("varve/leases");
        // A sweep would take a file that is not locked yet for one whose process has died.
        let _publishing = store.publishing()?;
        let name = durable::random_name().map_err(cannot("name", &directory))?;
        let path = directory.join(name);
        let file = durable::create_new(&path, PRIVATE_MODE).map_err(cannot("create", &path))?;
        let lock = FileLock::try_exclusive_on(file).map_err(cannot("lock", &path))?;
        let lock = lock.ok_or_else(|| cannot("lock", &path)(io::ErrorKind::WouldBlock.into()))?;
        let held = Held { path, lock, pins: Mutex::default() };
        Ok(Self { held: Arc::new(held) })
    }

    /// Pins content. What is here while `publishing` is held stays from now on.
    pub(crate) fn pin(&self, _publishing: &Publishing, wanted: &[Pin]) -> Result<()> {
        let mut pins = self.held.pins.lock().unwrap_or_else(PoisonError::into_inner);
        let mut lines = String::new();
        for pin in wanted.iter().filter(|pin| !pins.contains(pin)) {
            let (kind, digest) = match pin {
                Pin::Blob(digest) => ("blob", digest),
                Pin::Layer(diff_id) => ("layer", diff_id.digest()),
                Pin::Times(digest) => ("times", digest),
            };
            lines.extend([kind, " ", &digest.to_string(), "\n"]);
        }
        if !lines.is_empty() {
            durable::write_all(self.held.lock.file(), lines.as_bytes())
                .map_err(cannot("write", &self.held.path))?;
            pins.extend(wanted);
        }
        Ok(())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // When this fails the next sweep does it.
        let _ = durable::unlink(&self.path);
    }
}

/// Everything that live leases pin. Removes those whose process has died.
pub(crate) fn pinned(store: &Store, _sweeping: &Sweeping) -> Result<HashSet<Pin>> {
    let directory = store.root().join("varve/leases");
    let mut pins = HashSet::new();
    for entry in fs::read_dir(&directory).map_err(cannot("read", &directory))? {
        let path = entry.map_err(cannot("read", &directory))?.path();
        if let Some(text) = read_live(&path)? {
            pins.extend(text.lines().filter_map(parse));
        }
    }
    Ok(pins)
}

fn read_live(path: &Path) -> Result<Option<String>> {
    let file = match fs::File::open(path) {
        Ok(file) => file,
        // Its holder was done in the meantime.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(cannot("open", path)(source)),
    };
    if FileLock::try_exclusive_on(file).map_err(cannot("lock", path))?.is_some() {
        durable::unlink(path).map_err(cannot("remove", path))?;
        return Ok(None);
    }
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(cannot("read", path)(source)),
    }
}

fn parse(line: &str) -> Option<Pin> {
    match line.split_once(' ')? {
        ("blob", digest) => digest.parse().ok().map(Pin::Blob),
        ("layer", diff_id) => diff_id.parse().ok().map(Pin::Layer),
        ("times", digest) => digest.parse().ok().map(Pin::Times),
        _ => None,
    }
}
