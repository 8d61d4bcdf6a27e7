//! The tree of a layer that is being made, over what lies below it.

use std::collections::BTreeMap;

use varve_fs::tar::{Device, Time, Xattr};
use varve_types::limits;

use super::{
    FileKind, FileStatus, LayerTimes, Origin, Timestamps,
    copy_error::{CopyError, shown},
    layer_files::{LayerFiles, status_of},
    owner::Owner,
};

/// Names that begin so mean something else in a layer.
const WHITEOUT_PREFIX: &[u8] = b".wh.";

/// What the layer adds to the files below. Paths have no slash at either end; the root is empty.
pub(super) struct MadeTree<'a> {
    base: Option<&'a LayerFiles>,
    times: LayerTimes,
    nodes: BTreeMap<Vec<u8>, Node>,
    /// Whether any directory hides what the base has in it.
    has_opaque: bool,
}

/// One entry of the layer.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) content: NodeContent,
    pub(super) mode: u32,
    pub(super) owner: Owner,
    /// The time in the tar.
    pub(super) time: Time,
    /// The real one.
    pub(super) real_time: Time,
    pub(super) xattrs: Vec<Xattr>,
    /// The same for all names of one file: which copy, and a number in it.
    pub(super) link: Option<(usize, u64)>,
}

/// What an entry is.
#[derive(Debug, Clone)]
pub(super) enum NodeContent {
    Directory { is_opaque: bool },
    File { size_bytes: u64, bytes: Bytes },
    Symlink(Vec<u8>),
    CharacterDevice(Device),
    BlockDevice(Device),
    Fifo,
}

/// Where the bytes of a file are.
#[derive(Debug, Clone)]
pub(super) enum Bytes {
    /// A file of the source of an action.
    Source { action: usize, path: String },
    /// An entry of an archive, by the offset of its data.
    Archive { archive: usize, offset: u64 },
}

/// What stands at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum There {
    Directory,
    Symlink(Vec<u8>),
    Other,
}

impl<'a> MadeTree<'a> {
    pub(super) fn new(base: Option<&'a LayerFiles>, times: LayerTimes) -> Self {
        Self { base, times, nodes: BTreeMap::new(), has_opaque: false }
    }

    /// What is in the layer, in the order of paths: directories before what they hold.
    pub(super) fn nodes(&self) -> &BTreeMap<Vec<u8>, Node> {
        &self.nodes
    }

    /// The real times of entries whose time in the tar is another.
    pub(super) fn real_times(&self) -> BTreeMap<Vec<u8>, Time> {
        let others = self.nodes.iter().filter(|(_, node)| node.time != node.real_time);
        others.map(|(path, node)| (path.clone(), node.real_time)).collect()
    }

    /// What stands at a path without links on the way.
    pub(super) fn there(&self, path: &[u8]) -> Option<There> {
        if path.is_empty() {
            return Some(There::Directory);
        }
        if let Some(node) = self.nodes.get(path) {
            return Some(match &node.content {
                NodeContent::Directory { .. } => There::Directory,
                NodeContent::Symlink(text) => There::Symlink(text.clone()),
                _ => There::Other,
            });
        }
        Some(match self.below(path)?.kind {
            FileKind::Directory => There::Directory,
            FileKind::Symlink(text) => There::Symlink(text),
            _ => There::Other,
        })
    }

    /// What the base has at a path, if it can be seen.
    fn below(&self, path: &[u8]) -> Option<FileStatus> {
        let is_hidden = |path: &[u8]| match self.nodes.get(path).map(|node| &node.content) {
            Some(NodeContent::Directory { is_opaque }) => *is_opaque,
            Some(_) => true,
            None => false,
        };
        if self.has_opaque && ancestors(path).any(is_hidden) {
            return None;
        }
        let tree = self.base?.stack().tree();
        Some(status_of(tree, tree.lookup(path)?))
    }

    /// Follows the links in a path, none of which leaves `floor`; what is not there stays as it is.
    /// The path is from the floor on.
    pub(super) fn resolve(&self, floor: &[u8], path: &[u8]) -> Result<Vec<u8>, CopyError> {
        let mut resolved = floor.to_vec();
        let mut rest: Vec<Vec<u8>> = parts(path);
        let mut links = 0;
        while let Some(part) = rest.pop() {
            if part == b".." {
                if resolved.len() > floor.len() {
                    resolved.truncate(parent(&resolved).len());
                }
                continue;
            }
            let next = join(&resolved, &part);
            if let Some(There::Symlink(text)) = self.there(&next) {
                links += 1;
                if links > limits::LINK_DEPTH_MAX {
                    return Err(CopyError::Links(shown(path)));
                }
                if text.first() == Some(&b'/') {
                    resolved = floor.to_vec();
                }
                rest.extend(parts(&text));
            } else {
                resolved = next;
            }
        }
        Ok(resolved)
    }

    /// Makes a directory and its parents, as far as they are missing.
    pub(super) fn make_directories(&mut self, path: &[u8], owner: Owner) -> Result<(), CopyError> {
        for directory in with_ancestors(path) {
            match self.there(directory) {
                Some(There::Directory) => {}
                Some(_) => return Err(CopyError::NotADirectory(shown(directory))),
                None => {
                    let time = self.times.epoch;
                    let content = NodeContent::Directory { is_opaque: false };
                    let (xattrs, link) = (Vec::new(), None);
                    let node =
                        Node { content, mode: 0o755, owner, time, real_time: time, xattrs, link };
                    self.insert(directory, node)?;
                }
            }
        }
        Ok(())
    }

    /// The node of a file that comes from elsewhere.
    pub(super) fn node(&self, content: NodeContent, status: FileStatus, origin: Origin) -> Node {
        let FileStatus { mode, uid, gid, mtime, real_mtime, xattrs, .. } = status;
        let (time, real_time) = (self.time(mtime, origin), real_mtime.unwrap_or(mtime));
        let owner = Owner { uid, gid };
        Node { content, mode, owner, time, real_time, xattrs, link: None }
    }

    /// The time in the tar, whole seconds.
    fn time(&self, real: Time, origin: Origin) -> Time {
        let real = Time { nanoseconds: 0, ..real };
        match (self.times.how, origin) {
            (Timestamps::Keep, _) => real,
            (Timestamps::Epoch, Origin::Context) => self.times.epoch,
            (Timestamps::Epoch, Origin::Layers) => real.min(self.times.epoch),
        }
    }

    /// Puts a node at a path whose parents are directories. A directory that is there stays one,
    /// and gets the node's attributes besides its own extended ones; anything else is replaced.
    pub(super) fn insert(&mut self, path: &[u8], mut node: Node) -> Result<(), CopyError> {
        check(path)?;
        self.note_parents(path);
        let there = self.there(path);
        if let NodeContent::Directory { is_opaque } = &mut node.content {
            if there == Some(There::Directory) {
                let old = self.directory(path);
                node.xattrs = merged(old.xattrs, node.xattrs);
                *is_opaque = matches!(old.content, NodeContent::Directory { is_opaque: true });
            } else {
                let below = self.nodes.contains_key(path).then(|| self.below(path)).flatten();
                *is_opaque = below.is_some_and(|below| below.kind == FileKind::Directory);
                self.has_opaque |= *is_opaque;
            }
        } else if there == Some(There::Directory) {
            self.has_opaque = true;
            self.remove_below(path);
        }
        self.nodes.insert(path.to_vec(), node);
        Ok(())
    }

    /// Changes the mode of a directory that is there.
    pub(super) fn set_mode(&mut self, path: &[u8], mode: u32) {
        if path.is_empty() {
            return;
        }
        self.note_parents(path);
        let node = Node { mode, ..self.directory(path) };
        self.nodes.insert(path.to_vec(), node);
    }

    /// The directory that is at a path, in the layer or in the base.
    fn directory(&self, path: &[u8]) -> Node {
        if let Some(node) = self.nodes.get(path) {
            return node.clone();
        }
        let mut status = self.below(path).unwrap_or(FileStatus::of(FileKind::Directory));
        status.real_mtime = self.base.and_then(|base| base.real_time(path));
        self.node(NodeContent::Directory { is_opaque: false }, status, Origin::Layers)
    }

    /// Lists the directories on the way in the layer, as they are in the base: a layer that leaves
    /// them out would leave their attributes to whoever applies it.
    fn note_parents(&mut self, path: &[u8]) {
        let missing = |path: &&[u8]| !self.nodes.contains_key(*path);
        let missing: Vec<Vec<u8>> =
            ancestors(path).take_while(missing).map(<[u8]>::to_vec).collect();
        for path in missing {
            let node = self.directory(&path);
            self.nodes.insert(path, node);
        }
    }

    fn remove_below(&mut self, path: &[u8]) {
        let first = [path, b"/"].concat();
        let inside = self.nodes.range(first.clone()..).map(|(path, _)| path);
        let inside: Vec<Vec<u8>> =
            inside.take_while(|path| path.starts_with(&first)).cloned().collect();
        for path in inside {
            self.nodes.remove(&path);
        }
    }
}

fn check(path: &[u8]) -> Result<(), CopyError> {
    if path.len() > limits::PATH_SIZE_BYTES_MAX {
        return Err(CopyError::PathTooLong(shown(&path[..limits::NAME_SIZE_BYTES_MAX])));
    }
    let name = path.rsplit(|&byte| byte == b'/').next().unwrap_or_default();
    if name.starts_with(WHITEOUT_PREFIX) {
        return Err(CopyError::WhiteoutName(shown(path)));
    }
    Ok(())
}

/// What the first has, with what the second has put over it; sorted by name.
fn merged(old: Vec<Xattr>, new: Vec<Xattr>) -> Vec<Xattr> {
    let all: BTreeMap<Vec<u8>, Vec<u8>> = old.into_iter().chain(new).collect();
    all.into_iter().collect()
}

/// The parts of a path, the last one first.
fn parts(path: &[u8]) -> Vec<Vec<u8>> {
    let parts = path.split(|&byte| byte == b'/');
    let parts = parts.filter(|part| !part.is_empty() && *part != b".");
    parts.rev().map(<[u8]>::to_vec).collect()
}

/// A name in a directory.
pub(super) fn join(directory: &[u8], name: &[u8]) -> Vec<u8> {
    if directory.is_empty() { name.to_vec() } else { [directory, b"/", name].concat() }
}

/// The directory that a path lies in; the root's own is the root.
pub(super) fn parent(path: &[u8]) -> &[u8] {
    &path[..path.iter().rposition(|&byte| byte == b'/').unwrap_or(0)]
}

/// The directories that a path lies in, the nearest first, without the root.
fn ancestors(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    let nearest = Some(parent(path)).filter(|path| !path.is_empty());
    std::iter::successors(nearest, |path| Some(parent(path)).filter(|path| !path.is_empty()))
}

/// The path and the directories that it lies in, the highest first, without the root.
fn with_ancestors(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    let slashes = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
    let ends = slashes.chain([path.len()]);
    ends.filter(|end| *end > 0).map(|end| &path[..end])
}
