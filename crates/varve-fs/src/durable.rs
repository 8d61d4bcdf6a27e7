//! Durable writes: write, sync, rename, sync the directory. Every other crate that wants bytes
//! to survive a crash comes through here.
//!
//! Each function here that changes a file system is one *point*: it tells the [`Observer`] of
//! the process what it is about to do and does it only when the observer agrees. Tests install
//! an observer to kill the process at the n-th point, to make a call fail, or to look at the disk between
//! two calls; without one a point costs one atomic load. Nothing that must survive a crash is written past this module.

mod observer;

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use rustix::fs::{CWD, FallocateFlags, RenameFlags};

pub use observer::{Announced, AskedAbout, Call, Observer, Point, observe};
pub(crate) use observer::{file_point, point};

/// Creates a file that must not exist, open for reading and writing, with `mode` (less the umask).
pub fn create_new(path: &Path, mode: u32) -> io::Result<File> {
    let _made = point(Call::Create, path)?;
    OpenOptions::new().read(true).write(true).create_new(true).mode(mode).open(path)
}

/// Opens a file for reading and writing, creating it when it is absent.
pub fn open_or_create(path: &Path, mode: u32) -> io::Result<File> {
    let _made = point(Call::Create, path)?;
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(mode).open(path)
}

/// Opens a file for reading and writing that must be there.
pub fn open_existing(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).open(path)
}

/// Writes all of `bytes` where `file` stands.
pub fn write_all(mut file: &File, bytes: &[u8]) -> io::Result<()> {
    let _made = file_point(Call::Write, file)?;
    file.write_all(bytes)
}

/// Writes all of `bytes` at `offset`.
pub fn write_all_at(file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
    let _made = file_point(Call::Write, file)?;
    file.write_all_at(bytes, offset)
}

/// Cuts or extends `file` to `length_bytes`.
pub fn truncate(file: &File, length_bytes: u64) -> io::Result<()> {
    let _made = file_point(Call::Truncate, file)?;
    file.set_len(length_bytes)
}

/// Makes sure that `file` has `size_bytes` of disk to itself, where the file system can.
pub fn allocate(file: &File, size_bytes: u64) -> io::Result<()> {
    let _made = file_point(Call::Truncate, file)?;
    Ok(rustix::fs::fallocate(file, FallocateFlags::empty(), 0, size_bytes)?)
}

/// Sets the mode of an open file, whatever the umask.
pub fn set_mode(file: &File, mode: u32) -> io::Result<()> {
    let _made = file_point(Call::SetMode, file)?;
    file.set_permissions(fs::Permissions::from_mode(mode))
}

/// Syncs a file's bytes and what is needed to read them.
pub fn sync(file: &File) -> io::Result<()> {
    let _made = file_point(Call::Sync, file)?;
    file.sync_data()
}

/// Syncs everything in the file system that `file` lies in.
pub fn sync_file_system(file: &File) -> io::Result<()> {
    let _made = file_point(Call::SyncFileSystem, file)?;
    Ok(rustix::fs::syncfs(file)?)
}

/// Syncs a directory's entries.
pub fn sync_directory(path: &Path) -> io::Result<()> {
    let _made = point(Call::SyncDirectory, path)?;
    File::open(path)?.sync_all()
}

/// Syncs the directory that `path` lies in.
fn sync_parent(path: &Path) -> io::Result<()> {
    sync_directory(parent(path))
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}

/// Renames; replaces a file of that name, or an empty directory by a directory.
pub fn rename(from: &Path, to: &Path) -> io::Result<()> {
    let _made = point(Call::Rename, to)?;
    fs::rename(from, to)
}

/// Lets two existing names change places in one step.
pub fn exchange(one: &Path, other: &Path) -> io::Result<()> {
    let _made = point(Call::Rename, other)?;
    Ok(rustix::fs::renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE)?)
}

/// Gives a file a second name, which must be free.
pub fn link(existing: &Path, new: &Path) -> io::Result<()> {
    let _made = point(Call::Link, new)?;
    fs::hard_link(existing, new)
}

/// Removes a file's name. A name that is missing already is fine; returns whether it was there.
pub fn unlink(path: &Path) -> io::Result<bool> {
    let _made = point(Call::Unlink, path)?;
    found(fs::remove_file(path))
}

/// Removes an empty directory. Missing is fine; returns whether it was there.
pub fn remove_directory(path: &Path) -> io::Result<bool> {
    let _made = point(Call::RemoveDirectory, path)?;
    found(fs::remove_dir(path))
}

fn found(result: io::Result<()>) -> io::Result<bool> {
    match result {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Creates one directory; one that exists is fine. Returns whether it was made. Not synced.
pub fn create_directory(path: &Path, mode: u32) -> io::Result<bool> {
    let _made = point(Call::CreateDirectory, path)?;
    loop {
        match fs::DirBuilder::new().mode(mode).create(path) {
            Ok(()) => return Ok(true),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                match fs::metadata(path) {
                    Ok(there) if there.is_dir() => return Ok(false),
                    // Removed by somebody between the two questions.
                    Err(gone)
                        if gone.kind() == io::ErrorKind::NotFound
                            && fs::symlink_metadata(path).is_err() => {}
                    _ => return Err(error),
                }
            }
            Err(error) => return Err(error),
        }
    }
}

/// Creates a directory and its parents, synced, with `mode`.
pub fn create_directories(path: &Path, mode: u32) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let above = parent(path);
    if above != path {
        create_directories(above, mode)?;
    }
    if create_directory(path, mode)? {
        sync_parent(path)?;
    }
    Ok(())
}

/// Like [`create_directories`] for what is gone after a restart anyway: nothing is synced.
pub fn create_directories_unsynced(path: &Path, mode: u32) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let above = parent(path);
    if above != path {
        create_directories_unsynced(above, mode)?;
    }
    create_directory(path, mode).map(drop)
}

/// Replaces the file at `path` by `bytes`, or leaves it as it was: never a mixture.
pub fn replace(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let mut pending = Pending::create(path, mode)?;
    pending.write_all(bytes)?;
    pending.commit()
}

/// Like [`replace`] for what need not survive a power loss: after one the file may be absent, empty
/// or the old one. A killed process leaves the old or the new bytes.
pub fn replace_unsynced(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let mut pending = Pending::create(path, mode)?;
    pending.write_all(bytes)?;
    supplant(&pending.path, path)?;
    pending.committed = true;
    Ok(())
}

/// Gives a file the name of another, which goes, in one step. By an exchange: for a `rename` over a
/// file ext4 writes the new one out first, and has who asks wait for it.
fn supplant(new: &Path, path: &Path) -> io::Result<()> {
    match exchange(new, path) {
        Ok(()) => unlink(new).map(drop),
        // Nothing is there yet, or the file system cannot.
        Err(_) => rename(new, path),
    }
}

/// Like [`replace`], writing to `temporary` first. For callers that hold a lock: whoever holds it
/// next reuses that name, so a crash leaves at most one file behind.
pub fn replace_through(temporary: &Path, path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    through(temporary, bytes, mode, |file| publish(file, temporary, path))
}

/// Like [`replace_through`] for what is gone after a restart anyway: nothing is synced.
pub fn replace_through_unsynced(
    temporary: &Path,
    path: &Path,
    bytes: &[u8],
    mode: u32,
) -> io::Result<()> {
    through(temporary, bytes, mode, |_| supplant(temporary, path))
}

fn through(
    temporary: &Path,
    bytes: &[u8],
    mode: u32,
    publish: impl FnOnce(&File) -> io::Result<()>,
) -> io::Result<()> {
    let file = open_or_create(temporary, mode)?;
    let written = truncate(&file, 0)
        .and_then(|()| write_all(&file, bytes))
        .and_then(|()| set_mode(&file, mode))
        .and_then(|()| publish(&file));
    if written.is_err() {
        let _ = unlink(temporary);
    }
    written
}

/// Syncs `file` and gives it its name by rename; replaces what had that name.
pub fn publish(file: &File, from: &Path, to: &Path) -> io::Result<()> {
    sync(file)?;
    rename(from, to)?;
    sync_parent(to)
}

/// Removes a tree by renaming it to `trash` (which must be free) first, so that no reader sees
/// half of it. Missing is fine.
pub fn remove_tree(path: &Path, trash: &Path) -> io::Result<()> {
    match rename(path, trash) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(()) => discard_tree(trash),
    }
}

/// Removes a tree where it lies, piece by piece. Missing is fine, also while it goes on; what
/// somebody adds in the meantime (a lock, by a path that was resolved before) goes as well.
pub fn discard_tree(path: &Path) -> io::Result<()> {
    const TRIES_MAX: usize = 100;
    for _ in 1..TRIES_MAX {
        match discard_once(path) {
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {}
            other => return other,
        }
    }
    discard_once(path)
}

fn discard_once(path: &Path) -> io::Result<()> {
    let kind = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata.file_type(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if !kind.is_dir() {
        return unlink(path).map(drop);
    }
    match fs::read_dir(path) {
        Ok(entries) => {
            for entry in entries {
                discard_tree(&entry?.path())?;
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    }
    remove_directory(path).map(drop)
}

/// A file being written beside its final name; dropped without [`commit`](Pending::commit) it is gone.
#[derive(Debug)]
pub struct Pending {
    file: File,
    path: PathBuf,
    target: PathBuf,
    committed: bool,
}

impl Pending {
    /// Creates a file with an unpredictable name in the directory of `target`.
    pub fn create(target: &Path, mode: u32) -> io::Result<Self> {
        let name = target.file_name().unwrap_or_default().to_string_lossy();
        let path = parent(target).join(format!(".{name}.{}", random_name()?));
        let file = create_new(&path, mode)?;
        let pending = Self { file, path, target: target.to_owned(), committed: false };
        set_mode(&pending.file, mode)?;
        Ok(pending)
    }

    /// The open file.
    pub fn file(&mut self) -> &mut File {
        &mut self.file
    }

    /// Syncs and gives the file its final name.
    pub fn commit(mut self) -> io::Result<()> {
        publish(&self.file, &self.path, &self.target)?;
        self.committed = true;
        Ok(())
    }

    /// Like [`commit`](Self::commit), but keeps a file that has the final name already. Returns
    /// whether this one got it.
    pub fn commit_new(self) -> io::Result<bool> {
        sync(&self.file)?;
        match link(&self.path, &self.target) {
            Ok(()) => sync_parent(&self.target).map(|()| true),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(error),
        }
    }
}

impl Write for Pending {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let _made = file_point(Call::Write, &self.file)?;
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if !self.committed {
            // Nothing can be told to anybody here; a name that stays is only litter.
            let _ = unlink(&self.path);
        }
    }
}

/// Sixteen hexadecimal digits that nobody can predict, for names of temporary things.
pub fn random_name() -> io::Result<String> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    Ok(format!("{:016x}", u64::from_ne_bytes(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(directory: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(directory)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn replacing_a_file_leaves_the_new_bytes_and_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        replace(&path, b"one", 0o600).unwrap();
        replace(&path, b"two", 0o644).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o644);
        assert_eq!(names(directory.path()), ["file"]);
    }

    #[test]
    fn replacing_a_file_unsynced_leaves_the_new_bytes_and_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let (path, temporary) = (directory.path().join("file"), directory.path().join("new"));
        replace_unsynced(&path, b"one", 0o600).unwrap();
        replace_unsynced(&path, b"two", 0o644).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o644);
        replace_through_unsynced(&temporary, &path, b"three", 0o600).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"three");
        assert_eq!(names(directory.path()), ["file"]);
    }

    #[test]
    fn a_pending_file_that_is_dropped_never_was() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        let mut pending = Pending::create(&path, 0o600).unwrap();
        pending.write_all(b"half").unwrap();
        drop(pending);
        assert!(names(directory.path()).is_empty());
    }

    #[test]
    fn commit_new_keeps_what_is_there() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        let pending = |bytes: &[u8]| {
            let mut pending = Pending::create(&path, 0o600).unwrap();
            pending.write_all(bytes).unwrap();
            pending.commit_new().unwrap()
        };
        assert!(pending(b"first"));
        assert!(!pending(b"second"));
        assert_eq!(fs::read(&path).unwrap(), b"first");
        assert_eq!(names(directory.path()), ["file"]);
    }

    #[test]
    fn removing_a_tree_takes_all_of_it_and_a_missing_one_is_fine() {
        let directory = tempfile::tempdir().unwrap();
        let (tree, trash) = (directory.path().join("tree"), directory.path().join("trash"));
        create_directories(&tree.join("a/b"), 0o700).unwrap();
        fs::write(tree.join("a/b/c"), b"x").unwrap();
        std::os::unix::fs::symlink("/", tree.join("a/link")).unwrap();
        remove_tree(&tree, &trash).unwrap();
        remove_tree(&tree, &trash).unwrap();
        assert!(names(directory.path()).is_empty());
    }

    #[test]
    fn exchanged_names_change_places() {
        let directory = tempfile::tempdir().unwrap();
        let (one, other) = (directory.path().join("one"), directory.path().join("other"));
        fs::write(&one, b"1").unwrap();
        fs::write(&other, b"2").unwrap();
        exchange(&one, &other).unwrap();
        assert_eq!(fs::read(&one).unwrap(), b"2");
    }
}
