//! Decides where everything goes, before a byte is written.

use std::collections::BTreeMap;

use varve_types::limits;

use super::{
    attributes::Attributes,
    content::{Content, Plan},
    directory,
};
use crate::{
    erofs::{
        BlockSize, WriteError,
        format::{CHUNK_BITS_MAX, DataLayout, RawInode, RawKind, SLOT_SIZE, encode_device},
        notes::{self, FOOTER_SIZE, Note},
    },
    tar::{Device, Time},
    tree::{self, Inode, InodeId, Tree},
};

/// Where everything goes.
#[derive(Debug)]
pub(super) struct Layout<'t> {
    pub(super) tree: &'t Tree,
    pub(super) block_size: BlockSize,
    pub(super) tar_blocks: u32,
    pub(super) epoch: Time,
    /// In the order of their places.
    pub(super) nodes: Vec<Placed>,
    /// Of each inode of the tree, its place among `nodes`.
    numbers: Vec<u32>,
    /// Whether there are hard links to files of other layers.
    has_foreign: bool,
    pub(super) attributes: Attributes,
    /// Behind the last inode.
    inodes_end: u64,
    /// What EROFS has no place for, and where it goes.
    pub(super) notes: Vec<u8>,
    pub(super) notes_at: u64,
    /// Blocks of the index.
    pub(super) blocks: u32,
    pub(super) warnings: Vec<String>,
}

/// An inode with a place.
#[derive(Debug)]
pub(super) struct Placed {
    pub(super) id: InodeId,
    /// The directory that it was met in, among the nodes.
    pub(super) parent: u32,
    /// Where it begins.
    pub(super) offset: u64,
    pub(super) raw: RawInode,
    pub(super) plan: Option<Plan>,
    /// Its blocks in the index.
    pub(super) first_block: u32,
    pub(super) blocks: u32,
}

const NOWHERE: u32 = u32::MAX;

impl<'t> Layout<'t> {
    pub(super) fn new(
        tree: &'t Tree,
        block_size: BlockSize,
        tar_size_bytes: u64,
    ) -> Result<Self, WriteError> {
        let limit = limits::LAYER_INFLATED_SIZE_BYTES_MAX;
        if tar_size_bytes > limit {
            return Err(WriteError::Limit { what: "bytes of a layer", limit });
        }
        let mut layout = Self {
            tree,
            block_size,
            tar_blocks: (tar_size_bytes / block_size.bytes()) as u32,
            epoch: Time::default(),
            nodes: Vec::with_capacity(tree.inode_count()),
            numbers: vec![NOWHERE; tree.inode_count()],
            has_foreign: false,
            attributes: Attributes::default(),
            // The first slot stays empty: C libraries skip names whose inode has the number 0, and
            // so would leave out the `..` of the root's directories.
            inodes_end: block_size.first_free() * block_size.bytes() + SLOT_SIZE,
            notes: Vec::new(),
            notes_at: 0,
            blocks: 0,
            warnings: Vec::new(),
        };
        layout.collect();
        layout.epoch = layout.commonest_time();
        layout.attributes.place();
        for number in 0..layout.nodes.len() {
            layout.place(number)?;
        }
        layout.write_notes();
        layout.place_blocks()?;
        Ok(layout)
    }

    /// The number that directory entries know an inode by.
    pub(super) fn nid(&self, number: u32) -> u64 {
        let start = self.block_size.first_free() * self.block_size.bytes();
        (self.nodes[number as usize].offset - start) / SLOT_SIZE
    }

    pub(super) fn number(&self, id: InodeId) -> Option<u32> {
        Some(self.numbers[id.index()]).filter(|&number| number != NOWHERE)
    }

    pub(super) fn content(&self, bytes: &'t tree::FileBytes) -> Content<'t> {
        Content::new(bytes, self.block_size, self.tar_blocks)
    }

    /// Where the shared attributes begin.
    pub(super) fn attributes_block(&self) -> u32 {
        self.inodes_end.div_ceil(self.block_size.bytes()) as u32
    }

    /// Meets every inode once: directories before what is in them, siblings in order.
    fn collect(&mut self) {
        let tree = self.tree;
        self.add(Tree::ROOT, 0);
        let mut whiteout: Option<u32> = None;
        let mut stack = vec![(0_u32, tree.children(Tree::ROOT))];
        while let Some((parent, children)) = stack.last_mut() {
            let parent = *parent;
            let Some((_, id)) = children.next() else {
                stack.pop();
                continue;
            };
            let inode = tree.inode(id);
            let is_whiteout = matches!(inode.content, tree::Content::Whiteout);
            match (&inode.content, whiteout) {
                (tree::Content::ForeignHardLink(_), _) => {
                    self.has_foreign = true;
                    continue;
                }
                // All are names of one inode, as in the upper directories of overlayfs.
                (tree::Content::Whiteout, Some(number)) => {
                    self.numbers[id.index()] = number;
                    self.nodes[number as usize].raw.links += 1;
                    continue;
                }
                _ if self.numbers[id.index()] != NOWHERE => continue,
                _ => {}
            }
            let number = self.add(id, parent);
            if is_whiteout {
                whiteout = Some(number);
            }
            if matches!(inode.content, tree::Content::Directory(_)) {
                stack.push((number, tree.children(id)));
            }
        }
    }

    fn add(&mut self, id: InodeId, parent: u32) -> u32 {
        let number = self.nodes.len() as u32;
        let inode = self.tree.inode(id);
        let warnings = &mut self.warnings;
        self.attributes.count(inode, |warning| {
            if warnings.len() < limits::LAYER_WARNINGS_MAX {
                warnings.push(warning);
            }
        });
        self.numbers[id.index()] = number;
        self.nodes.push(Placed {
            id,
            parent,
            offset: 0,
            raw: raw(self.tree, inode, number),
            plan: None,
            first_block: 0,
            blocks: 0,
        });
        number
    }

    /// What most inodes have: they can be small ones.
    fn commonest_time(&self) -> Time {
        let mut times = BTreeMap::<Time, usize>::new();
        for node in &self.nodes {
            *times.entry(node.raw.mtime).or_default() += 1;
        }
        let commonest =
            times.into_iter().max_by_key(|&(time, count)| (count, std::cmp::Reverse(time)));
        commonest.map_or(Time::default(), |(time, _)| time)
    }

    /// Gives the inode a place, and what is behind it.
    fn place(&mut self, number: usize) -> Result<(), WriteError> {
        let block_size = self.block_size.bytes();
        let inode = self.tree.inode(self.nodes[number].id);
        let body = self.attributes.body(inode).ok_or(WriteError::Limit {
            what: "bytes of a file's extended attributes",
            limit: limits::XATTRS_SIZE_BYTES_MAX as u64 / 4,
        })?;
        let (tree, tar_blocks) = (self.tree, self.tar_blocks);
        let node = &mut self.nodes[number];
        node.raw.xattrs_size = body.len() as u64;
        // Its size may change with what is decided about its data, but its form does not.
        let data_size = match &inode.content {
            tree::Content::Directory(_) => directory::size(tree, node.id, block_size),
            _ => node.raw.size,
        };
        node.raw.size = data_size;
        let head = node.raw.encoded_size(self.epoch) + node.raw.xattrs_size;
        let inline_size_max = block_size.saturating_sub(head);
        let tail = data_size % block_size;
        let (mut behind, mut is_inline) = (0, false);
        match &inode.content {
            tree::Content::File(bytes) => {
                let content = Content::new(bytes, self.block_size, tar_blocks);
                let plan = content.plan(inline_size_max);
                if let Plan::Chunks(chunks) = plan {
                    debug_assert!(chunks.bits <= CHUNK_BITS_MAX);
                    node.raw.layout = DataLayout::Chunks;
                    node.raw.union = chunks.bits;
                    behind = chunks.count.saturating_mul(4);
                    node.blocks = u32::try_from(chunks.copied_blocks).unwrap_or(u32::MAX);
                }
                is_inline = matches!(plan, Plan::Tail { .. });
                node.plan = Some(plan);
            }
            tree::Content::Directory(_) | tree::Content::Symlink(_) => {
                is_inline = tail > 0 && tail <= inline_size_max;
                let blocks = data_size.div_ceil(block_size) - u64::from(is_inline);
                node.blocks = u32::try_from(blocks).unwrap_or(u32::MAX);
            }
            _ => {}
        }
        let mut offset = self.inodes_end.next_multiple_of(SLOT_SIZE);
        if is_inline {
            node.raw.layout = DataLayout::Inline;
            behind = tail;
            // The inode and what is inline must not cross the end of a block.
            if offset % block_size + head + behind > block_size {
                offset = offset.next_multiple_of(block_size);
            }
        }
        node.offset = offset;
        // Maps are aligned to their numbers; all before them is, too.
        self.inodes_end = offset.saturating_add(head).saturating_add(behind);
        check_size(self.inodes_end)
    }

    fn place_blocks(&mut self) -> Result<(), WriteError> {
        let block_size = self.block_size.bytes();
        let shared = (self.attributes.area().len() as u64).div_ceil(block_size);
        let mut next = u64::from(self.attributes_block()) + shared;
        for node in &mut self.nodes {
            if node.blocks > 0 {
                node.first_block = u32::try_from(next).unwrap_or(u32::MAX);
                next += u64::from(node.blocks);
            }
        }
        // Some read whole pages; a tar that is put behind the index is aligned, too.
        self.notes_at = next.saturating_mul(block_size);
        let end = self.notes_at.saturating_add(self.notes.len() as u64 + FOOTER_SIZE);
        check_size(end)?;
        self.blocks = (end.next_multiple_of(BlockSize::Page.bytes()) / block_size) as u32;
        Ok(())
    }

    fn write_notes(&mut self) {
        let mut foreign = BTreeMap::<InodeId, Vec<(u64, Box<[u8]>)>>::new();
        let mut notes = Vec::new();
        for (number, node) in self.nodes.iter().enumerate() {
            let nid = self.nid(number as u32);
            match (&self.tree.inode(node.id).content, node.plan) {
                (tree::Content::Directory(directory), _) => {
                    if directory.is_implied {
                        notes.push(Note::Implied(nid));
                    }
                    if !self.has_foreign {
                        continue;
                    }
                    for (name, child) in self.tree.children(node.id) {
                        let content = &self.tree.inode(child).content;
                        if matches!(content, tree::Content::ForeignHardLink(_)) {
                            foreign.entry(child).or_default().push((nid, name.into()));
                        }
                    }
                }
                (tree::Content::Whiteout, _) => notes.push(Note::Whiteout(nid)),
                (_, None | Some(Plan::Mapped { .. })) => {}
                (tree::Content::File(bytes), _) => notes.push(Note::Scattered {
                    nid,
                    data_offset: bytes.data_offset,
                    padding_is_zero: bytes.padding_is_zero,
                    sparse: bytes.sparse.clone(),
                }),
                _ => {}
            }
        }
        for (link, names) in foreign {
            if let tree::Content::ForeignHardLink(target) = &self.tree.inode(link).content {
                notes.push(Note::Foreign { target: target.clone(), names });
            }
        }
        for note in notes {
            notes::encode(&note, &mut self.notes);
        }
    }
}

fn check_size(size: u64) -> Result<(), WriteError> {
    let limit = limits::LAYER_INDEX_SIZE_BYTES_MAX;
    if size > limit {
        return Err(WriteError::Limit { what: "bytes of a layer's index", limit });
    }
    Ok(())
}

fn raw(tree: &Tree, inode: &Inode, number: u32) -> RawInode {
    let (mut mode, mut links) = (inode.mode as u16 & 0o7777, inode.links);
    let (mut size, mut union) = (0, 0);
    let kind = match &inode.content {
        tree::Content::File(bytes) => {
            size = bytes.size;
            RawKind::File
        }
        tree::Content::Directory(_) => {
            links = 2 + directory::subdirectories(tree, inode);
            RawKind::Directory
        }
        tree::Content::Symlink(target) => {
            size = target.len() as u64;
            RawKind::Symlink
        }
        tree::Content::CharacterDevice(device) => {
            union = encode_device(*device);
            RawKind::CharacterDevice
        }
        tree::Content::BlockDevice(device) => {
            union = encode_device(*device);
            RawKind::BlockDevice
        }
        tree::Content::Fifo => RawKind::Fifo,
        tree::Content::Whiteout | tree::Content::ForeignHardLink(_) => {
            (mode, links, union) = (0, 1, encode_device(Device::default()));
            RawKind::CharacterDevice
        }
    };
    RawInode {
        layout: DataLayout::Plain,
        xattrs_size: 0,
        mode: kind.mode() | mode,
        size,
        union,
        serial: number + 1,
        uid: inode.uid,
        gid: inode.gid,
        mtime: inode.mtime,
        links,
    }
}
