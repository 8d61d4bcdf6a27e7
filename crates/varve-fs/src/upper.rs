//! The upper directory of an overlay made into a layer's tar.
//!
//! The tar is as Docker's: names without `./`, siblings in order, whole seconds, whiteouts as
//! `.wh.NAME`, the root itself left out. It depends on what is in the directory and nothing else.
//! Each directory is opened beneath the upper's handle through no symbolic link, and each file is
//! read by the same handle by which it was looked at.

mod changes;
mod copy;
mod error;
mod size;
mod xattrs;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fs::File,
    io::Write,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags, Stat};
use varve_types::limits;

use crate::{
    overlay::Marks,
    tar::{Device, EntryKind, NewEntry, Time, Writer, Xattr},
};

pub use changes::{UpperChange, changes};
pub use copy::write_copy;
pub use error::UpperError;
pub use size::{Usage, size, usage};
use xattrs::Xattrs;

const WHITEOUT_PREFIX: &[u8] = b".wh.";
const OPAQUE_MARKER: &[u8] = b".wh..wh..opq";

/// Which times of files get into a tar. They are whole seconds there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Times<'a> {
    /// Their own.
    Own,
    /// Their own, and one that stands for all that are of no meaning.
    Until {
        /// This one, which nothing is later than.
        latest: Time,
        /// Times that become it, too.
        besides: &'a BTreeSet<Time>,
    },
}

impl Times<'_> {
    fn of(self, real: Time) -> Time {
        let own = Time { seconds: real.seconds, nanoseconds: 0 };
        match self {
            Self::Own => own,
            Self::Until { latest, besides } => {
                let latest = Time { seconds: latest.seconds, nanoseconds: 0 };
                if besides.contains(&real) { latest } else { own.min(latest) }
            }
        }
    }
}

/// A layer that was written.
#[derive(Debug)]
pub struct Written<W> {
    /// What it was written to.
    pub target: W,
    /// Sockets, which are left out.
    pub sockets: u64,
    /// The times of files whose times in the tar are others, by path in the tar, without a slash at
    /// either end. Whiteouts have none.
    pub real_times: BTreeMap<Vec<u8>, Time>,
}

/// Writes the layer that an upper directory is, whose overlay was mounted with `marks`, and gives
/// the target back with the number of sockets that are left out. Nothing may change the directory
/// meanwhile; what is read is a valid tar even so, or an error.
pub fn write_layer<W: Write>(
    upper: BorrowedFd,
    marks: Marks,
    target: W,
) -> Result<(W, u64), UpperError> {
    let written = write(upper, Xattrs::new(marks), (Times::Own, None), target)?;
    Ok((written.target, written.sockets))
}

/// [`write_layer`], with a rule for the times of files, and with their real ones.
pub fn write_layer_with<W: Write>(
    upper: BorrowedFd,
    marks: Marks,
    times: Times<'_>,
    target: W,
) -> Result<Written<W>, UpperError> {
    write(upper, Xattrs::new(marks), (times, Some(BTreeMap::new())), target)
}

/// Writes what an overlay shows that was mounted with `marks`, as [`write_layer`] does.
pub fn write_shown<W: Write>(
    root: BorrowedFd,
    marks: Marks,
    target: W,
) -> Result<(W, u64), UpperError> {
    let written = write(root, Xattrs::shown(marks), (Times::Own, None), target)?;
    Ok((written.target, written.sockets))
}

fn write<W: Write>(
    upper: BorrowedFd,
    xattrs: Xattrs,
    (times, real_times): (Times<'_>, Option<BTreeMap<Vec<u8>, Time>>),
    target: W,
) -> Result<Written<W>, UpperError> {
    let mut layer = Layer {
        upper,
        prefix: Vec::new(),
        what: What::Changes,
        xattrs,
        writer: Writer::new(target),
        links: HashMap::new(),
        sockets: 0,
        times,
        real_times,
    };
    layer.walk()?;
    let target = layer.writer.finish().map_err(UpperError::Write)?;
    let real_times = layer.real_times.unwrap_or_default();
    Ok(Written { target, sockets: layer.sockets, real_times })
}

/// What a directory is to be taken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    /// An overlay's upper one, of one file system.
    Changes,
    /// Files like any others, with what is mounted among them.
    Files,
}

struct Layer<'a, W> {
    upper: BorrowedFd<'a>,
    /// What all names in the tar begin with.
    prefix: Vec<u8>,
    what: What,
    xattrs: Xattrs,
    writer: Writer<W>,
    /// Of files with several names, device and number, with the name that was written.
    links: HashMap<(u64, u64), Vec<u8>>,
    sockets: u64,
    times: Times<'a>,
    /// Where they are wanted.
    real_times: Option<BTreeMap<Vec<u8>, Time>>,
}

/// A directory on the way down: the length of its path, and the names still to come.
type Frame = (usize, std::vec::IntoIter<Vec<u8>>);

/// What is the same of whatever a file is.
struct Node<'a> {
    path: &'a [u8],
    stat: &'a Stat,
    xattrs: &'a [Xattr],
    /// Its time in the tar.
    mtime: Time,
}

impl<W: Write> Layer<'_, W> {
    fn walk(&mut self) -> Result<(), UpperError> {
        let mut path = Vec::new();
        let root = open_within(self.upper, &path, self.what)?;
        let mut frames: Vec<Frame> = vec![(0, names(&root, &path)?)];
        // Only the handle of where we are is kept: ways may be longer than handles are many.
        let mut here = Some(root);
        while let Some((length, names_here)) = frames.last_mut() {
            path.truncate(*length);
            let Some(name) = names_here.next() else {
                frames.pop();
                here = None;
                continue;
            };
            let directory = match here.take() {
                Some(directory) => directory,
                None => open_within(self.upper, &path, self.what)?,
            };
            if !path.is_empty() {
                path.push(b'/');
            }
            path.extend_from_slice(&name);
            if path.len() > limits::PATH_SIZE_BYTES_MAX {
                let limit = limits::PATH_SIZE_BYTES_MAX as u64;
                return Err(UpperError::Limit { what: "bytes of a path", limit });
            }
            if self.entry(directory.as_fd(), &name, &path)? {
                let inner = open_within(self.upper, &path, self.what)?;
                frames.push((path.len(), names(&inner, &path)?));
                here = Some(inner);
            } else {
                here = Some(directory);
            }
        }
        Ok(())
    }

    /// Writes what has a name. Returns whether it is a directory.
    fn entry(
        &mut self,
        directory: BorrowedFd,
        name: &[u8],
        path: &[u8],
    ) -> Result<bool, UpperError> {
        let failed = UpperError::io("read", path);
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let node = rustix::fs::openat(directory, name, flags, Mode::empty()).map_err(failed)?;
        let stat = rustix::fs::statat(&node, "", AtFlags::EMPTY_PATH).map_err(failed)?;
        let kind = FileType::from_raw_mode(stat.st_mode);
        let is_device = kind == FileType::CharacterDevice;
        let has_whiteouts = self.what == What::Changes;
        if has_whiteouts && is_device && stat.st_rdev == 0 {
            self.whiteout(path, name, &stat)?;
            return Ok(false);
        }
        // The one way by which these calls reach a handle that is open for nothing.
        let handle = format!("/proc/self/fd/{}", node.as_raw_fd());
        let found = self.xattrs.read(&handle, path)?;
        if has_whiteouts && found.is_whiteout && kind == FileType::RegularFile && stat.st_size == 0
        {
            self.whiteout(path, name, &stat)?;
            return Ok(false);
        }
        if has_whiteouts && name.starts_with(WHITEOUT_PREFIX) {
            return Err(UpperError::NamedLikeWhiteout { path: path.to_vec() });
        }
        let path = &*[&*self.prefix, path].concat();
        let stat = found.facts(stat);
        let node_of = Node { path, stat: &stat, xattrs: &found.kept, mtime: self.mtime(&stat) };
        let real = real_time(&stat);
        if let Some(real_times) = &mut self.real_times
            && kind != FileType::Socket
            && real != node_of.mtime
        {
            real_times.insert(path.to_vec(), real);
        }
        if kind == FileType::Directory {
            self.directory(&node_of, found.is_opaque)?;
            return Ok(true);
        }
        if kind == FileType::Socket {
            self.sockets += 1;
            return Ok(false);
        }
        if stat.st_nlink > 1 {
            let id = (stat.st_dev, stat.st_ino);
            if let Some(first) = self.links.get(&id) {
                let entry = NewEntry { link_target: first, ..node_of.entry(EntryKind::HardLink) };
                // The first name's entry has them.
                let entry = NewEntry { xattrs: &[], ..entry };
                self.writer.append_bytes(&entry, b"").map_err(UpperError::Write)?;
                return Ok(false);
            }
            self.links.insert(id, path.to_vec());
        }
        self.first_name(&node_of, kind, &node, &handle)?;
        Ok(false)
    }

    /// Writes what is no directory and was not written yet.
    fn first_name(
        &mut self,
        node: &Node,
        kind: FileType,
        opened: &OwnedFd,
        handle: &str,
    ) -> Result<(), UpperError> {
        let failed = UpperError::io("read", node.path);
        let device = Device {
            major: rustix::fs::major(node.stat.st_rdev),
            minor: rustix::fs::minor(node.stat.st_rdev),
        };
        let target;
        let entry = match kind {
            FileType::RegularFile => {
                let flags = OFlags::RDONLY | OFlags::CLOEXEC;
                let file = rustix::fs::open(handle, flags, Mode::empty()).map_err(failed)?;
                let size = node.stat.st_size as u64;
                let entry = NewEntry { size, ..node.entry(EntryKind::File) };
                let written = self.writer.append(&entry, &mut File::from(file));
                return written.map_err(UpperError::Write);
            }
            FileType::Symlink => {
                target = rustix::fs::readlinkat(opened, "", Vec::new()).map_err(failed)?;
                NewEntry { link_target: target.as_bytes(), ..node.entry(EntryKind::Symlink) }
            }
            FileType::CharacterDevice => {
                NewEntry { device, ..node.entry(EntryKind::CharacterDevice) }
            }
            FileType::BlockDevice => NewEntry { device, ..node.entry(EntryKind::BlockDevice) },
            FileType::Fifo => node.entry(EntryKind::Fifo),
            _ => return Err(UpperError::UnknownType { path: node.path.to_vec() }),
        };
        self.writer.append_bytes(&entry, b"").map_err(UpperError::Write)
    }

    fn directory(&mut self, node: &Node, is_opaque: bool) -> Result<(), UpperError> {
        let entry = node.entry(EntryKind::Directory);
        self.writer.append_bytes(&entry, b"").map_err(UpperError::Write)?;
        if is_opaque {
            let path = [node.path, b"/", OPAQUE_MARKER].concat();
            let (mode, mtime) = (entry.mode & 0o777, Time::default());
            let kind = EntryKind::File;
            let marker = NewEntry { path: &path, kind, mode, mtime, xattrs: &[], ..entry };
            self.writer.append_bytes(&marker, b"").map_err(UpperError::Write)?;
        }
        Ok(())
    }

    fn mtime(&self, stat: &Stat) -> Time {
        self.times.of(real_time(stat))
    }

    fn whiteout(&mut self, path: &[u8], name: &[u8], stat: &Stat) -> Result<(), UpperError> {
        let parent = &path[..path.len() - name.len()];
        let path = [parent, WHITEOUT_PREFIX, name].concat();
        let node = Node { path: &path, stat, xattrs: &[], mtime: self.mtime(stat) };
        let entry = NewEntry { mode: 0o600, ..node.entry(EntryKind::File) };
        self.writer.append_bytes(&entry, b"").map_err(UpperError::Write)
    }
}

impl<'a> Node<'a> {
    fn entry(&self, kind: EntryKind) -> NewEntry<'a> {
        NewEntry {
            path: self.path,
            kind,
            mode: self.stat.st_mode & 0o7777,
            uid: self.stat.st_uid,
            gid: self.stat.st_gid,
            mtime: self.mtime,
            link_target: b"",
            device: Device::default(),
            xattrs: self.xattrs,
            size: 0,
        }
    }
}

fn real_time(stat: &Stat) -> Time {
    Time { seconds: stat.st_mtime, nanoseconds: stat.st_mtime_nsec as u32 }
}

/// Opens a directory below the upper one, through no symbolic link.
fn open_directory(upper: BorrowedFd, path: &[u8]) -> Result<OwnedFd, UpperError> {
    open_within(upper, path, What::Changes)
}

fn open_within(upper: BorrowedFd, path: &[u8], what: What) -> Result<OwnedFd, UpperError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut how = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    if what == What::Changes {
        how |= ResolveFlags::NO_XDEV;
    }
    let name = if path.is_empty() { b"." } else { path };
    rustix::fs::openat2(upper, name, flags, Mode::empty(), how)
        .map_err(UpperError::io("open", path))
}

/// The names in a directory, in the order of their bytes.
fn names(directory: &OwnedFd, path: &[u8]) -> Result<std::vec::IntoIter<Vec<u8>>, UpperError> {
    let failed = UpperError::io("list", path);
    let mut names = Vec::new();
    for entry in Dir::read_from(directory).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name().to_bytes().to_vec();
        if name != b"." && name != b".." {
            names.push(name);
        }
    }
    names.sort_unstable();
    Ok(names.into_iter())
}
