//! `image tree`: the files of an image, as `ls -l` would list them.

use jiff::Timestamp;
use varve_fs::tree::{Content, InodeId, LastLink, Tree};
use varve_types::Platform;

use crate::{Engine, Result, contents};

/// A file of any kind, at one of its paths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TreeEntry {
    /// From the root on, with a slash in front. Any bytes but zero.
    pub path: Vec<u8>,
    /// What it is.
    pub kind: EntryKind,
    /// The lower twelve bits of the mode.
    pub mode: u32,
    /// The owner.
    pub uid: u32,
    /// The group.
    pub gid: u32,
    /// Bytes of a file or of a link's text.
    pub size_bytes: u64,
    /// When the content last changed.
    pub modified: Timestamp,
    /// By how many names it goes in the image; of a directory, 1.
    pub names: u32,
}

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EntryKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link and its text.
    Symlink(Vec<u8>),
    /// A character device: major and minor number.
    CharacterDevice(u32, u32),
    /// A block device: major and minor number.
    BlockDevice(u32, u32),
    /// A named pipe.
    Fifo,
}

impl Engine {
    /// Lists what lies at a path of an image and, where that is a directory, everything in it:
    /// each directory before what it holds, siblings in the order of their names' bytes.
    ///
    /// Links on the way to the path are followed; one at its end is only when a slash stands
    /// behind it.
    pub fn tree(
        &self,
        image: &str,
        path: &str,
        platform: Option<&Platform>,
    ) -> Result<Vec<TreeEntry>> {
        let contents = self.contents(image, platform)?;
        let last = if path.ends_with('/') { LastLink::Followed } else { LastLink::Found };
        let top = contents.find(path, last)?;
        let tree = contents.stack.tree();
        let names = count_names(tree);
        let mut entries = Vec::new();
        let mut pending = vec![(top, shown_path(path))];
        while let Some((id, path)) = pending.pop() {
            let before = pending.len();
            for (name, child) in tree.children(id) {
                let slash: &[u8] = if path == b"/" { b"" } else { b"/" };
                pending.push((child, [&path, slash, name].concat()));
            }
            pending[before..].reverse();
            entries.extend(entry(tree, id, path, &names));
        }
        Ok(entries)
    }
}

/// The path as it was typed, but for slashes and dots that mean nothing.
fn shown_path(path: &str) -> Vec<u8> {
    let parts = path.split('/').filter(|part| !matches!(*part, "" | "."));
    let parts: Vec<&str> = parts.collect();
    format!("/{}", parts.join("/")).into_bytes()
}

/// By how many names each inode goes.
fn count_names(tree: &Tree) -> Vec<u32> {
    let mut names = vec![0_u32; tree.inode_count()];
    names[Tree::ROOT.index()] = 1;
    let mut walk = tree.walk();
    while let Some((_, id)) = walk.next() {
        names[id.index()] = names[id.index()].saturating_add(1);
    }
    names
}

/// `None` of what no merged tree holds.
fn entry(tree: &Tree, id: InodeId, path: Vec<u8>, names: &[u32]) -> Option<TreeEntry> {
    let inode = tree.inode(id);
    let (kind, size_bytes) = match &inode.content {
        Content::File(bytes) => (EntryKind::File, bytes.size),
        Content::Directory(_) => (EntryKind::Directory, 0),
        Content::Symlink(text) => (EntryKind::Symlink(text.to_vec()), text.len() as u64),
        Content::CharacterDevice(device) => {
            (EntryKind::CharacterDevice(device.major, device.minor), 0)
        }
        Content::BlockDevice(device) => (EntryKind::BlockDevice(device.major, device.minor), 0),
        Content::Fifo => (EntryKind::Fifo, 0),
        Content::Whiteout | Content::ForeignHardLink(_) => return None,
    };
    Some(TreeEntry {
        path,
        kind,
        mode: inode.mode,
        uid: inode.uid,
        gid: inode.gid,
        size_bytes,
        modified: contents::timestamp(inode.mtime),
        names: names[id.index()],
    })
}
