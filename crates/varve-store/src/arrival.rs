//! The directory in which one blob or layer arrives: `varve/ingest/<name>/`.
//!
//! Named by the digest that is to arrive (and then resumable, by any process), by `index-` and the
//! hexadecimal digits of a diff ID (an index being made anew), or at random. Whoever works in it holds its lock.
//!
//! What may be trusted of the bytes that another process left: all of them, if the machine has not
//! been restarted since (the page cache outlives a killed process); else as many as were synced.
//! [`state`] says which those are.

mod state;

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use varve_fs::{durable, lock::FileLock};
use varve_types::Digest;

pub(crate) use state::{Claim, State};

use crate::{
    Result, Store,
    error::cannot,
    store::{DIRECTORY_MODE, PRIVATE_MODE},
};

#[derive(Debug)]
pub(crate) struct Arrival {
    path: PathBuf,
    lock: FileLock,
    data: File,
    state: File,
    boot: String,
    /// Bytes of `data` that are good.
    length_bytes: u64,
    /// Whether another process may go on with it.
    resumable: bool,
    /// Bytes that are known to be on disk; [`UNNAMED`] until the directory itself is.
    synced_bytes: AtomicU64,
    finished: bool,
}

/// Nothing is known to be on disk.
const UNNAMED: u64 = u64::MAX;

/// The name of the arrival of a blob.
pub(crate) fn blob_name(digest: &Digest) -> String {
    digest.hex()
}

/// Whether an abandoned arrival of this name can be resumed.
pub(crate) fn is_resumable(name: &str) -> bool {
    Digest::from_hex(name).is_ok()
}

impl Arrival {
    /// Opens or makes an arrival, waiting while another process works in it.
    pub(crate) fn enter(store: &Store, name: &str) -> Result<Self> {
        let path = store.ingest_path(name);
        loop {
            durable::create_directory(&path, DIRECTORY_MODE).map_err(cannot("create", &path))?;
            let lock_path = path.join("lock");
            let lock = match FileLock::exclusive(&lock_path) {
                Ok(lock) => lock,
                // Removed between the two steps.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(source) => return Err(cannot("lock", &lock_path)(source)),
            };
            if lock.is_at(&lock_path).map_err(cannot("lock", &lock_path))? {
                return Self::open(store, path, lock, is_resumable(name));
            }
        }
    }

    /// Makes an arrival that nobody else can find.
    pub(crate) fn unnamed(store: &Store) -> Result<Self> {
        let ingest = store.ingest_path("");
        let name = durable::random_name().map_err(cannot("name", &ingest))?;
        Self::enter(store, &name)
    }

    fn open(store: &Store, path: PathBuf, lock: FileLock, resumable: bool) -> Result<Self> {
        let open = |name: &str| {
            let path = path.join(name);
            open_writable(&path).map_err(cannot("create", &path))
        };
        let (data, state) = (open("data")?, open("state")?);
        let boot = store.boot().unwrap_or_default().to_owned();
        let there = data.metadata().map_err(cannot("read", &path))?.len();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let whole = Digest::from_hex(name).ok();
        let text = fs::read_to_string(path.join("state")).unwrap_or_default();
        let known = State::parse(&text).unwrap_or_else(|| State::synced("", 0));
        let same_boot = known.boot == boot && !boot.is_empty();
        let length_bytes = if same_boot {
            there
        } else {
            known.trusted_bytes(&mut &data, whole).map_err(cannot("read", &path.join("data")))?
        };
        let mut arrival = Self {
            path,
            lock,
            data,
            state,
            boot,
            length_bytes,
            resumable,
            synced_bytes: AtomicU64::new(UNNAMED),
            finished: false,
        };
        arrival.cut(length_bytes)?;
        arrival.clear_layer()?;
        if !same_boot && resumable {
            // Not synced: a transfer that takes less than a second is spared the wait. Until the
            // first sync, a power loss costs what came, and a killed process costs nothing.
            let state = State::synced(&arrival.boot, length_bytes);
            state.write(&arrival.state).map_err(cannot("write", &arrival.path.join("state")))?;
        }
        Ok(arrival)
    }

    /// How many good bytes are here.
    pub(crate) fn length_bytes(&self) -> u64 {
        self.length_bytes
    }

    pub(crate) fn data(&self) -> &File {
        &self.data
    }

    pub(crate) fn data_path(&self) -> PathBuf {
        self.path.join("data")
    }

    /// The directory that becomes the layer's own.
    pub(crate) fn layer_path(&self) -> PathBuf {
        self.path.join("layer")
    }

    pub(crate) fn make_layer_directory(&self) -> Result<()> {
        let path = self.layer_path();
        durable::create_directory(&path, DIRECTORY_MODE).map_err(cannot("create", &path))?;
        Ok(())
    }

    /// Removes what was derived from the bytes.
    pub(crate) fn clear_layer(&self) -> Result<()> {
        let path = self.layer_path();
        durable::discard_tree(&path).map_err(cannot("remove", &path))
    }

    /// Cuts the bytes to the first `length_bytes`.
    pub(crate) fn cut(&mut self, length_bytes: u64) -> Result<()> {
        let path = self.data_path();
        if self.data.metadata().map_err(cannot("read", &path))?.len() != length_bytes {
            durable::truncate(&self.data, length_bytes).map_err(cannot("truncate", &path))?;
        }
        self.length_bytes = length_bytes;
        Ok(())
    }

    /// Takes note that so many bytes are in the file now.
    pub(crate) fn grown(&mut self, length_bytes: u64) {
        self.length_bytes = length_bytes;
    }

    /// Writes down that the bytes are gone.
    pub(crate) fn note_empty(&self) -> Result<()> {
        self.note(&State::synced(&self.boot, 0))?;
        self.synced_bytes.store(0, Ordering::Release);
        Ok(())
    }

    fn note(&self, state: &State) -> Result<()> {
        let path = self.path.join("state");
        state.write(&self.state).map_err(cannot("write", &path))?;
        durable::sync(&self.state).map_err(cannot("sync", &path))?;
        if self.synced_bytes.load(Ordering::Acquire) == UNNAMED {
            for directory in [Some(self.path.as_path()), self.path.parent()].into_iter().flatten() {
                durable::sync_directory(directory).map_err(cannot("sync", directory))?;
            }
        }
        Ok(())
    }

    fn sync_data(&self) -> Result<()> {
        durable::sync(&self.data).map_err(cannot("sync", &self.data_path()))
    }

    /// Syncs the claimed bytes, all of which are in the file.
    fn sync_claimed(&self, claim: Claim) -> Result<()> {
        if !self.resumable {
            return self.sync_data();
        }
        let mut synced_bytes = self.synced_bytes.load(Ordering::Acquire);
        if synced_bytes == UNNAMED {
            // What an earlier process left, and may have claimed.
            if self.length_bytes > 0 {
                self.sync_data()?;
            }
            synced_bytes = self.length_bytes;
        }
        self.note(&State { boot: self.boot.clone(), synced_bytes, claim })?;
        self.synced_bytes.store(synced_bytes, Ordering::Release);
        self.sync_data()?;
        self.synced_bytes.store(claim.length_bytes, Ordering::Release);
        Ok(())
    }

    /// What another thread needs to sync the bytes as they come.
    pub(crate) fn syncer(&self) -> Syncer<'_> {
        Syncer { arrival: self }
    }

    /// Removes the directory: all is published, or nothing is worth keeping.
    pub(crate) fn finish(mut self) -> Result<()> {
        self.finished = true;
        self.remove()
    }

    /// Whether the directory is still the one of that name.
    pub(crate) fn is_whole(&self) -> bool {
        self.lock.is_at(&self.path.join("lock")).unwrap_or(false)
    }

    fn remove(&self) -> Result<()> {
        throw_away(&self.path)
    }
}

/// Removes the directory of an arrival whose lock is held. All of it at once: somebody who waits
/// for the lock would else make a new one inside while the rest is being removed.
pub(crate) fn throw_away(path: &Path) -> Result<()> {
    let name = durable::random_name().map_err(cannot("name", path))?;
    // From varve/ingest/<name> to varve/trash/<id>.
    let above = path.parent().and_then(Path::parent).unwrap_or(path);
    durable::remove_tree(path, &above.join("trash").join(name)).map_err(cannot("remove", path))
}

/// Opens a file for writing that may have been made read-only, to become a blob, by a process that
/// died then.
fn open_writable(path: &Path) -> io::Result<File> {
    match durable::open_or_create(path, PRIVATE_MODE) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            durable::set_mode(&File::open(path)?, PRIVATE_MODE)?;
            durable::open_or_create(path, PRIVATE_MODE)
        }
        other => other,
    }
}

impl Drop for Arrival {
    fn drop(&mut self) {
        if !self.finished && (!self.resumable || self.length_bytes == 0) && self.is_whole() {
            // When this fails the next sweep does it.
            let _ = self.remove();
        }
    }
}

/// Syncs an arrival's bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Syncer<'a> {
    arrival: &'a Arrival,
}

impl Syncer<'_> {
    /// Syncs what was written before the call, and writes down how much that is and what it hashes to.
    pub(crate) fn sync(self, claim: Claim) -> Result<()> {
        self.arrival.sync_claimed(claim)
    }
}
