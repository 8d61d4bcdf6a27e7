//! What is different between two trees.

use crate::tree::{Content, Inode, InodeId, Tree};

/// A path at which two trees differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The path below the root; the root itself is empty.
    pub path: Vec<u8>,
    /// What is there in the old tree.
    pub old: Option<Side>,
    /// What is there in the new tree; of both sides there is one at least.
    pub new: Option<Side>,
    /// In what the two differ. None when only one of them is there.
    pub aspects: Vec<Aspect>,
}

/// One of two trees' part in a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Side {
    /// The inode, within its tree.
    pub id: InodeId,
    /// Bytes of a file; of anything else none.
    pub size_bytes: u64,
}

/// The class of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ChangeKind {
    /// Only the new tree has the path.
    Added,
    /// Both have it, and they differ.
    Changed,
    /// Only the old tree has it.
    Deleted,
}

/// Something in which two inodes may differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Aspect {
    /// What it is: a file, a directory, …
    Type,
    /// A file's bytes, a symbolic link's text, a device's numbers.
    Content,
    /// The mode.
    Mode,
    /// Owner or group.
    Owner,
    /// Extended attributes.
    Xattrs,
    /// When it last changed. Of directories this says nothing that other changes do not say.
    Time,
}

impl Change {
    /// Its class.
    pub fn kind(&self) -> ChangeKind {
        match (&self.old, &self.new) {
            (None, _) => ChangeKind::Added,
            (_, None) => ChangeKind::Deleted,
            _ => ChangeKind::Changed,
        }
    }
}

/// Lists what is different, a directory before what it holds, siblings in the order of their
/// names. All that is in an added or deleted directory is listed. A renamed file is one that was
/// deleted and one that was added; by how many names a file goes is not compared.
///
/// `is_same` is asked of two files of equal size whether their bytes are the same.
pub fn diff<E>(
    old: &Tree,
    new: &Tree,
    mut is_same: impl FnMut(InodeId, InodeId) -> Result<bool, E>,
) -> Result<Vec<Change>, E> {
    let mut changes = Vec::new();
    let root = Pair { path: Vec::new(), old: Some(Tree::ROOT), new: Some(Tree::ROOT) };
    let mut pairs = vec![root];
    while let Some(Pair { path, old: in_old, new: in_new }) = pairs.pop() {
        let before = pairs.len();
        push_children(old, new, &path, (in_old, in_new), &mut pairs);
        pairs[before..].reverse();
        let mut aspects = Vec::new();
        if let (Some(in_old), Some(in_new)) = (in_old, in_new) {
            aspects = compare(old.inode(in_old), new.inode(in_new));
            let sizes = (size(old.inode(in_old)), size(new.inode(in_new)));
            let are_files = [old.inode(in_old), new.inode(in_new)]
                .iter()
                .all(|inode| matches!(inode.content, Content::File(_)));
            if are_files && (sizes.0 != sizes.1 || !is_same(in_old, in_new)?) {
                aspects.push(Aspect::Content);
                aspects.sort_unstable();
            }
            if aspects.is_empty() {
                continue;
            }
        }
        let side = |tree: &Tree, id| Side { id, size_bytes: size(tree.inode(id)) };
        changes.push(Change {
            path,
            old: in_old.map(|id| side(old, id)),
            new: in_new.map(|id| side(new, id)),
            aspects,
        });
    }
    Ok(changes)
}

/// What has a path, in either tree or both.
struct Pair {
    path: Vec<u8>,
    old: Option<InodeId>,
    new: Option<InodeId>,
}

/// Pairs off the children of two directories, in order.
fn push_children(
    old: &Tree,
    new: &Tree,
    path: &[u8],
    directories: (Option<InodeId>, Option<InodeId>),
    pairs: &mut Vec<Pair>,
) {
    let below = |name: &[u8]| {
        let slash: &[u8] = if path.is_empty() { b"" } else { b"/" };
        [path, slash, name].concat()
    };
    let mut olds = directories.0.into_iter().flat_map(|id| old.children(id)).peekable();
    let mut news = directories.1.into_iter().flat_map(|id| new.children(id)).peekable();
    loop {
        let (name, old, new) = match (olds.peek().copied(), news.peek().copied()) {
            (None, None) => return,
            (Some((name, old)), Some((other, new))) if name == other => {
                (name, Some(old), Some(new))
            }
            (Some((name, old)), other) if other.is_none_or(|(other, _)| name < other) => {
                (name, Some(old), None)
            }
            (_, Some((name, new))) => (name, None, Some(new)),
            (Some((name, old)), None) => (name, Some(old), None),
        };
        pairs.push(Pair { path: below(name), old, new });
        if old.is_some() {
            olds.next();
        }
        if new.is_some() {
            news.next();
        }
    }
}

fn size(inode: &Inode) -> u64 {
    match &inode.content {
        Content::File(bytes) => bytes.size,
        _ => 0,
    }
}

/// In what two inodes differ, but for files' bytes.
fn compare(old: &Inode, new: &Inode) -> Vec<Aspect> {
    let is_same_type = std::mem::discriminant(&old.content) == std::mem::discriminant(&new.content);
    let is_same_content = match (&old.content, &new.content) {
        (Content::Symlink(old), Content::Symlink(new))
        | (Content::ForeignHardLink(old), Content::ForeignHardLink(new)) => old == new,
        (Content::CharacterDevice(old), Content::CharacterDevice(new))
        | (Content::BlockDevice(old), Content::BlockDevice(new)) => old == new,
        (Content::Directory(old), Content::Directory(new)) => old.is_opaque == new.is_opaque,
        _ => true,
    };
    let is_directory = matches!(new.content, Content::Directory(_));
    [
        (Aspect::Type, is_same_type),
        (Aspect::Content, is_same_content),
        (Aspect::Mode, old.mode == new.mode),
        (Aspect::Owner, (old.uid, old.gid) == (new.uid, new.gid)),
        (Aspect::Xattrs, old.xattrs == new.xattrs),
        (Aspect::Time, is_directory || old.mtime == new.mtime),
    ]
    .into_iter()
    .filter_map(|(aspect, is_same)| (!is_same).then_some(aspect))
    .collect()
}
