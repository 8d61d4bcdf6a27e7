//! Applying entries one after the other.

use std::collections::{BTreeMap, BTreeSet};

use varve_types::limits;

use super::{Content, Directory, FileBytes, Inode, InodeId, LastLink, Tree, trail::Trail};
use crate::{
    layer::LayerError,
    tar::{Entry, EntryKind, lossy},
};

const WHITEOUT_PREFIX: &[u8] = b".wh.";
const OPAQUE_MARKER: &[u8] = b".wh..wh..opq";
const AUFS_PREFIX: &[u8] = b".wh..wh.";
/// Bytes that an inode and its name cost besides what they hold.
const INODE_SIZE_BYTES: u64 = 192;

/// A tree being built.
#[derive(Debug)]
pub(crate) struct Builder {
    tree: Tree,
    /// Every whiteout seen, by directory and name: it counts for what the layers below have, even
    /// when this layer has the name as well.
    whiteouts: BTreeSet<(InodeId, Box<[u8]>)>,
    /// Hard links whose target was not there yet: directory and name of the link.
    unresolved: Vec<(InodeId, Box<[u8]>)>,
    /// Files that the old AUFS driver kept under names of its own, for hard links to name.
    aufs_files: BTreeMap<Vec<u8>, InodeId>,
    size_bytes: u64,
    link_steps: u64,
    /// Where the last entry's directory was found: the next one mostly lies in it, too. It holds as
    /// long as no name that may be on the way leads elsewhere.
    last: Option<(Vec<u8>, InodeId)>,
}

/// What became of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Applied {
    /// It is this file now, whose padding is not known yet.
    File(InodeId),
    /// It is in the tree, or says something about it.
    Other,
    /// It is nothing that a tree has: a socket, or a note of the old AUFS driver to itself.
    Skipped,
}

impl Builder {
    /// Starts with a root that no entry names.
    pub(crate) fn new() -> Self {
        Self {
            tree: Tree::new(),
            whiteouts: BTreeSet::new(),
            unresolved: Vec::new(),
            aufs_files: BTreeMap::new(),
            size_bytes: 0,
            link_steps: 0,
            last: None,
        }
    }

    /// Applies the next entry.
    pub(crate) fn apply(&mut self, entry: &mut Entry) -> Result<Applied, LayerError> {
        if entry.kind == EntryKind::Socket {
            return Ok(Applied::Skipped);
        }
        self.account(entry)?;
        if entry.path.is_empty() {
            return self.apply_root(entry);
        }
        let path = std::mem::take(&mut entry.path);
        let (parent, name) = split(&path);
        if name == OPAQUE_MARKER {
            let directory = self.directory_at(parent, &path)?;
            self.tree.directory_mut(directory).is_opaque = true;
            return Ok(Applied::Other);
        }
        if name.starts_with(AUFS_PREFIX) || is_below_aufs(parent) {
            if entry.kind != EntryKind::File {
                return Ok(Applied::Skipped);
            }
            let id = self.tree.push(new_inode(entry));
            self.aufs_files.insert(path, id);
            return Ok(Applied::File(id));
        }
        let directory = self.directory_at(parent, &path)?;
        match name.strip_prefix(WHITEOUT_PREFIX) {
            Some(b"" | b"." | b"..") => Err(LayerError::OutsideRoot { path: lossy(&path) }),
            Some(hidden) => {
                self.whiteout(directory, hidden);
                Ok(Applied::Other)
            }
            None => self.place(directory, name, &path, entry),
        }
    }

    /// Records whether the padding behind a file's data is zero.
    pub(crate) fn set_padding(&mut self, file: InodeId, is_zero: bool) {
        if let Content::File(data) = &mut self.tree.inode_mut(file).content {
            data.padding_is_zero = is_zero;
        }
    }

    /// Ends: counts links, and looks once more for the targets of hard links.
    pub(crate) fn finish(mut self) -> Tree {
        for (directory, name) in std::mem::take(&mut self.unresolved) {
            let Some(link) = self.tree.child(directory, &name) else { continue };
            let Content::ForeignHardLink(target) = &self.tree.inode(link).content else { continue };
            let target = target.clone();
            let Ok(Some(found)) = self.find(&target) else { continue };
            let is_file = !matches!(
                self.tree.inode(found).content,
                Content::Directory(_) | Content::Whiteout
            );
            if is_file && found != link {
                self.tree.insert(directory, &name, found);
            }
        }
        self.tree.count_links();
        self.tree
    }

    fn account(&mut self, entry: &Entry) -> Result<(), LayerError> {
        let xattrs = entry.xattrs.iter().map(|(name, value)| name.len() + value.len() + 48);
        let regions = entry.sparse.as_ref().map_or(0, |regions| regions.len() * 16);
        let size = entry.path.len() + entry.link_target.len() + xattrs.sum::<usize>() + regions;
        self.account_bytes(size as u64 + INODE_SIZE_BYTES)
    }

    fn account_bytes(&mut self, size: u64) -> Result<(), LayerError> {
        self.size_bytes += size;
        if self.size_bytes > limits::LAYER_TREE_SIZE_BYTES_MAX {
            let limit = limits::LAYER_TREE_SIZE_BYTES_MAX;
            return Err(LayerError::Limit { what: "bytes of names and attributes", limit });
        }
        Ok(())
    }

    fn apply_root(&mut self, entry: &mut Entry) -> Result<Applied, LayerError> {
        if entry.kind != EntryKind::Directory {
            return Err(LayerError::NotADirectory { path: "/".into() });
        }
        self.update_directory(Tree::ROOT, entry);
        Ok(Applied::Other)
    }

    fn place(
        &mut self,
        directory: InodeId,
        name: &[u8],
        path: &[u8],
        entry: &mut Entry,
    ) -> Result<Applied, LayerError> {
        if entry.kind == EntryKind::Directory {
            if let Some(id) = self.tree.child(directory, name)
                && matches!(self.tree.inode(id).content, Content::Directory(_))
            {
                self.update_directory(id, entry);
                return Ok(Applied::Other);
            }
            let id = self.new_directory(directory, name);
            self.update_directory(id, entry);
            return Ok(Applied::Other);
        }
        if entry.kind == EntryKind::HardLink {
            return self.link(directory, name, path, entry);
        }
        let inode = new_inode(entry);
        let is_file = matches!(inode.content, Content::File(_));
        let id = self.tree.push(inode);
        self.insert(directory, name, id);
        Ok(if is_file { Applied::File(id) } else { Applied::Other })
    }

    fn link(
        &mut self,
        directory: InodeId,
        name: &[u8],
        path: &[u8],
        entry: &mut Entry,
    ) -> Result<Applied, LayerError> {
        let target = std::mem::take(&mut entry.link_target);
        let found = match self.aufs_files.get(&target) {
            Some(&id) => Some(id),
            None => self.find(&target)?,
        };
        let found = found.filter(|&id| !matches!(self.tree.inode(id).content, Content::Whiteout));
        if let Some(id) = found {
            if matches!(self.tree.inode(id).content, Content::Directory(_)) {
                let (path, target) = (lossy(path), lossy(&target));
                return Err(LayerError::HardLinkToDirectory { path, target });
            }
            self.insert(directory, name, id);
            return Ok(Applied::Other);
        }
        let mut inode = new_inode(entry);
        inode.content = Content::ForeignHardLink(target.into());
        let id = self.tree.push(inode);
        self.insert(directory, name, id);
        self.unresolved.push((directory, name.into()));
        Ok(Applied::Other)
    }

    fn whiteout(&mut self, directory: InodeId, hidden: &[u8]) {
        self.whiteouts.insert((directory, hidden.into()));
        match self.tree.child(directory, hidden) {
            None => {
                let id = self
                    .tree
                    .push(Inode { content: Content::Whiteout, ..Inode::implied_directory() });
                self.tree.insert(directory, hidden, id);
            }
            // A whiteout is about the layers below only (OCI image-spec, layer.md "Whiteouts").
            Some(id) => {
                if let Content::Directory(directory) = &mut self.tree.inode_mut(id).content {
                    directory.is_opaque = true;
                }
            }
        }
    }

    /// Finds what lies at a path, through symbolic links on the way but not at its end.
    fn find(&mut self, path: &[u8]) -> Result<Option<InodeId>, LayerError> {
        self.tree.find_counting(path, LastLink::Found, &mut self.link_steps)
    }

    fn update_directory(&mut self, id: InodeId, entry: &mut Entry) {
        let inode = self.tree.inode_mut(id);
        inode.mode = entry.mode;
        (inode.uid, inode.gid, inode.mtime) = (entry.uid, entry.gid, entry.mtime);
        inode.xattrs = kept_xattrs(entry);
        self.tree.directory_mut(id).is_implied = false;
    }

    /// Makes an implied directory in the place of whatever has the name.
    fn new_directory(&mut self, directory: InodeId, name: &[u8]) -> InodeId {
        let id = self.tree.push(Inode::implied_directory());
        let is_opaque = self.whiteouts.contains(&(directory, Box::from(name)));
        self.tree.directory_mut(id).is_opaque = is_opaque;
        self.insert(directory, name, id);
        id
    }

    fn insert(&mut self, directory: InodeId, name: &[u8], id: InodeId) {
        if self.tree.insert(directory, name, id).is_some() {
            self.last = None;
        }
    }

    /// Finds the directory at a path, through symbolic links, and makes what is missing of it.
    /// `path` is the entry's, for the error.
    fn directory_at(&mut self, parent: &[u8], path: &[u8]) -> Result<InodeId, LayerError> {
        if let Some((last, id)) = &self.last
            && last == parent
        {
            return Ok(*id);
        }
        let id = self.find_directory(parent, path)?;
        let (last, found) = self.last.get_or_insert((Vec::new(), id));
        last.clear();
        last.extend_from_slice(parent);
        *found = id;
        Ok(id)
    }

    fn find_directory(&mut self, parent: &[u8], path: &[u8]) -> Result<InodeId, LayerError> {
        let mut trail = Trail::new(parent);
        while let Some(name) = trail.next() {
            let next = match self.tree.child(trail.here(), &name) {
                None => {
                    self.account_bytes(name.len() as u64 + INODE_SIZE_BYTES)?;
                    self.new_directory(trail.here(), &name)
                }
                Some(id) => match &self.tree.inode(id).content {
                    Content::Directory(_) => id,
                    Content::Symlink(target) => {
                        self.link_steps = trail.follow(target, path, self.link_steps)?;
                        continue;
                    }
                    Content::Whiteout => self.new_directory(trail.here(), &name),
                    _ => return Err(LayerError::NotADirectory { path: lossy(parent) }),
                },
            };
            trail.enter(next, &name)?;
        }
        Ok(trail.here())
    }
}

fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|&byte| byte == b'/') {
        Some(slash) => (&path[..slash], &path[slash + 1..]),
        None => (b"", path),
    }
}

/// `.wh..wh.plnk` and its like are directories in which AUFS kept hard links.
fn is_below_aufs(parent: &[u8]) -> bool {
    // Most paths have no dot at all.
    parent.contains(&b'.')
        && parent.split(|&byte| byte == b'/').any(|name| name.starts_with(AUFS_PREFIX))
}

fn new_inode(entry: &mut Entry) -> Inode {
    let content = match entry.kind {
        EntryKind::File => Content::File(FileBytes {
            size: entry.size,
            data_offset: entry.data_offset,
            sparse: entry.sparse.take().map(Vec::into_boxed_slice),
            padding_is_zero: true,
        }),
        EntryKind::Symlink => Content::Symlink(std::mem::take(&mut entry.link_target).into()),
        EntryKind::CharacterDevice => Content::CharacterDevice(entry.device),
        EntryKind::BlockDevice => Content::BlockDevice(entry.device),
        EntryKind::Fifo => Content::Fifo,
        EntryKind::Directory => Content::Directory(Directory::default()),
        EntryKind::HardLink | EntryKind::Socket => Content::Whiteout,
    };
    Inode {
        content,
        // Whatever a tar says, Linux gives a link all permissions.
        mode: if entry.kind == EntryKind::Symlink { 0o777 } else { entry.mode },
        uid: entry.uid,
        gid: entry.gid,
        mtime: entry.mtime,
        links: 0,
        xattrs: kept_xattrs(entry),
    }
}

fn kept_xattrs(entry: &mut Entry) -> Box<[(Vec<u8>, Vec<u8>)]> {
    let mut xattrs = std::mem::take(&mut entry.xattrs);
    xattrs.retain(|(name, _)| name != b"security.selinux");
    xattrs.into()
}
