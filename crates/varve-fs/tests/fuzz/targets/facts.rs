//! What a tree says, in a form that can be compared.

use std::collections::{BTreeMap, HashMap};

use varve_fs::{
    tar::{Device, Time, Xattr},
    tree::{Content, FileBytes, InodeId, Tree},
};

/// Everything about what has a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fact {
    pub(crate) what: What,
    pub(crate) mode: u32,
    pub(crate) owner: (u32, u32),
    pub(crate) mtime: Time,
    pub(crate) xattrs: Vec<Xattr>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum What {
    /// Where its bytes are.
    File(FileBytes),
    /// The bytes themselves.
    Content(Vec<u8>),
    /// Whether it is opaque, and whether it is implied.
    Directory {
        is_opaque: bool,
        is_implied: bool,
    },
    Symlink(Vec<u8>),
    CharacterDevice(Device),
    BlockDevice(Device),
    Fifo,
    Whiteout,
    ForeignHardLink(Vec<u8>),
}

/// By path; the root is empty.
pub(crate) type Facts = BTreeMap<Vec<u8>, Fact>;

pub(crate) fn of_tree(tree: &Tree) -> Facts {
    let mut facts = Facts::from([(Vec::new(), of_inode(tree, Tree::ROOT))]);
    let mut walk = tree.walk();
    while let Some((path, id)) = walk.next() {
        facts.insert(path.to_vec(), of_inode(tree, id));
    }
    facts
}

pub(crate) fn of_inode(tree: &Tree, id: InodeId) -> Fact {
    let inode = tree.inode(id);
    let what = match &inode.content {
        Content::File(bytes) => What::File(bytes.clone()),
        Content::Directory(directory) => {
            What::Directory { is_opaque: directory.is_opaque, is_implied: directory.is_implied }
        }
        Content::Symlink(target) => What::Symlink(target.to_vec()),
        Content::CharacterDevice(device) => What::CharacterDevice(*device),
        Content::BlockDevice(device) => What::BlockDevice(*device),
        Content::Fifo => What::Fifo,
        Content::Whiteout => What::Whiteout,
        Content::ForeignHardLink(target) => What::ForeignHardLink(target.to_vec()),
    };
    Fact {
        what,
        mode: inode.mode,
        owner: (inode.uid, inode.gid),
        mtime: inode.mtime,
        xattrs: inode.xattrs.to_vec(),
    }
}

/// Of every file with several names, those names.
pub(crate) fn names(tree: &Tree) -> Vec<Vec<Vec<u8>>> {
    let mut names: HashMap<InodeId, Vec<Vec<u8>>> = HashMap::new();
    let mut walk = tree.walk();
    while let Some((path, id)) = walk.next() {
        names.entry(id).or_default().push(path.to_vec());
    }
    for (id, names) in &names {
        assert_eq!(tree.inode(*id).links as usize, names.len(), "{names:?}");
    }
    // All whiteouts of an index are one inode, and say nothing of each other.
    names.retain(|id, names| {
        names.len() > 1 && !matches!(tree.inode(*id).content, Content::Whiteout)
    });
    let mut names: Vec<_> = names.into_values().collect();
    names.sort();
    names
}
