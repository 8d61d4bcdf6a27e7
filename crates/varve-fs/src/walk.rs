//! Walking a directory of the host with several threads: names and attributes, no bytes.
//!
//! Each directory is opened beneath the root's handle through no symbolic link, so that whoever
//! renames something meanwhile leads nobody out of it.

use std::{
    io,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::Path,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    thread,
};

use rustix::{
    fs::{AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags, Stat},
    io::Errno,
};
use varve_types::limits;

use crate::{
    root::Root,
    tar::{Device, Time},
};

/// Something in a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The path below the root, without a slash at either end.
    pub path: Vec<u8>,
    /// What it is.
    pub kind: FoundKind,
    /// The lower twelve bits of the mode.
    pub mode: u32,
    /// What changes when the file does.
    pub stamp: Stamp,
}

/// What is found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FoundKind {
    /// A directory.
    Directory,
    /// A regular file; its size is in the stamp.
    File,
    /// A symbolic link and its text.
    Symlink(Vec<u8>),
    /// A character device.
    CharacterDevice(Device),
    /// A block device.
    BlockDevice(Device),
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
}

/// What changes when a file does. Two equal stamps are one file with the same bytes, unless it was
/// written within the resolution of the file system's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stamp {
    /// The file system.
    pub device: u64,
    /// The file.
    pub inode: u64,
    /// Bytes of a file.
    pub size_bytes: u64,
    /// When its content changed.
    pub mtime: Time,
    /// When anything of it changed.
    pub ctime: Time,
}

/// What becomes of something that is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice<S> {
    /// It is left out, with all in it.
    Skip,
    /// It is told.
    Keep,
    /// It is told, and what is in it is found with this state. Of no directory, as `Keep`.
    Enter(S),
}

/// Why a walk ended early.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} `{}`", varve_types::Printable(&crate::tar::lossy(path)))]
pub struct WalkError {
    /// A bare verb: `open`, `list`, `read`.
    pub action: &'static str,
    /// The path below the root.
    pub path: Vec<u8>,
    /// Why.
    pub source: io::Error,
}

impl WalkError {
    fn io<E: Into<io::Error>>(action: &'static str, path: &[u8]) -> impl Fn(E) -> Self {
        move |error| Self { action, path: path.to_vec(), source: error.into() }
    }
}

impl Stamp {
    /// The stamp of what the kernel told of a file.
    pub fn of(stat: &Stat) -> Self {
        let time = |seconds, nanoseconds: u64| Time { seconds, nanoseconds: nanoseconds as u32 };
        Self {
            device: stat.st_dev,
            inode: stat.st_ino,
            size_bytes: stat.st_size.unsigned_abs(),
            mtime: time(stat.st_mtime, stat.st_mtime_nsec),
            ctime: time(stat.st_ctime, stat.st_ctime_nsec),
        }
    }

    /// The stamp of an open file.
    pub fn of_file(file: impl AsFd) -> io::Result<Self> {
        Ok(Self::of(&rustix::fs::fstat(file)?))
    }
}

/// Looks at one path without following it; `None` where nothing is. Nor is any other link on the
/// way followed.
pub fn look(root: &Root, path: &[u8]) -> Result<Option<Found>, WalkError> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match open(root, path, flags) {
        Ok(node) => {
            let stat = rustix::fs::statat(&node, c"", AtFlags::EMPTY_PATH)
                .map_err(WalkError::io("read", path))?;
            found(node.as_fd(), c"", path.to_vec(), &stat).map(Some)
        }
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(None),
        Err(errno) => Err(WalkError::io("open", path)(errno)),
    }
}

/// Finds all below a directory, at any depth, in no order. `choose` is asked of each with the state
/// of its directory, from several threads; `state` is that of the first.
pub fn walk<S: Send + Sync>(
    root: &Root,
    directory: &[u8],
    state: S,
    threads: usize,
    choose: &(dyn Fn(&S, &Found) -> Choice<S> + Sync),
) -> Result<Vec<Found>, WalkError> {
    let work = Work {
        queue: Mutex::new(Queue { waiting: vec![(directory.to_vec(), state)], ..Queue::new() }),
        changed: Condvar::new(),
    };
    let results = thread::scope(|scope| {
        let others: Vec<_> =
            (1..threads.max(1)).map(|_| scope.spawn(|| work.take_part(root, choose))).collect();
        let mut results = vec![work.take_part(root, choose)];
        for other in others {
            results.push(other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        }
        results
    });
    match work.lock().failure.take() {
        Some(failure) => Err(failure),
        None => Ok(results.into_iter().flatten().collect()),
    }
}

struct Work<S> {
    queue: Mutex<Queue<S>>,
    changed: Condvar,
}

struct Queue<S> {
    /// Directories that nobody has looked into yet.
    waiting: Vec<(Vec<u8>, S)>,
    /// Threads that are looking into one.
    busy: usize,
    failure: Option<WalkError>,
}

impl<S> Queue<S> {
    fn new() -> Self {
        Self { waiting: Vec::new(), busy: 0, failure: None }
    }
}

impl<S: Send + Sync> Work<S> {
    fn lock(&self) -> MutexGuard<'_, Queue<S>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take_part(
        &self,
        root: &Root,
        choose: &(dyn Fn(&S, &Found) -> Choice<S> + Sync),
    ) -> Vec<Found> {
        let mut all = Vec::new();
        let mut queue = self.lock();
        loop {
            if queue.failure.is_some() {
                return all;
            }
            let Some((path, state)) = queue.waiting.pop() else {
                if queue.busy == 0 {
                    self.changed.notify_all();
                    return all;
                }
                queue = self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            queue.busy += 1;
            drop(queue);
            let mut inner = Vec::new();
            let listed = list(root, &path, &state, choose, &mut all, &mut inner);
            queue = self.lock();
            queue.busy -= 1;
            queue.waiting.append(&mut inner);
            if let Err(failure) = listed {
                queue.failure.get_or_insert(failure);
            }
            self.changed.notify_all();
        }
    }
}

fn list<S>(
    root: &Root,
    path: &[u8],
    state: &S,
    choose: &(dyn Fn(&S, &Found) -> Choice<S> + Sync),
    all: &mut Vec<Found>,
    inner: &mut Vec<(Vec<u8>, S)>,
) -> Result<(), WalkError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = open(root, path, flags).map_err(WalkError::io("open", path))?;
    let failed = || WalkError::io("list", path);
    let mut directory = Dir::new(directory).map_err(failed())?;
    while let Some(entry) = directory.read() {
        let entry = entry.map_err(failed())?;
        let name = entry.file_name();
        let directory = directory.fd().map_err(failed())?;
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        let slash: &[u8] = if path.is_empty() { b"" } else { b"/" };
        let path = [path, slash, name.to_bytes()].concat();
        if path.len() > limits::PATH_SIZE_BYTES_MAX {
            return Err(WalkError::io("read", &path)(Errno::NAMETOOLONG));
        }
        let stat = match rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
            // Somebody has removed it since.
            Err(Errno::NOENT) => continue,
            stat => stat.map_err(WalkError::io("read", &path))?,
        };
        let found = found(directory, name, path, &stat)?;
        match choose(state, &found) {
            Choice::Skip => continue,
            Choice::Keep => {}
            Choice::Enter(state) => {
                if found.kind == FoundKind::Directory {
                    inner.push((found.path.clone(), state));
                }
            }
        }
        all.push(found);
    }
    Ok(())
}

fn open(root: &Root, path: &[u8], flags: OFlags) -> Result<OwnedFd, Errno> {
    let how = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    let path = Path::new(std::ffi::OsStr::from_bytes(if path.is_empty() { b"." } else { path }));
    rustix::fs::openat2(root, path, flags, Mode::empty(), how)
}

/// What a name in a directory is; or, without a name, what the handle is.
fn found(
    directory: BorrowedFd<'_>,
    name: &std::ffi::CStr,
    path: Vec<u8>,
    stat: &Stat,
) -> Result<Found, WalkError> {
    let device = || Device {
        major: rustix::fs::major(stat.st_rdev),
        minor: rustix::fs::minor(stat.st_rdev),
    };
    let kind = match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => FoundKind::Directory,
        FileType::RegularFile => FoundKind::File,
        FileType::Symlink => {
            let text = rustix::fs::readlinkat(directory, name, Vec::new());
            FoundKind::Symlink(text.map_err(WalkError::io("read", &path))?.into_bytes())
        }
        FileType::CharacterDevice => FoundKind::CharacterDevice(device()),
        FileType::BlockDevice => FoundKind::BlockDevice(device()),
        FileType::Fifo => FoundKind::Fifo,
        _ => FoundKind::Socket,
    };
    Ok(Found { path, kind, mode: stat.st_mode & 0o7777, stamp: Stamp::of(stat) })
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink, os::unix::net::UnixListener};

    use super::*;

    fn all(directory: &Path, threads: usize) -> Vec<(String, FoundKind)> {
        let root = Root::open(directory).unwrap();
        let found = walk(&root, b"", (), threads, &|(), _| Choice::Enter(())).unwrap();
        let mut found: Vec<_> = found.into_iter().map(|it| (text(&it.path), it.kind)).collect();
        found.sort_by(|one, other| one.0.cmp(&other.0));
        found
    }

    fn text(path: &[u8]) -> String {
        String::from_utf8(path.to_vec()).unwrap()
    }

    #[test]
    fn all_is_found_whatever_the_number_of_threads_and_no_link_is_followed() {
        let directory = tempfile::tempdir().unwrap();
        for number in 0..40 {
            let inner = directory.path().join(format!("a/b{number}/c"));
            fs::create_dir_all(&inner).unwrap();
            fs::write(inner.join("file"), "x").unwrap();
        }
        symlink("/", directory.path().join("a/root")).unwrap();
        UnixListener::bind(directory.path().join("socket")).unwrap();
        let one = all(directory.path(), 1);
        assert_eq!(one.len(), 1 + 40 * 3 + 2);
        assert!(one.contains(&("a/root".into(), FoundKind::Symlink(b"/".to_vec()))));
        assert!(one.contains(&("socket".into(), FoundKind::Socket)));
        for threads in [2, 7] {
            assert_eq!(all(directory.path(), threads), one);
        }
    }

    #[test]
    fn what_is_skipped_is_not_looked_into_and_state_goes_down() {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir_all(directory.path().join("skip/inner")).unwrap();
        fs::create_dir_all(directory.path().join("keep/inner/deep")).unwrap();
        let root = Root::open(directory.path()).unwrap();
        let choose = |depth: &usize, found: &Found| match found.path.as_slice() {
            b"skip" => Choice::Skip,
            _ if *depth == 1 => Choice::Keep,
            _ => Choice::Enter(depth + 1),
        };
        let found = walk(&root, b"", 0, 2, &choose).unwrap();
        let mut found: Vec<String> = found.iter().map(|found| text(&found.path)).collect();
        found.sort();
        assert_eq!(found, ["keep", "keep/inner"]);
    }

    #[test]
    fn looking_follows_no_link_on_the_way() {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("a")).unwrap();
        fs::write(directory.path().join("a/file"), "12").unwrap();
        symlink("a", directory.path().join("link")).unwrap();
        let root = Root::open(directory.path()).unwrap();
        let there = look(&root, b"a/file").unwrap().unwrap();
        assert_eq!((there.kind, there.stamp.size_bytes), (FoundKind::File, 2));
        let link = look(&root, b"link").unwrap().unwrap();
        assert_eq!(link.kind, FoundKind::Symlink(b"a".to_vec()));
        for path in [b"link/file".as_slice(), b"nothing", b"a/file/x", b"../x"] {
            assert!(look(&root, path).is_err() || look(&root, path).unwrap().is_none());
        }
    }

    #[test]
    fn a_directory_that_is_not_there_is_an_error_that_names_it() {
        let directory = tempfile::tempdir().unwrap();
        let root = Root::open(directory.path()).unwrap();
        let error = walk(&root, b"none", (), 2, &|(), _| Choice::Keep).unwrap_err();
        assert_eq!((error.action, error.path.as_slice()), ("open", b"none".as_slice()));
    }
}
