//! The directory in which one blob or layer arrives: `varve/ingest/<name>/`.
//!
//! Named by the digest that is to arrive (and then resumable, by any process), by `index-` and the
//! hexadecimal digits of a diff ID (an index being made anew), or at random. Whoever works in it holds its lock.
//!
//! What may be trusted of the bytes that another process left: all of them, if the machine has not
//! been restarted since (the page cache outlives a killed process); else as many as were synced.
//! `state` says both. It has a fixed size and is written after the sync that it speaks of, so it
//! never promises more than there is.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
};

use varve_fs::{durable, lock::FileLock};
use varve_types::Digest;

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
    /// Whether the directory itself is known to be on disk.
    named: AtomicBool,
    finished: bool,
}

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
        let text = fs::read_to_string(path.join("state")).unwrap_or_default();
        let length_bytes = match parse_state(&text) {
            Some((old_boot, _)) if old_boot == boot && !boot.is_empty() => there,
            Some((_, synced)) => synced.min(there),
            None => 0,
        };
        let mut arrival = Self {
            path,
            lock,
            data,
            state,
            boot,
            length_bytes,
            resumable,
            named: AtomicBool::new(false),
            finished: false,
        };
        arrival.cut(length_bytes)?;
        arrival.clear_layer()?;
        if text.is_empty() && resumable {
            // Not synced: a transfer that takes less than a second is spared the wait. Until the
            // first sync, a power loss costs what came, and a killed process costs nothing.
            write_state(&arrival.state, &arrival.boot, 0)
                .map_err(cannot("write", &arrival.path.join("state")))?;
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

    /// Writes down that so many bytes are synced.
    pub(crate) fn note_synced(&self, synced_bytes: u64) -> Result<()> {
        let path = self.path.join("state");
        write_state(&self.state, &self.boot, synced_bytes).map_err(cannot("write", &path))?;
        durable::sync(&self.state).map_err(cannot("sync", &path))?;
        if !self.named.swap(true, Ordering::AcqRel) {
            for directory in [Some(self.path.as_path()), self.path.parent()].into_iter().flatten() {
                durable::sync_directory(directory).map_err(cannot("sync", directory))?;
            }
        }
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
    /// Syncs, and writes down that `written_bytes` (all written before the call) are synced.
    pub(crate) fn sync(self, written_bytes: u64) -> Result<()> {
        let path = self.arrival.data_path();
        durable::sync(self.arrival.data()).map_err(cannot("sync", &path))?;
        if self.arrival.resumable { self.arrival.note_synced(written_bytes) } else { Ok(()) }
    }
}

/// `<boot ID> <synced bytes, 20 digits>`, always of the same size, in one sector.
fn write_state(state: &File, boot: &str, synced_bytes: u64) -> io::Result<()> {
    let boot = if boot.is_empty() { "-" } else { boot };
    durable::write_all_at(state, format!("{boot} {synced_bytes:020}\n").as_bytes(), 0)
}

fn parse_state(text: &str) -> Option<(&str, u64)> {
    let (boot, synced) = text.strip_suffix('\n')?.split_once(' ')?;
    Some((boot, synced.parse().ok()?))
}
