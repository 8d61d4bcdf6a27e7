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
    /// When the content last changed, really.
    pub mtime: Time,
    /// Extended attributes, sorted by name; none of files from a context.
    pub xattrs: Vec<Xattr>,
    /// The same number for all names of one file, where it has several.
    pub links: Option<u64>,
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
