//! Writes indexes.

mod attributes;
mod content;
mod directory;
mod layout;
#[cfg(test)]
mod tests;

use std::io::Write;

use varve_types::{DiffId, Digest};

use super::{
    BlockSize, ReadAt, WriteError,
    format::{DataLayout, SUPERBLOCK_AT, Superblock},
    notes,
    read_at::Ahead,
};
use crate::tree::{self, InodeId, Tree};
use content::Plan;
use directory::{Part, Target};
use layout::{Layout, Placed};

/// The layer that an index is written for.
#[derive(Debug, Clone, Copy)]
pub struct Layer<'a> {
    /// What is in it.
    pub tree: &'a Tree,
    /// Whose identity the image gets.
    pub diff_id: DiffId,
    /// Bytes of the uncompressed tar.
    pub tar_size_bytes: u64,
    /// The unit in which data is placed: [`BlockSize::Tar`], but for tests.
    pub block_size: BlockSize,
}

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// Bytes of the index.
    pub size_bytes: u64,
    /// Things that could not be stored, for people.
    pub warnings: Vec<String>,
}

/// Writes a layer's index. Of the tar, only data is read that cannot stay where it is.
///
/// Hard links to files of other layers are noted, but the kernel does not show them: they are for
/// whoever stacks the layers.
pub fn write_index(
    layer: Layer<'_>,
    tar: &dyn ReadAt,
    out: &mut dyn Write,
) -> Result<Written, WriteError> {
    let layout = Layout::new(layer.tree, layer.block_size, layer.tar_size_bytes)?;
    let tar = Ahead::new(tar, layer.tar_size_bytes);
    write(&layout, Image { identity: layer.diff_id.0, has_tar: true }, &|_| &tar, out)
}

/// Writes an image that is mounted without a tar: files' data are copied into it from wherever
/// `tar_of` says. For the small trees that mend a stack of layers.
pub fn write_whole<'a>(
    tree: &Tree,
    identity: Digest,
    tar_of: &dyn Fn(InodeId) -> &'a dyn ReadAt,
    out: &mut dyn Write,
) -> Result<Written, WriteError> {
    let layout = Layout::new(tree, BlockSize::Tar, 0)?;
    write(&layout, Image { identity, has_tar: false }, tar_of, out)
}

struct Image {
    identity: Digest,
    has_tar: bool,
}

fn write<'a>(
    layout: &Layout<'_>,
    image: Image,
    tar_of: &dyn Fn(InodeId) -> &'a dyn ReadAt,
    out: &mut dyn Write,
) -> Result<Written, WriteError> {
    let mut emitter = Emitter { layout, tar_of, out, position: 0, buffer: Vec::new() };
    emitter.head(&image)?;
    for node in &layout.nodes {
        emitter.node(node)?;
    }
    emitter.pad_to_block(layout.attributes_block())?;
    emitter.put(layout.attributes.area())?;
    for node in layout.nodes.iter().filter(|node| node.blocks > 0) {
        emitter.pad_to_block(node.first_block)?;
        emitter.blocks(node)?;
    }
    emitter.pad_to(layout.notes_at)?;
    emitter.put(&layout.notes)?;
    let size = u64::from(layout.blocks) * layout.block_size.bytes();
    emitter.pad_to(size - notes::FOOTER_SIZE)?;
    emitter.put(&notes::footer(layout.notes_at, layout.notes.len() as u32))?;
    emitter.flush()?;
    Ok(Written { size_bytes: emitter.position, warnings: layout.warnings.clone() })
}

const BUFFER_SIZE: usize = 64 << 10;

/// Writes what was laid out, from front to back.
struct Emitter<'a, 't, 's> {
    layout: &'a Layout<'t>,
    tar_of: &'a dyn Fn(InodeId) -> &'s dyn ReadAt,
    out: &'a mut dyn Write,
    position: u64,
    buffer: Vec<u8>,
}

impl Emitter<'_, '_, '_> {
    fn head(&mut self, image: &Image) -> Result<(), WriteError> {
        let layout = self.layout;
        let mut uuid = [0; 16];
        uuid.copy_from_slice(&image.identity.as_bytes()[..16]);
        // Version 8, "custom", of RFC 9562.
        uuid[6] = uuid[6] & 0x0f | 0x80;
        uuid[8] = uuid[8] & 0x3f | 0x80;
        let superblock = Superblock {
            block_size: layout.block_size,
            has_tar: image.has_tar,
            has_chunked_files: layout
                .nodes
                .iter()
                .any(|node| node.raw.layout == DataLayout::Chunks),
            root: layout.nid(0) as u16,
            inodes: layout.nodes.len() as u64,
            epoch: layout.epoch,
            blocks: layout.blocks,
            tar_blocks: layout.tar_blocks,
            xattr_block: layout.attributes_block(),
            uuid,
        };
        self.pad_to(SUPERBLOCK_AT)?;
        self.put(&superblock.encode())
    }

    fn node(&mut self, node: &Placed) -> Result<(), WriteError> {
        let layout = self.layout;
        let inode = layout.tree.inode(node.id);
        let mut raw = node.raw;
        match node.plan {
            Some(Plan::Mapped { block } | Plan::Tail { block }) if raw.size > 0 => {
                raw.union = layout.blocks + block;
            }
            None if node.blocks > 0 => raw.union = node.first_block,
            _ => {}
        }
        self.pad_to(node.offset)?;
        self.put(raw.encode(layout.epoch, &mut [0; _]))?;
        self.put(&layout.attributes.body(inode).unwrap_or_default())?;
        let block_size = layout.block_size.bytes();
        match (&inode.content, node.plan) {
            (tree::Content::File(bytes), Some(Plan::Chunks(chunks))) => {
                let (map, _) = layout.content(bytes).map(chunks, node.first_block, layout.blocks);
                for block in map {
                    self.put(&block.to_le_bytes())?;
                }
            }
            (tree::Content::File(bytes), Some(Plan::Tail { .. })) => {
                let tail = layout.content(bytes).tail_size();
                self.copy(node, bytes, bytes.size - tail, tail)?;
            }
            _ if raw.layout == DataLayout::Inline => {
                let data = self.data(node, Part::Inline);
                let tail = data.len() - data.len() % block_size as usize;
                self.put(&data[tail..])?;
            }
            _ => {}
        }
        Ok(())
    }

    /// What a node has in blocks of the index.
    fn blocks(&mut self, node: &Placed) -> Result<(), WriteError> {
        let layout = self.layout;
        if let (tree::Content::File(bytes), Some(Plan::Chunks(chunks))) =
            (&layout.tree.inode(node.id).content, node.plan)
        {
            let (_, copies) = layout.content(bytes).map(chunks, node.first_block, layout.blocks);
            for copied in copies {
                self.pad_to(self.position.next_multiple_of(layout.block_size.bytes()))?;
                self.copy(node, bytes, copied.offset, copied.length)?;
            }
            return Ok(());
        }
        let data = self.data(node, Part::Blocks);
        let size = u64::from(node.blocks) * layout.block_size.bytes();
        self.put(&data[..data.len().min(size as usize)])
    }

    /// The bytes of a directory, at least those of the wanted part, or of a symbolic link.
    fn data(&self, node: &Placed, wanted: Part) -> Vec<u8> {
        let layout = self.layout;
        if let tree::Content::Symlink(target) = &layout.tree.inode(node.id).content {
            return target.to_vec();
        }
        let own = layout.number(node.id).expect("a node has a number");
        let block_size = layout.block_size.bytes();
        directory::encode(layout.tree, node.id, block_size, wanted, |target| {
            let number = match target {
                Target::This => own,
                Target::Parent => node.parent,
                Target::Child(id) => layout.number(id).expect("all children were met"),
            };
            let kind = layout.nodes[number as usize].raw.kind().expect("a kind was given");
            (layout.nid(number), kind as u8)
        })
    }

    /// Copies a part of a file from the tar; holes become zeros.
    fn copy(
        &mut self,
        node: &Placed,
        bytes: &tree::FileBytes,
        offset: u64,
        length: u64,
    ) -> Result<(), WriteError> {
        let (start, end) = (self.position, offset + length);
        let content = self.layout.content(bytes);
        let extents = content.extents();
        let first = extents.partition_point(|extent| extent.offset + extent.length <= offset);
        let tar = (self.tar_of)(node.id);
        let mut piece = vec![0; length.min(BUFFER_SIZE as u64) as usize];
        for extent in extents[first..].iter().take_while(|extent| extent.offset < end) {
            let mut from = extent.offset.max(offset);
            let until = (extent.offset + extent.length).min(end);
            self.pad_to(start + (from - offset))?;
            while from < until {
                let size = (until - from).min(BUFFER_SIZE as u64);
                let piece = &mut piece[..size as usize];
                tar.read_exact_at(piece, extent.tar_offset + (from - extent.offset))
                    .map_err(WriteError::Read)?;
                self.put(piece)?;
                from += size;
            }
        }
        self.pad_to(start + length)
    }

    fn pad_to_block(&mut self, block: u32) -> Result<(), WriteError> {
        self.pad_to(u64::from(block) * self.layout.block_size.bytes())
    }

    fn pad_to(&mut self, position: u64) -> Result<(), WriteError> {
        const ZEROS: [u8; 4096] = [0; 4096];
        debug_assert!(position >= self.position, "what was laid out does not overlap");
        while self.position < position {
            let size = (position - self.position).min(ZEROS.len() as u64);
            self.put(&ZEROS[..size as usize])?;
        }
        Ok(())
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), WriteError> {
        self.position += bytes.len() as u64;
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= BUFFER_SIZE {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), WriteError> {
        self.out.write_all(&self.buffer).map_err(WriteError::Write)?;
        self.buffer.clear();
        Ok(())
    }
}
