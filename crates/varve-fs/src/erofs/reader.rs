//! Reads indexes, a few bytes at a time.

mod attributes;
mod content;
mod directory;
mod tree;
mod visit;

use std::io;

use varve_types::limits;

use super::{
    IndexFault, ReadAt, ReadError,
    format::{
        DataLayout, HEAD_SIZE, INODE_COMPACT_SIZE, INODE_EXTENDED_SIZE, RawInode, RawKind,
        SLOT_SIZE, SUPERBLOCK_AT, Superblock, decode_device,
    },
};
use crate::tar::{Device, Time};

pub use attributes::Attributes;
pub use content::{Place, Range, Ranges};
pub use directory::{Child, Children};
pub use visit::Visit;

/// An index. Reads what it is asked for, and keeps nothing.
#[derive(Debug)]
pub struct Index<R> {
    source: R,
    superblock: Superblock,
    /// Where inodes begin.
    inodes_at: u64,
    size_bytes: u64,
}

/// Names an inode within its index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(u64);

/// A file of any kind, with its attributes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Its name within the index; files with several names have one.
    pub id: NodeId,
    /// What it is.
    pub kind: Kind,
    /// The lower twelve bits of the mode.
    pub mode: u32,
    /// The owner.
    pub uid: u32,
    /// The group.
    pub gid: u32,
    /// When the content last changed.
    pub mtime: Time,
    /// Its names; of a directory, two and the directories in it.
    pub links: u32,
    /// Bytes of a file or of a link's text, holes included.
    pub size: u64,
    raw: RawInode,
    /// Behind the inode, where attributes are.
    behind: u64,
}

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A character device.
    CharacterDevice(Device),
    /// A block device.
    BlockDevice(Device),
    /// A named pipe.
    Fifo,
    /// Hides what the layers below have of this name.
    Whiteout,
}

impl<R: ReadAt> Index<R> {
    /// Reads the superblock.
    pub fn open(source: R) -> Result<Self, ReadError> {
        let read = |bytes: &mut [u8]| {
            source
                .read_exact_at(bytes, SUPERBLOCK_AT)
                .map_err(|error| read_error(error, SUPERBLOCK_AT))
        };
        let mut head = [0; HEAD_SIZE];
        read(&mut head)?;
        let fault = |fault| ReadError::Damaged { offset: SUPERBLOCK_AT, fault };
        let mut bytes = vec![0; Superblock::encoded_size(&head).map_err(fault)?];
        read(&mut bytes)?;
        let superblock = Superblock::decode(&bytes).map_err(fault)?;
        let block_size = superblock.block_size.bytes();
        let (inodes_at, size_bytes) = (
            superblock.block_size.first_free() * block_size,
            u64::from(superblock.blocks) * block_size,
        );
        if size_bytes > limits::LAYER_INDEX_SIZE_BYTES_MAX {
            let limit = limits::LAYER_INDEX_SIZE_BYTES_MAX;
            return Err(ReadError::Limit { what: "bytes of a layer's index", limit });
        }
        Ok(Self { source, superblock, inodes_at, size_bytes })
    }

    /// What the index is read from.
    pub fn source(&self) -> &R {
        &self.source
    }

    /// The root directory.
    pub fn root(&self) -> NodeId {
        NodeId(u64::from(self.superblock.root))
    }

    /// Inodes that the index has.
    pub fn inode_count(&self) -> u64 {
        self.superblock.inodes
    }

    /// Bytes of the index.
    pub fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// Reads an inode.
    pub fn node(&self, id: NodeId) -> Result<Node, ReadError> {
        let offset = id.0.checked_mul(SLOT_SIZE).and_then(|at| at.checked_add(self.inodes_at));
        let offset = offset.ok_or_else(|| damaged(self.inodes_at, IndexFault::Range))?;
        let mut bytes = [0; INODE_EXTENDED_SIZE as usize];
        self.read(&mut bytes[..INODE_COMPACT_SIZE as usize], offset)?;
        let size = if RawInode::is_extended([bytes[0], bytes[1]]) {
            self.read(&mut bytes, offset)?;
            INODE_EXTENDED_SIZE
        } else {
            INODE_COMPACT_SIZE
        };
        let raw = RawInode::decode(&bytes[..size as usize], self.superblock.epoch)
            .map_err(|fault| damaged(offset, fault))?;
        let device = decode_device(raw.union);
        let kind = match raw.kind().ok_or_else(|| damaged(offset, IndexFault::Inode))? {
            RawKind::File => Kind::File,
            RawKind::Directory => Kind::Directory,
            RawKind::Symlink => Kind::Symlink,
            RawKind::CharacterDevice if device == Device::default() => Kind::Whiteout,
            RawKind::CharacterDevice => Kind::CharacterDevice(device),
            RawKind::BlockDevice => Kind::BlockDevice(device),
            RawKind::Fifo => Kind::Fifo,
        };
        Ok(Node {
            id,
            kind,
            mode: u32::from(raw.mode & 0o7777),
            uid: raw.uid,
            gid: raw.gid,
            mtime: raw.mtime,
            links: raw.links,
            size: raw.size,
            raw,
            behind: offset + size,
        })
    }

    /// What lies at a path below the root, without following symbolic links. The root is empty.
    pub fn lookup(&self, path: &[u8]) -> Result<Option<Node>, ReadError> {
        let mut node = self.node(self.root())?;
        for name in path.split(|&byte| byte == b'/').filter(|name| !name.is_empty()) {
            if node.kind != Kind::Directory {
                return Ok(None);
            }
            let Some(id) = self.child(&node, name)? else { return Ok(None) };
            node = self.node(id)?;
        }
        Ok(Some(node))
    }

    /// A symbolic link's text.
    pub fn read_link(&self, node: &Node) -> Result<Vec<u8>, ReadError> {
        let limit = limits::LINK_SIZE_BYTES_MAX as u64;
        if node.kind != Kind::Symlink {
            return Err(damaged(node.behind, IndexFault::Inode));
        }
        if node.size > limit {
            return Err(ReadError::Limit { what: "bytes of a symbolic link", limit });
        }
        self.own_data(node, 0, node.size)
    }

    /// Bytes of a directory or a link, which are never in the tar.
    fn own_data(&self, node: &Node, offset: u64, length: u64) -> Result<Vec<u8>, ReadError> {
        // We never write such, and to go through a long map for each block would take for ever.
        if node.raw.layout == DataLayout::Chunks {
            return Err(damaged(node.behind, IndexFault::Inode));
        }
        let mut data = vec![0; length as usize];
        let mut filled = 0;
        for range in self.ranges(node) {
            let range = range?;
            let (start, end) = (offset + filled, offset + length);
            let range_end = range.offset.saturating_add(range.length);
            if range_end <= start {
                continue;
            }
            if start >= end {
                break;
            }
            let Place::Index(place) = range.place else {
                return Err(damaged(node.behind, IndexFault::Range));
            };
            let size = range_end.min(end) - start;
            let into = &mut data[filled as usize..(filled + size) as usize];
            self.read(into, place + (start - range.offset))?;
            filled += size;
        }
        Ok(data)
    }

    fn block_size(&self) -> u64 {
        self.superblock.block_size.bytes()
    }

    fn read(&self, buffer: &mut [u8], offset: u64) -> Result<(), ReadError> {
        let end = offset.checked_add(buffer.len() as u64);
        if end.is_none_or(|end| end > self.size_bytes) {
            return Err(damaged(offset, IndexFault::Range));
        }
        self.source.read_exact_at(buffer, offset).map_err(|error| read_error(error, offset))
    }
}

fn damaged(offset: u64, fault: IndexFault) -> ReadError {
    ReadError::Damaged { offset, fault }
}

fn read_error(error: io::Error, offset: u64) -> ReadError {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => damaged(offset, IndexFault::End),
        _ => ReadError::Read(error),
    }
}
