//! A tar's entries put into a directory among what is there already: Docker's `cp` and its rules.
//!
//! Whatever the tar says and whoever changes the directory meanwhile, nothing is written outside of
//! it: names are single names in handles of directories, which are opened beneath the target
//! through no symbolic link (`openat2`). What an entry replaces is removed first, never followed
//! and never written through.

use std::{
    fs::File,
    io::{self, Read},
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
};

use rustix::{
    fs::{
        AtFlags, FileType, Gid, Mode, OFlags, ResolveFlags, Timespec, Timestamps, Uid, XattrFlags,
    },
    io::Errno,
};
use varve_types::{Kind, Printable};

use crate::{
    layer::LayerError,
    owners::{self, Missing, Owner},
    tar::{Entry, EntryKind, Reader, lossy},
};

/// How to unpack.
#[derive(Debug, Clone, Copy)]
pub struct Unpacking {
    /// Whether files get the owners that the tar names; otherwise they are the caller's.
    pub keep_owners: bool,
}

/// Why a tar was not unpacked. What came before the entry that failed is there.
#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    /// The tar cannot be read.
    #[error(transparent)]
    Tar(#[from] LayerError),
    /// A directory is in the way of something else. The text is Docker's.
    #[error("cannot overwrite directory {:?} with non-directory {:?}", shown(path), shown(path))]
    OverDirectory {
        /// What is in the way.
        path: Vec<u8>,
    },
    /// Something else is in the way of a directory. The text is Docker's.
    #[error("cannot overwrite non-directory {:?} with directory {:?}", shown(path), shown(path))]
    OverFile {
        /// What is in the way.
        path: Vec<u8>,
    },
    /// A sparse file: nobody who copies makes them.
    #[error("{:?} is a sparse file, which cannot be copied from a tar", shown(path))]
    Sparse {
        /// The file.
        path: Vec<u8>,
    },
    /// The kernel refused. `action` is a bare verb.
    #[error("cannot {action} `{}`", Printable(&lossy(path)))]
    Io {
        /// What was tried.
        action: &'static str,
        /// With what, below the target.
        path: Vec<u8>,
        /// What the kernel says.
        source: io::Error,
    },
}

impl UnpackError {
    /// Classifies the error.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Tar(error) => error.kind(),
            Self::OverDirectory { .. } | Self::OverFile { .. } => Kind::Conflict,
            Self::Sparse { .. } => Kind::Unsupported,
            Self::Io { source, .. } => match source.kind() {
                io::ErrorKind::PermissionDenied => Kind::Denied,
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Kind::Exhausted,
                _ => Kind::Internal,
            },
        }
    }
}

fn shown(path: &[u8]) -> String {
    Printable(&lossy(path)).to_string()
}

/// Unpacks a tar from a stream. Entries replace what has their name, but no directory something
/// else nor the reverse; directories that are there are filled. Parents that the tar leaves out
/// are made.
pub fn unpack(tar: impl Read, target: BorrowedFd, how: Unpacking) -> Result<(), UnpackError> {
    let mut reader = Reader::new(tar);
    let mut unpack = Unpack { target, how, directories: Vec::new() };
    while let Some(mut member) = reader.next()? {
        let entry = member.entry().clone();
        unpack.entry(&entry, &mut member)?;
    }
    unpack.finish()
}

struct Unpack<'a> {
    target: BorrowedFd<'a>,
    how: Unpacking,
    /// Directories, which get their times when nothing is made in them any more.
    directories: Vec<Entry>,
}

impl Unpack<'_> {
    fn entry(&mut self, entry: &Entry, data: &mut dyn Read) -> Result<(), UnpackError> {
        let (parent, name) = split(&entry.path);
        if name.is_empty() {
            // The directory itself: it is there, and stays as it is but for what is in it.
            return Ok(());
        }
        if entry.sparse.is_some() {
            return Err(UnpackError::Sparse { path: entry.path.clone() });
        }
        let directory = self.parent(parent)?;
        let is_there = Self::make_room(directory.as_fd(), name, entry)?;
        let failed = |action| at(action, &entry.path);
        match entry.kind {
            EntryKind::Directory => {
                if !is_there {
                    rustix::fs::mkdirat(&directory, name, Mode::RWXU)
                        .map_err(failed("create directory"))?;
                }
                self.attributes_of_node(directory.as_fd(), name, entry)?;
                self.directories.push(entry.clone());
                return Ok(());
            }
            EntryKind::File => return self.file(directory.as_fd(), name, entry, data),
            EntryKind::HardLink => {
                let (from, from_name) = split(&entry.link_target);
                let from = self.open(from).map_err(failed("link"))?;
                rustix::fs::linkat(&from, from_name, &directory, name, AtFlags::empty())
                    .map_err(failed("link"))?;
                return Ok(());
            }
            EntryKind::Symlink => rustix::fs::symlinkat(&*entry.link_target, &directory, name)
                .map_err(failed("create"))?,
            EntryKind::CharacterDevice => {
                Self::node(directory.as_fd(), name, entry, FileType::CharacterDevice)?;
            }
            EntryKind::BlockDevice => {
                Self::node(directory.as_fd(), name, entry, FileType::BlockDevice)?;
            }
            EntryKind::Fifo => Self::node(directory.as_fd(), name, entry, FileType::Fifo)?,
            EntryKind::Socket => return Ok(()),
        }
        self.attributes_of_node(directory.as_fd(), name, entry)
    }

    /// Opens an entry's parent; makes it where the tar has not named it.
    fn parent(&self, path: &[u8]) -> Result<OwnedFd, UnpackError> {
        match self.open(path) {
            Err(Errno::NOENT) => {}
            opened => return opened.map_err(at("open", path)),
        }
        for end in path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at) {
            self.make_parent(&path[..end])?;
        }
        self.make_parent(path)?;
        self.open(path).map_err(at("open", path))
    }

    fn make_parent(&self, path: &[u8]) -> Result<(), UnpackError> {
        let (above, name) = split(path);
        let above = self.open(above).map_err(at("open", path))?;
        match rustix::fs::mkdirat(&above, name, Mode::from(0o755)) {
            Err(Errno::EXIST) => Ok(()),
            made => made.map_err(at("create directory", path)),
        }
    }

    fn open(&self, path: &[u8]) -> Result<OwnedFd, Errno> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let how = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        let path = if path.is_empty() { b"." } else { path };
        rustix::fs::openat2(self.target, path, flags, Mode::empty(), how)
    }

    /// Removes what is in the way. Returns whether a directory is there that is to be one.
    fn make_room(directory: BorrowedFd, name: &[u8], entry: &Entry) -> Result<bool, UnpackError> {
        let failed = at("replace", &entry.path);
        let stat = match rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => return Ok(false),
            stat => stat.map_err(&failed)?,
        };
        let path = || entry.path.clone();
        let is_directory = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
        match (is_directory, entry.kind == EntryKind::Directory) {
            (true, true) => Ok(true),
            (true, false) => Err(UnpackError::OverDirectory { path: path() }),
            (false, true) => Err(UnpackError::OverFile { path: path() }),
            (false, false) => {
                rustix::fs::unlinkat(directory, name, AtFlags::empty()).map_err(&failed)?;
                Ok(false)
            }
        }
    }

    fn file(
        &self,
        directory: BorrowedFd,
        name: &[u8],
        entry: &Entry,
        data: &mut dyn Read,
    ) -> Result<(), UnpackError> {
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::openat(directory, name, flags, Mode::RUSR | Mode::WUSR);
        let mut file = File::from(file.map_err(at("create", &entry.path))?);
        io::copy(data, &mut file).map_err(|source| UnpackError::Io {
            action: "write",
            path: entry.path.clone(),
            source,
        })?;
        self.attributes(file.as_fd(), entry)
    }

    fn node(
        directory: BorrowedFd,
        name: &[u8],
        entry: &Entry,
        kind: FileType,
    ) -> Result<(), UnpackError> {
        let number = rustix::fs::makedev(entry.device.major, entry.device.minor);
        rustix::fs::mknodat(directory, name, kind, Mode::RUSR, number)
            .map_err(at("create", &entry.path))
    }

    /// Attributes of an open file. The owner goes first: to change it takes set-user-ID bits and
    /// capabilities away.
    fn attributes(&self, file: BorrowedFd, entry: &Entry) -> Result<(), UnpackError> {
        let failed = |action| at(action, &entry.path);
        let missing = self.give(entry, |user, group| rustix::fs::fchown(file, user, group))?;
        for (name, value) in &entry.xattrs {
            // As in Docker, what the file system or the user may not have is left out.
            match rustix::fs::fsetxattr(file, &**name, value, XattrFlags::empty()) {
                Err(Errno::NOTSUP | Errno::PERM | Errno::RANGE) => {}
                set => set.map_err(failed("set an attribute of"))?,
            }
        }
        if missing.any() {
            rustix::fs::fsetxattr(file, owners::ATTRIBUTE, &kept(entry), XattrFlags::empty())
                .map_err(failed("keep the owner of"))?;
        }
        let mode = Mode::from(missing.safe(entry.mode, false));
        rustix::fs::fchmod(file, mode).map_err(failed("change the mode of"))?;
        rustix::fs::futimens(file, &times(entry)).map_err(failed("change the time of"))
    }

    /// Gives a file the owner that the tar names, where that is wanted and as far as it can be.
    fn give(
        &self,
        entry: &Entry,
        set: impl Fn(Option<Uid>, Option<Gid>) -> Result<(), Errno>,
    ) -> Result<Missing, UnpackError> {
        if !self.how.keep_owners {
            return Ok(Missing::default());
        }
        let given = owners::give((entry.uid, entry.gid), set);
        given.map_err(at("change the owner of", &entry.path))
    }

    /// Attributes of something that must not be opened to be read or written.
    fn attributes_of_node(
        &self,
        directory: BorrowedFd,
        name: &[u8],
        entry: &Entry,
    ) -> Result<(), UnpackError> {
        let failed = |action| at(action, &entry.path);
        let no_follow = AtFlags::SYMLINK_NOFOLLOW;
        let missing = self.give(entry, |user, group| {
            rustix::fs::chownat(directory, name, user, group, no_follow)
        })?;
        if entry.kind != EntryKind::Symlink {
            let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let node = rustix::fs::openat(directory, name, flags, Mode::empty());
            let node = node.map_err(failed("open"))?;
            // The one way by which this call reaches a handle that is open for nothing.
            let path = format!("/proc/self/fd/{}", node.as_raw_fd());
            for (name, value) in &entry.xattrs {
                match rustix::fs::setxattr(path.as_str(), &**name, value, XattrFlags::empty()) {
                    Err(Errno::NOTSUP | Errno::PERM | Errno::RANGE) => {}
                    set => set.map_err(failed("set an attribute of"))?,
                }
            }
            let is_directory = entry.kind == EntryKind::Directory;
            if missing.any() && is_directory {
                let (name, flags) = (owners::ATTRIBUTE, XattrFlags::empty());
                rustix::fs::setxattr(path.as_str(), name, &kept(entry), flags)
                    .map_err(failed("keep the owner of"))?;
            }
            let mode = Mode::from(missing.safe(entry.mode, is_directory));
            rustix::fs::chmod(path.as_str(), mode).map_err(failed("change the mode of"))?;
        }
        rustix::fs::utimensat(directory, name, &times(entry), no_follow)
            .map_err(failed("change the time of"))
    }

    fn finish(self) -> Result<(), UnpackError> {
        for entry in self.directories.iter().rev() {
            let (parent, name) = split(&entry.path);
            let failed = || at("change the time of", &entry.path);
            let directory = self.open(parent).map_err(failed())?;
            let no_follow = AtFlags::SYMLINK_NOFOLLOW;
            rustix::fs::utimensat(&directory, name, &times(entry), no_follow).map_err(failed())?;
        }
        Ok(())
    }
}

/// What is kept of an entry's owner beside a file that cannot belong to them.
fn kept(entry: &Entry) -> Vec<u8> {
    Owner { uid: entry.uid, gid: entry.gid, mode: entry.mode }.value()
}

fn at(action: &'static str, path: &[u8]) -> impl Fn(Errno) -> UnpackError {
    move |errno| UnpackError::Io { action, path: path.to_vec(), source: errno.into() }
}

fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|&byte| byte == b'/') {
        Some(slash) => (&path[..slash], &path[slash + 1..]),
        None => (b"", path),
    }
}

fn times(entry: &Entry) -> Timestamps {
    let time =
        Timespec { tv_sec: entry.mtime.seconds, tv_nsec: i64::from(entry.mtime.nanoseconds) as _ };
    Timestamps { last_access: time, last_modification: time }
}
