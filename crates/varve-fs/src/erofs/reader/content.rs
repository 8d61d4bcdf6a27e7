//! Where a file's bytes are.

use std::io::Write;

use super::{Index, Kind, Node, damaged};
use crate::erofs::{
    IndexFault, ReadAt, ReadError,
    format::{CHUNK_BITS_MAX, DataLayout, HOLE, get_u32},
};

/// A run of a file's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// Where in the file it begins.
    pub offset: u64,
    /// Its bytes, at least one.
    pub length: u64,
    /// Where they are.
    pub place: Place,
}

/// Where a run of bytes is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// In the uncompressed tar, from this offset on.
    Tar(u64),
    /// In the index, from this offset on.
    Index(u64),
    /// Nowhere: they are zero.
    Hole,
}

/// The runs of a file; made by [`Index::ranges`].
#[derive(Debug)]
pub struct Ranges<'a, R> {
    index: &'a Index<R>,
    node: &'a Node,
    /// What the next run begins at.
    offset: u64,
    /// Of a map, the piece that was read, and its first number.
    map: (Vec<u8>, u64),
    has_failed: bool,
}

const BUFFER_SIZE: u64 = 64 << 10;
const MAP_PIECE_SIZE: u64 = 4096;

impl<R: ReadAt> Index<R> {
    /// The runs of a file's bytes in order, with no gap.
    pub fn ranges<'a>(&'a self, node: &'a Node) -> Ranges<'a, R> {
        Ranges { index: self, node, offset: 0, map: (Vec::new(), 0), has_failed: false }
    }

    /// Passes a file's content on. A sparse file may be far larger than the tar: whoever can keep
    /// holes goes through [`Self::ranges`].
    pub fn copy_content(
        &self,
        node: &Node,
        tar: &dyn ReadAt,
        out: &mut dyn Write,
    ) -> Result<(), ReadError> {
        if node.kind != Kind::File {
            return Err(damaged(node.behind, IndexFault::Inode));
        }
        let mut buffer = vec![0; node.size.min(BUFFER_SIZE) as usize];
        for range in self.ranges(node) {
            let range = range?;
            let mut done = 0;
            while done < range.length {
                let size = (range.length - done).min(BUFFER_SIZE);
                let piece = &mut buffer[..size as usize];
                match range.place {
                    Place::Tar(offset) => {
                        tar.read_exact_at(piece, offset + done).map_err(ReadError::Read)?;
                    }
                    Place::Index(offset) => self.read(piece, offset + done)?,
                    Place::Hole => piece.fill(0),
                }
                out.write_all(piece).map_err(ReadError::Write)?;
                done += size;
            }
        }
        Ok(())
    }

    /// Where behind a node its inline bytes or its map are.
    pub(super) fn behind_xattrs(node: &Node) -> u64 {
        node.behind + node.raw.xattrs_size
    }
}

impl<R: ReadAt> Ranges<'_, R> {
    fn step(&mut self) -> Result<Range, ReadError> {
        let (node, offset) = (self.node, self.offset);
        let block_size = self.index.block_size();
        let left = node.size - offset;
        let start = Index::<R>::behind_xattrs(node);
        let whole = match node.raw.layout {
            DataLayout::Plain => left,
            DataLayout::Inline => left - node.size % block_size,
            DataLayout::Chunks => return self.chunk(start),
        };
        if whole > 0 {
            let place = self.blocks(node.raw.union, whole)?;
            return Ok(Range { offset, length: whole, place });
        }
        // What is behind an inode does not cross the end of a block.
        if start % block_size + left > block_size || start + left > self.index.size_bytes {
            return Err(damaged(start, IndexFault::Range));
        }
        Ok(Range { offset, length: left, place: Place::Index(start) })
    }

    fn chunk(&mut self, map_at: u64) -> Result<Range, ReadError> {
        let (node, offset) = (self.node, self.offset);
        let bits = node.raw.union;
        if bits > CHUNK_BITS_MAX {
            return Err(damaged(node.behind, IndexFault::Feature));
        }
        let chunk_size = self.index.block_size() << bits;
        let (chunk, count) = (offset / chunk_size, node.size.div_ceil(chunk_size));
        let (piece, first) = &mut self.map;
        if chunk >= *first + piece.len() as u64 / 4 {
            let size = ((count - chunk).min(MAP_PIECE_SIZE / 4)) * 4;
            piece.resize(size as usize, 0);
            let at = chunk.checked_mul(4).and_then(|bytes| bytes.checked_add(map_at));
            let at = at.ok_or_else(|| damaged(map_at, IndexFault::Range))?;
            self.index.read(piece, at)?;
            *first = chunk;
        }
        let block = get_u32(piece, (chunk - *first) as usize * 4);
        let length = (node.size - offset).min(chunk_size);
        let place = if block == HOLE { Place::Hole } else { self.blocks(block, length)? };
        Ok(Range { offset, length, place })
    }

    /// Where a run of blocks is; it is all in the index or all in the tar.
    fn blocks(&self, block: u32, length: u64) -> Result<Place, ReadError> {
        let superblock = &self.index.superblock;
        let block_size = self.index.block_size();
        let count = length.div_ceil(block_size);
        let (start, end, first) = match block.checked_sub(superblock.blocks) {
            Some(block) => (u64::from(block), superblock.tar_blocks, Place::Tar as fn(u64) -> _),
            None => (u64::from(block), superblock.blocks, Place::Index as fn(u64) -> _),
        };
        if start + count > u64::from(end) {
            return Err(damaged(self.node.behind, IndexFault::Range));
        }
        Ok(first(start * block_size))
    }
}

impl<R: ReadAt> Iterator for Ranges<'_, R> {
    type Item = Result<Range, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        let has_data = matches!(self.node.kind, Kind::File | Kind::Directory | Kind::Symlink);
        if self.has_failed || !has_data || self.offset >= self.node.size {
            return None;
        }
        let range = self.step();
        match &range {
            Ok(range) => self.offset += range.length,
            Err(_) => self.has_failed = true,
        }
        Some(range)
    }
}
