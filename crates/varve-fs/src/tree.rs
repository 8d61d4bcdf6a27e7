//! The tree of files that a layer describes.
//!
//! A [`Tree`] is what is left when all entries of a layer's tar have been applied one after the
//! other to nothing: the last one of a name wins, hard links are further names of one inode, and
//! what the layer hides of the layers below is a node like any other. It says where in the tar
//! each file's data lies, and holds none of it.
//!
//! ```text
//! names:  Tree ── root inode ── children by name ── inode ── …
//! data:   inode ── where in the uncompressed tar its bytes are
//! ```
//!
//! # Invariants
//!
//! 1. The root is a directory; every inode reached from it is reached through directories.
//! 2. A directory is reached through one name only.
//! 3. Children are in the order of their names' bytes.

mod builder;
mod edit;
mod find;
mod names;
mod trail;

use std::collections::BTreeSet;

use crate::tar::{Device, Region, Time, Xattr};
use names::Names;

pub(crate) use builder::{Applied, Builder};
pub use find::LastLink;

/// A layer's tree. Read only.
#[derive(Debug)]
pub struct Tree {
    inodes: Vec<Inode>,
}

/// Names an inode within its tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct InodeId(u32);

/// A file of any kind, with its attributes.
#[derive(Debug, Clone)]
pub struct Inode {
    /// What it is, and what it holds.
    pub content: Content,
    /// The lower twelve bits of the mode.
    pub mode: u32,
    /// The owner.
    pub uid: u32,
    /// The group.
    pub gid: u32,
    /// When the content last changed.
    pub mtime: Time,
    /// Names that this layer gives it, at least one.
    pub links: u32,
    /// Extended attributes, sorted by name, as the tar has them but for `security.selinux`,
    /// which is dropped.
    pub xattrs: Box<[Xattr]>,
}

/// What an inode is.
#[derive(Debug, Clone)]
pub enum Content {
    /// A regular file.
    File(FileBytes),
    /// A directory.
    Directory(Directory),
    /// A symbolic link and its text.
    Symlink(Box<[u8]>),
    /// A character device.
    CharacterDevice(Device),
    /// A block device.
    BlockDevice(Device),
    /// A named pipe.
    Fifo,
    /// Hides what the layers below have of this name.
    Whiteout,
    /// Another name for a file of a layer below: its path. Not known to exist.
    ForeignHardLink(Box<[u8]>),
}

/// Where a file's bytes are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileBytes {
    /// Bytes of the file, holes included.
    pub size: u64,
    /// Where in the uncompressed tar the stored bytes begin; a multiple of 512.
    pub data_offset: u64,
    /// Of a sparse file, its regions; they lie one after the other from `data_offset` on.
    pub sparse: Option<Box<[Region]>>,
    /// Whether the stored bytes are followed by zeros up to a multiple of 512.
    pub padding_is_zero: bool,
}

/// A directory's own part.
#[derive(Debug, Clone, Default)]
pub struct Directory {
    children: Names,
    /// Whether it hides everything that the layers below have in it.
    pub is_opaque: bool,
    /// Whether the tar leaves it out: its attributes are invented, those of the layers below count.
    pub is_implied: bool,
}

/// A run of a file's bytes that is in the tar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// Where in the file it begins.
    pub offset: u64,
    /// Its bytes.
    pub length: u64,
    /// Where in the uncompressed tar it begins.
    pub tar_offset: u64,
}

impl Tree {
    /// The root directory.
    pub const ROOT: InodeId = InodeId(0);

    /// Inodes at most: all IDs' indexes are below.
    pub fn inode_count(&self) -> usize {
        self.inodes.len()
    }

    /// The ID of an index below the count.
    pub(crate) fn id(&self, index: usize) -> InodeId {
        assert!(index < self.inodes.len(), "no inode {index}");
        InodeId(index as u32)
    }

    /// An inode. The ID must be of this tree.
    pub fn inode(&self, id: InodeId) -> &Inode {
        &self.inodes[id.0 as usize]
    }

    /// The times that its files have.
    pub fn times(&self) -> BTreeSet<Time> {
        self.inodes.iter().map(|inode| inode.mtime).collect()
    }

    /// The children of a directory in the order of their names; none of anything else.
    pub fn children(&self, id: InodeId) -> impl Iterator<Item = (&[u8], InodeId)> {
        let directory = match &self.inode(id).content {
            Content::Directory(directory) => Some(directory),
            _ => None,
        };
        directory.into_iter().flat_map(|directory| directory.children.iter())
    }

    /// What a directory has of this name.
    pub fn child(&self, id: InodeId, name: &[u8]) -> Option<InodeId> {
        match &self.inode(id).content {
            Content::Directory(directory) => directory.children.get(name),
            _ => None,
        }
    }

    /// What lies at a path below the root, without following symbolic links. The root is empty.
    pub fn lookup(&self, path: &[u8]) -> Option<InodeId> {
        path.split(|&byte| byte == b'/')
            .filter(|name| !name.is_empty())
            .try_fold(Self::ROOT, |directory, name| self.child(directory, name))
    }

    /// All paths but the root's, each directory before what it holds, siblings in order.
    pub fn walk(&self) -> Walk<'_> {
        let mut walk = Walk { tree: self, path: Vec::new(), stack: Vec::new() };
        walk.enter(Self::ROOT);
        walk
    }
}

impl InodeId {
    /// A small number, different for each inode of a tree.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

impl FileBytes {
    /// The runs of the file that are in the tar, in order; between them are holes.
    pub fn extents(&self) -> impl Iterator<Item = Extent> {
        let whole = Region { offset: 0, length: self.size };
        let whole = self.sparse.is_none().then_some(whole);
        let regions = self.sparse.iter().flat_map(|regions| regions.iter().copied()).chain(whole);
        let stored = regions.filter(|region| region.length > 0);
        stored.scan(self.data_offset, |tar_offset, Region { offset, length }| {
            let extent = Extent { offset, length, tar_offset: *tar_offset };
            *tar_offset += length;
            Some(extent)
        })
    }
}

impl Directory {
    /// How many children it has.
    pub fn len(&self) -> usize {
        self.children.len()
    }

    /// Its children, in the order of their names.
    pub fn child_ids(&self) -> impl Iterator<Item = InodeId> {
        self.children.iter().map(|(_, id)| id)
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Goes through a tree; made by [`Tree::walk`].
#[derive(Debug)]
pub struct Walk<'a> {
    tree: &'a Tree,
    path: Vec<u8>,
    /// Of each directory on the way down: the length of its path, and its children to come.
    stack: Vec<(usize, names::Iter<'a>)>,
}

impl Walk<'_> {
    /// The next path and its inode. The path is valid until the next call.
    #[expect(clippy::should_implement_trait, reason = "the path is lent")]
    pub fn next(&mut self) -> Option<(&[u8], InodeId)> {
        loop {
            let (length, children) = self.stack.last_mut()?;
            self.path.truncate(*length);
            if let Some((name, id)) = children.next() {
                if !self.path.is_empty() {
                    self.path.push(b'/');
                }
                self.path.extend_from_slice(name);
                self.enter(id);
                return Some((&self.path, id));
            }
            self.stack.pop();
        }
    }

    fn enter(&mut self, id: InodeId) {
        if let Content::Directory(directory) = &self.tree.inode(id).content {
            self.stack.push((self.path.len(), directory.children.iter()));
        }
    }
}
