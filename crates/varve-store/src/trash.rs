//! What was removed and is not freed yet: `varve/trash`.
//!
//! A sweep renames large things to here while it holds the store, and frees them afterwards. The
//! kernel takes a fifth of a second to free a gigabyte, and seconds for an extracted tree: where
//! whoever opened the store named somebody who does that behind the command
//! ([`Options::emptier`](crate::Options)), much is left to it.
//!
//! What is left is bounded: one emptier works at a time and ends when nothing lies here; who removes
//! while much lies here already frees it himself; and who is about to write on a disk that is nearly
//! full waits until all of it is freed.

use std::{
    fs::{self, File},
    io,
    os::{fd::AsFd as _, unix::fs::MetadataExt},
    path::{Path, PathBuf},
};

use varve_fs::{durable, extract, lock::FileLock};
use varve_types::DiffId;

use crate::{Error, Result, Store, error::cannot, mark, ready, sweep::entries};

/// Files from this size on are freed after the store was let go.
const LARGE_SIZE_BYTES: u64 = 1 << 20;
/// What a command frees itself: some milliseconds of the kernel's time.
const AT_ONCE_SIZE_BYTES: u64 = 32 << 20;
const AT_ONCE_FILES: u64 = 200;
/// Things that may lie in the trash for an emptier.
const WAITING_MAX: usize = 1_000;
/// With less free disk than this, what can be freed is freed before more is written.
const LOW_DISK_SIZE_BYTES: u64 = 8 << 30;

/// Takes things out of sight at once and lets them be freed later.
pub(crate) struct Trash<'a> {
    store: &'a Store,
    /// Inode, number of names and size of each name that went.
    files: Vec<(u64, u64, u64)>,
    /// Paths of extracted trees that went.
    tree_entries: u64,
}

impl<'a> Trash<'a> {
    pub(crate) fn new(store: &'a Store) -> Self {
        Self { store, files: Vec::new(), tree_entries: 0 }
    }

    pub(crate) fn throw_file(&mut self, path: &Path) -> Result<()> {
        let Some(size) = self.count(path)? else { return Ok(()) };
        if size >= LARGE_SIZE_BYTES {
            return self.rename(path);
        }
        durable::unlink(path).map_err(cannot("remove", path))?;
        Ok(())
    }

    pub(crate) fn throw_layer(&mut self, diff_id: &DiffId) -> Result<()> {
        let path = self.store.layer_path(diff_id);
        if path.join(ready::TREE).is_dir() {
            let record = self.store.read_layer_record(diff_id)?;
            // A tree without a record may be of any size.
            self.tree_entries += record.map_or(AT_ONCE_FILES, |record| record.summary.entries);
        }
        self.throw_directory(&path)
    }

    pub(crate) fn throw_directory(&mut self, path: &Path) -> Result<()> {
        for (_, inside) in entries(path)? {
            self.count(&inside)?;
        }
        self.rename(path)
    }

    /// Frees what was thrown away, or leaves it to the emptier when it is much. Returns the bytes
    /// of disk that are then free again, extracted trees not counted.
    pub(crate) fn free(self) -> Result<u64> {
        let freed_bytes = mark::freed_bytes(self.files.iter().copied());
        let is_much = freed_bytes > AT_ONCE_SIZE_BYTES || self.tree_entries >= AT_ONCE_FILES;
        let left = match self.store.options().emptier {
            Some(emptier) if is_much && self.waiting()? <= WAITING_MAX => {
                emptier(self.store.root()).is_ok()
            }
            _ => false,
        };
        if !left {
            self.store.empty_trash()?;
        }
        Ok(freed_bytes)
    }

    fn waiting(&self) -> Result<usize> {
        Ok(entries(&self.store.trash_path())?.len())
    }

    fn count(&mut self, path: &Path) -> Result<Option<u64>> {
        match fs::symlink_metadata(path) {
            Ok(metadata) => {
                self.files.push((metadata.ino(), metadata.nlink(), metadata.len()));
                Ok(Some(metadata.len()))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(cannot("read", path)(source)),
        }
    }

    fn rename(&self, path: &Path) -> Result<()> {
        let trash = self.store.trash_path();
        let name = durable::random_name().map_err(cannot("name", &trash))?;
        durable::rename(path, &trash.join(name)).map_err(cannot("remove", path))
    }
}

impl Store {
    fn trash_path(&self) -> PathBuf {
        self.root().join("varve/trash")
    }

    /// Frees what was removed and is not freed yet. Another process may be doing the same.
    pub fn empty_trash(&self) -> Result<()> {
        if self.is_made() { empty(&self.trash_path()) } else { Ok(()) }
    }

    /// Whether something that was removed is still there: an emptier is at it, or it belongs to users
    /// of containers and this process is not in the namespace in which it could free it.
    pub fn has_trash(&self) -> Result<bool> {
        Ok(self.is_made() && !entries(&self.trash_path())?.is_empty())
    }

    /// Frees what is in the trash until nothing is, unless another process does: for the emptier.
    pub fn keep_trash_empty(&self) -> Result<()> {
        let trash = self.trash_path();
        let mut before = Vec::new();
        // Who threw something away while the last lock was held may have found it held. What cannot
        // be freed is tried once.
        loop {
            let there = entries(&trash)?;
            if there.is_empty() || there == before {
                return Ok(());
            }
            let directory = File::open(&trash).map_err(cannot("open", &trash))?;
            let lock = FileLock::try_exclusive_on(directory).map_err(cannot("lock", &trash))?;
            let Some(_lock) = lock else { return Ok(()) };
            empty(&trash)?;
            before = there;
        }
    }

    /// Before more is written: what waits to be freed is, where the disk is nearly full.
    pub(crate) fn make_room(&self) -> Result<()> {
        if entries(&self.trash_path())?.is_empty() {
            return Ok(());
        }
        let is_low = rustix::fs::statvfs(self.root())
            .is_ok_and(|disk| disk.f_bavail.saturating_mul(disk.f_frsize) < LOW_DISK_SIZE_BYTES);
        if is_low { self.empty_trash() } else { Ok(()) }
    }
}

/// Frees what lies in the trash. A user outside of their namespace may not remove what belongs to users of
/// containers: that stays for who may.
fn empty(trash: &Path) -> Result<()> {
    if rustix::process::geteuid().is_root() {
        return entries(trash)?.iter().try_for_each(|(_, path)| free(path, trash));
    }
    for (_, path) in entries(trash)? {
        match free(&path, trash) {
            Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::PermissionDenied => {}
            done => done?,
        }
    }
    Ok(())
}

/// Frees something in the trash. Another process may be doing the same.
fn free(path: &Path, trash: &Path) -> Result<()> {
    // Names in it are an image's.
    let tree = path.join(ready::TREE);
    if tree.is_dir() {
        let open = |path: &Path| File::open(path).map_err(cannot("open", path));
        let removed = open(path).and_then(|directory| {
            extract::remove(directory.as_fd(), ready::TREE.as_bytes(), open(trash)?.as_fd())
                .map_err(cannot("remove", &tree))
        });
        match removed {
            // Another process is doing the same.
            Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
            other => other?,
        }
    }
    durable::discard_tree(path).map_err(cannot("remove", path))
}
