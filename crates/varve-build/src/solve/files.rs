//! Files that can be copied from: a context, the layers of a step or an image, an archive.

use std::io::Read;

use varve_fs::tar::{Device, Time, Xattr};
use varve_types::Digest;

use super::Fault;
use crate::select::Listing;

/// A tree of files that does not change while it is used. Paths are as [`Listing`] has them:
/// relative to the root, without a slash at either end; the root is the empty path.
pub trait Files: Send + Sync {
    /// All paths, those that are ignored left out.
    fn listing(&self) -> &Listing;

    /// What stands at a path of the listing; links are not followed.
    fn status(&self, path: &str) -> Result<FileStatus, Fault>;

    /// The bytes of a regular file.
    fn open(&self, path: &str) -> Result<Box<dyn Read + Send + '_>, Fault>;

    /// The digest of the bytes of a regular file; remembered where that can be done safely.
    fn digest(&self, path: &str) -> Result<Digest, Fault>;

    /// Whether the bytes of a regular file were read in an earlier build and need not be again.
    fn is_remembered(&self, _path: &str) -> bool {
        false
    }

    /// The one file that there is, of files that are one file: copied, it needs no directory.
    fn only_file(&self) -> Option<&str> {
        None
    }

    /// Where they come from, which decides what becomes of their times.
    fn origin(&self) -> Origin {
        Origin::Context
    }
}

/// Where files come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// From outside: a directory, an archive, a checkout. Their times say nothing.
    Context,
    /// From layers: their times are content, as far as they are not later than the build's.
    Layers,
}

/// What is known of a file but its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileStatus {
    /// What it is.
    pub kind: FileKind,
    /// The lower twelve bits of the mode.
    pub mode: u32,
    /// The owner; 0 of files from a context.
    pub uid: u32,
    /// The group; 0 of files from a context.
    pub gid: u32,
    /// When the content last changed: in a context really, in a layer as its tar has it.
    pub mtime: Time,
    /// When it really did, of what a build has put into a layer with another time.
    pub real_mtime: Option<Time>,
    /// Extended attributes, sorted by name; none of files from a context.
    pub xattrs: Vec<Xattr>,
    /// The same number for all names of one file, where it has several.
    pub links: Option<u64>,
}

impl FileStatus {
    /// Something of root's, without a mode, of 1970.
    pub fn of(kind: FileKind) -> Self {
        let (xattrs, mtime) = (Vec::new(), Time::default());
        let (mode, uid, gid, real_mtime, links) = (0, 0, 0, None, None);
        Self { kind, mode, uid, gid, mtime, real_mtime, xattrs, links }
    }
}

/// What a file is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileKind {
    /// A directory.
    Directory,
    /// A regular file of so many bytes.
    File(u64),
    /// A symbolic link and its text.
    Symlink(Vec<u8>),
    /// A character device.
    CharacterDevice(Device),
    /// A block device.
    BlockDevice(Device),
    /// A named pipe.
    Fifo,
}
