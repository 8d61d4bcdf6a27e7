//! Durable writes: write, sync, rename, sync the directory. Every other crate that wants bytes
//! to survive a crash comes through here.

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
};

/// Replaces the file at `path` by `bytes`, or leaves it as it was: never a mixture.
pub fn replace(_path: &Path, _bytes: &[u8], _mode: u32) -> io::Result<()> {
    todo!()
}

/// Syncs `file` and gives it its name by rename; replaces what had that name.
pub fn publish(_file: &File, _from: &Path, _to: &Path) -> io::Result<()> {
    todo!()
}

/// Syncs a directory's entries.
pub fn sync_directory(_path: &Path) -> io::Result<()> {
    todo!()
}

/// Creates a directory and its parents, synced, with `mode`.
pub fn create_directories(_path: &Path, _mode: u32) -> io::Result<()> {
    todo!()
}

/// Removes a tree by renaming it away first, so that no reader sees half of it. Missing is fine.
pub fn remove_tree(_path: &Path, _trash: &Path) -> io::Result<()> {
    todo!()
}

/// A file being written beside its final name; dropped without [`commit`](Pending::commit) it is gone.
#[derive(Debug)]
pub struct Pending {
    _path: PathBuf,
}

impl Pending {
    /// Creates a file with an unpredictable name in the directory of `target`.
    pub fn create(_target: &Path, _mode: u32) -> io::Result<Self> {
        todo!()
    }

    /// The open file.
    pub fn file(&mut self) -> &mut File {
        todo!()
    }

    /// Syncs and gives the file its final name.
    pub fn commit(self) -> io::Result<()> {
        todo!()
    }
}
