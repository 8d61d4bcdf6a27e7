//! From an index back to the tree that it was written of.

use std::collections::{HashMap, HashSet};

use varve_types::limits;

use super::{Index, Kind, Node, NodeId, Place, damaged};
use crate::{
    erofs::{
        IndexFault, ReadAt, ReadError,
        notes::{self, FOOTER_SIZE, Note},
    },
    tar::{Device, Region},
    tree::{Content, FileBytes, Inode, InodeId, Tree},
};

/// What the notes say, by inode.
#[derive(Default)]
struct Notes {
    implied: HashSet<NodeId>,
    whiteout: Option<NodeId>,
    /// All but their sizes.
    files: HashMap<NodeId, FileBytes>,
    foreign: Vec<ForeignLink>,
}

struct ForeignLink {
    target: Box<[u8]>,
    /// Directories and names in them.
    names: Vec<(u64, Box<[u8]>)>,
}

/// Bytes that an inode takes in memory, names and all else that has a length not counted.
const INODE_SIZE_BYTES: u64 = 160;

impl<R: ReadAt> Index<R> {
    /// The tree that the index was written of. Lost are extended attributes that could not be
    /// stored; a device 0/0 is still told from a whiteout.
    pub fn tree(&self) -> Result<Tree, ReadError> {
        let mut notes = self.notes()?;
        let mut tree = Tree::new();
        let mut placed = HashMap::new();
        let mut size_bytes = 0;
        let root = self.node(self.root())?;
        *tree.inode_mut(Tree::ROOT) = self.inode(&root, &mut notes)?;
        placed.insert(root.id, Tree::ROOT);
        let mut directories = vec![(root, Tree::ROOT)];
        while let Some((node, directory)) = directories.pop() {
            for child in self.children(&node) {
                let child = child?;
                size_bytes += child.name.len() as u64 + INODE_SIZE_BYTES;
                let known = placed.get(&child.id).copied();
                let id = if let Some(id) = known.filter(|_| notes.whiteout != Some(child.id)) {
                    // A directory has one name, or this goes round.
                    if matches!(tree.inode(id).content, Content::Directory(_)) {
                        return Err(damaged(node.behind, IndexFault::Directory));
                    }
                    id
                } else {
                    let child_node = self.node(child.id)?;
                    let inode = self.inode(&child_node, &mut notes)?;
                    size_bytes += memory_of(&inode);
                    let id = tree.push(inode);
                    placed.insert(child.id, id);
                    if child_node.kind == Kind::Directory {
                        directories.push((child_node, id));
                    }
                    id
                };
                tree.insert(directory, &child.name, id);
                let limit = limits::LAYER_TREE_SIZE_BYTES_MAX;
                if size_bytes > limit {
                    let what = "bytes of names and attributes";
                    return Err(ReadError::Limit { what, limit });
                }
            }
        }
        self.add_foreign_links(&mut tree, &placed, notes.foreign)?;
        tree.count_links();
        Ok(tree)
    }

    fn add_foreign_links(
        &self,
        tree: &mut Tree,
        placed: &HashMap<NodeId, InodeId>,
        links: Vec<ForeignLink>,
    ) -> Result<(), ReadError> {
        let fault = || damaged(self.size_bytes, IndexFault::Notes);
        for ForeignLink { target, names } in links {
            let content = Content::ForeignHardLink(target);
            let id = tree.push(Inode { content, ..Inode::implied_directory() });
            for (directory, name) in names {
                let directory = *placed.get(&NodeId(directory)).ok_or_else(fault)?;
                let is_directory = matches!(tree.inode(directory).content, Content::Directory(_));
                let is_name = !name.is_empty() && !name.iter().any(|byte| b"/\0".contains(byte));
                if !is_directory || !is_name || &*name == b"." || &*name == b".." {
                    return Err(fault());
                }
                tree.insert(directory, &name, id);
            }
        }
        Ok(())
    }

    fn inode(&self, node: &Node, notes: &mut Notes) -> Result<Inode, ReadError> {
        if notes.whiteout == Some(node.id) {
            return Ok(Inode { content: Content::Whiteout, ..Inode::implied_directory() });
        }
        let attributes = self.attributes(node)?;
        let mut inode = Inode::implied_directory();
        let content = match node.kind {
            Kind::File => Some(Content::File(self.file(node, notes)?)),
            Kind::Directory => None,
            Kind::Symlink => Some(Content::Symlink(self.read_link(node)?.into())),
            Kind::CharacterDevice(device) => Some(Content::CharacterDevice(device)),
            Kind::BlockDevice(device) => Some(Content::BlockDevice(device)),
            Kind::Fifo => Some(Content::Fifo),
            Kind::Whiteout => Some(Content::CharacterDevice(Device::default())),
        };
        if let Some(content) = content {
            inode.content = content;
        } else if let Content::Directory(directory) = &mut inode.content {
            directory.is_opaque = attributes.is_opaque;
            directory.is_implied = notes.implied.contains(&node.id);
        }
        inode.xattrs = attributes.xattrs.into();
        Ok(Inode { mode: node.mode, uid: node.uid, gid: node.gid, mtime: node.mtime, ..inode })
    }

    fn file(&self, node: &Node, notes: &mut Notes) -> Result<FileBytes, ReadError> {
        if let Some(noted) = notes.files.remove(&node.id) {
            let bytes = FileBytes { size: node.size, ..noted };
            let tar_end = (u64::from(self.superblock.tar_blocks) + 1) * self.block_size();
            if !check(&bytes, tar_end) {
                return Err(damaged(node.behind, IndexFault::Notes));
            }
            return Ok(bytes);
        }
        let mut bytes =
            FileBytes { size: node.size, data_offset: 0, sparse: None, padding_is_zero: true };
        let mut ranges = self.ranges(node);
        let Some(range) = ranges.next().transpose()? else { return Ok(bytes) };
        match range.place {
            Place::Tar(offset) if range.length == node.size => bytes.data_offset = offset,
            _ => return Err(damaged(node.behind, IndexFault::Notes)),
        }
        Ok(bytes)
    }

    fn notes(&self) -> Result<Notes, ReadError> {
        let fault = || damaged(self.size_bytes, IndexFault::Notes);
        let mut footer = [0; FOOTER_SIZE as usize];
        self.read(&mut footer, self.size_bytes.saturating_sub(FOOTER_SIZE))?;
        let (position, size) = notes::read_footer(&footer).ok_or_else(fault)?;
        if position.checked_add(u64::from(size)).is_none_or(|end| end > self.size_bytes) {
            return Err(fault());
        }
        let mut bytes = vec![0; size as usize];
        self.read(&mut bytes, position)?;
        let mut rest = &bytes[..];
        let mut notes = Notes::default();
        while !rest.is_empty() {
            match notes::decode(&mut rest).ok_or_else(fault)? {
                Note::Implied(nid) => drop(notes.implied.insert(NodeId(nid))),
                Note::Whiteout(nid) => notes.whiteout = Some(NodeId(nid)),
                Note::Scattered { nid, data_offset, padding_is_zero, sparse } => {
                    let bytes = FileBytes { size: 0, data_offset, sparse, padding_is_zero };
                    notes.files.insert(NodeId(nid), bytes);
                }
                Note::Foreign { target, names } => {
                    notes.foreign.push(ForeignLink { target, names });
                }
            }
        }
        Ok(notes)
    }
}

/// Whether a file's bytes are in the tar, and its regions in order and within it.
fn check(bytes: &FileBytes, tar_end: u64) -> bool {
    let whole = [Region { offset: 0, length: bytes.size }];
    let regions = bytes.sparse.as_deref().unwrap_or(&whole);
    let (mut end, mut stored) = (0, 0_u64);
    for region in regions {
        let region_end = region.offset.checked_add(region.length);
        if region.offset < end || region_end.is_none_or(|end| end > bytes.size) {
            return false;
        }
        end = region.offset + region.length;
        stored = stored.saturating_add(region.length);
    }
    bytes.data_offset.checked_add(stored).is_some_and(|end| end <= tar_end)
}

fn memory_of(inode: &Inode) -> u64 {
    let xattrs = inode.xattrs.iter().map(|(name, value)| name.len() + value.len() + 48);
    let own = match &inode.content {
        Content::Symlink(target) => target.len(),
        Content::File(bytes) => bytes.sparse.as_ref().map_or(0, |regions| regions.len() * 16),
        _ => 0,
    };
    (own + xattrs.sum::<usize>()) as u64
}
