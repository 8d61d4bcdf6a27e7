//! Directories on the disk: blocks of sorted entries, each block with its names at its end.

use crate::{
    erofs::format::{DIRENT_SIZE, put_u16, put_u64},
    tree::{Content, Inode, InodeId, Tree},
};

/// What a name in a directory leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    This,
    Parent,
    Child(InodeId),
}

type Entry<'t> = (&'t [u8], Target);

/// The entries of a directory in the order of their names, itself and its parent among them.
fn entries(tree: &Tree, id: InodeId) -> impl Iterator<Item = Entry<'_>> {
    let mut special = [(&b"."[..], Target::This), (b"..", Target::Parent)].into_iter().peekable();
    let mut children = tree
        .children(id)
        .filter(|&(_, child)| !matches!(tree.inode(child).content, Content::ForeignHardLink(_)))
        .map(|(name, child)| (name, Target::Child(child)))
        .peekable();
    std::iter::from_fn(move || match (special.peek(), children.peek()) {
        (Some(one), Some(other)) if other.0 < one.0 => children.next(),
        (Some(_), _) => special.next(),
        (None, _) => children.next(),
    })
}

/// How many directories are in a directory.
pub(super) fn subdirectories(tree: &Tree, inode: &Inode) -> u32 {
    let Content::Directory(directory) = &inode.content else { return 0 };
    let is_directory = |&id: &InodeId| matches!(tree.inode(id).content, Content::Directory(_));
    directory.child_ids().filter(is_directory).count() as u32
}

/// Bytes of a directory. Only the last block is not filled up.
pub(super) fn size(tree: &Tree, id: InodeId, block_size: u64) -> u64 {
    let (mut whole, mut used) = (0, 0);
    for (name, _) in entries(tree, id) {
        let more = (DIRENT_SIZE + name.len()) as u64;
        if used + more > block_size {
            whole += block_size;
            used = 0;
        }
        used += more;
    }
    whole + used
}

/// Which bytes of a directory, or of a link's text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// Those in blocks of their own.
    Blocks,
    /// What is behind the inode.
    Inline,
}

/// Writes a directory's bytes, as many as [`size`] says; those that are not in the wanted part may
/// be zeros. `describe` tells an entry's number and the kind of file.
pub(super) fn encode(
    tree: &Tree,
    id: InodeId,
    block_size: u64,
    wanted: Part,
    describe: impl Fn(Target) -> (u64, u8),
) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut block: Vec<Entry<'_>> = Vec::new();
    let (mut whole, mut used) = (0, 0);
    for entry in entries(tree, id) {
        let more = (DIRENT_SIZE + entry.0.len()) as u64;
        if used + more > block_size {
            if wanted == Part::Blocks {
                encode_block(&block, &mut bytes, &describe);
            }
            whole += block_size as usize;
            bytes.resize(whole, 0);
            block.clear();
            used = 0;
        }
        used += more;
        block.push(entry);
    }
    encode_block(&block, &mut bytes, &describe);
    bytes
}

fn encode_block(block: &[Entry<'_>], bytes: &mut Vec<u8>, describe: &impl Fn(Target) -> (u64, u8)) {
    let mut name_at = block.len() * DIRENT_SIZE;
    for (name, target) in block {
        let (nid, kind) = describe(*target);
        let mut entry = [0; DIRENT_SIZE];
        put_u64(&mut entry, 0, nid);
        put_u16(&mut entry, 8, name_at as u16);
        entry[10] = kind;
        bytes.extend_from_slice(&entry);
        name_at += name.len();
    }
    for (name, _) in block {
        bytes.extend_from_slice(name);
    }
}
