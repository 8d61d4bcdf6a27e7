//! Where a file's bytes go: they stay in the tar where blocks of the tar can be mapped, and are
//! copied into the index where not.

use crate::{
    erofs::format::{BlockSize, CHUNK_BITS_MAX, HOLE},
    tree::{Extent, FileBytes},
};

/// How a file's bytes are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Plan {
    /// All in one run of the tar's blocks, which begins with this one; or there are none.
    Mapped { block: u32 },
    /// Whole blocks in one run of the tar's, what is left in the index.
    Tail { block: u32 },
    /// Through a map.
    Chunks(Chunks),
}

/// A file in chunks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Chunks {
    /// A chunk's size is a block's, shifted left by this.
    pub(super) bits: u32,
    pub(super) count: u64,
    /// Blocks of the chunks that are copied.
    pub(super) copied_blocks: u64,
}

/// A part of the file that is copied into the index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Copied {
    pub(super) offset: u64,
    pub(super) length: u64,
}

/// A file, and where its bytes are.
#[derive(Debug)]
pub(super) struct Content<'t> {
    bytes: &'t FileBytes,
    extents: Extents,
    block_size: BlockSize,
    /// Whole blocks of the tar.
    tar_blocks: u32,
}

/// Nearly all files have one, for which no memory is asked.
#[derive(Debug)]
enum Extents {
    One([Extent; 1]),
    Many(Vec<Extent>),
}

impl<'t> Content<'t> {
    pub(super) fn new(bytes: &'t FileBytes, block_size: BlockSize, tar_blocks: u32) -> Self {
        if bytes.sparse.is_none() && bytes.size > 0 {
            let (length, tar_offset) = (bytes.size, bytes.data_offset);
            let extents = Extents::One([Extent { offset: 0, length, tar_offset }]);
            return Self { bytes, extents, block_size, tar_blocks };
        }
        // The tree's extents are in order. What lies behind the size is not of the file.
        let extents = bytes
            .extents()
            .filter(|extent| extent.offset < bytes.size)
            .map(|extent| {
                let length = extent.length.min(bytes.size - extent.offset);
                Extent { length, ..extent }
            })
            .collect();
        Self { bytes, extents: Extents::Many(extents), block_size, tar_blocks }
    }

    pub(super) fn extents(&self) -> &[Extent] {
        match &self.extents {
            Extents::One(extents) => extents,
            Extents::Many(extents) => extents,
        }
    }

    /// Bytes of the last, incomplete block.
    pub(super) fn tail_size(&self) -> u64 {
        self.bytes.size % self.block_size.bytes()
    }

    /// `inline_size_max` tells how long a tail behind the inode may be.
    pub(super) fn plan(&self, inline_size_max: u64) -> Plan {
        let size = self.bytes.size;
        if size == 0 {
            return Plan::Mapped { block: 0 };
        }
        if let [extent] = self.extents()[..]
            && extent.offset == 0
            && extent.length == size
        {
            if let Some(block) = self.mapped(&extent, 0, size) {
                return Plan::Mapped { block };
            }
            let tail = self.tail_size();
            let whole = size - tail;
            let block = if whole == 0 { Some(0) } else { self.mapped(&extent, 0, whole) };
            if let Some(block) = block
                && tail > 0
                && tail <= inline_size_max
            {
                return Plan::Tail { block };
            }
        }
        Plan::Chunks(self.cheapest())
    }

    /// The first block, if the file's bytes from `start` to `end` are whole blocks of the tar.
    /// `start` must be at a block's start within the extent.
    fn mapped(&self, extent: &Extent, start: u64, end: u64) -> Option<u32> {
        let block_size = self.block_size.bytes();
        let tar_start = extent.tar_offset + (start - extent.offset);
        let tar_end = tar_start + (end - start);
        // A file's last block shows what is behind the end to those who map it into memory.
        let is_whole = tar_end.is_multiple_of(block_size)
            || self.bytes.padding_is_zero && self.block_size == BlockSize::Tar;
        let fits = tar_end.div_ceil(block_size) <= u64::from(self.tar_blocks);
        let is_aligned = tar_start.is_multiple_of(block_size);
        (is_whole && fits && is_aligned).then(|| (tar_start / block_size) as u32)
    }

    /// The size of chunks for which map and copies take the least.
    fn cheapest(&self) -> Chunks {
        (0..=CHUNK_BITS_MAX)
            .map(|bits| self.chunks(bits))
            .min_by_key(|chunks| {
                let copied = chunks.copied_blocks.saturating_mul(self.block_size.bytes());
                chunks.count.saturating_mul(4).saturating_add(copied)
            })
            .expect("some size")
    }

    fn chunks(&self, bits: u32) -> Chunks {
        let chunk_size = self.block_size.bytes() << bits;
        let count = self.bytes.size.div_ceil(chunk_size);
        let mut copied_blocks = 0_u64;
        // The first chunk that is not accounted for.
        let mut next = 0;
        let mut copy = |first: u64, last: u64| {
            let first = first.max(next);
            if first <= last {
                let end = self.chunk_end(last, chunk_size);
                let bytes = end - first * chunk_size;
                copied_blocks += bytes.div_ceil(self.block_size.bytes());
                next = last + 1;
            }
        };
        for extent in self.extents() {
            let end = extent.offset + extent.length;
            let (first, last) = (extent.offset / chunk_size, (end - 1) / chunk_size);
            // Of the chunks from first to last, those that are whole within the extent.
            let whole_first = extent.offset.div_ceil(chunk_size);
            let whole_end = if end == self.chunk_end(last, chunk_size) { last + 1 } else { last };
            if whole_first >= whole_end {
                copy(first, last);
                continue;
            }
            let (start, middle_end) =
                (whole_first * chunk_size, self.chunk_end(whole_end - 1, chunk_size));
            let is_mapped = self.mapped(extent, start, middle_end).is_some();
            // Perhaps all but the very last, whose end has no clean padding.
            let mapped_end = if is_mapped { whole_end } else { whole_end - 1 };
            let is_mapped = is_mapped
                || mapped_end > whole_first
                    && self
                        .mapped(extent, start, self.chunk_end(mapped_end - 1, chunk_size))
                        .is_some();
            if !is_mapped {
                copy(first, last);
                continue;
            }
            if first < whole_first {
                copy(first, first);
            }
            if mapped_end <= last {
                copy(mapped_end, last);
            }
        }
        Chunks { bits, count, copied_blocks }
    }

    fn chunk_end(&self, chunk: u64, chunk_size: u64) -> u64 {
        (chunk + 1).saturating_mul(chunk_size).min(self.bytes.size)
    }

    /// The map, with addresses in the image, and what is to be copied, in this order.
    ///
    /// `copies_at` is the first block for copies, `tar_at` the one that stands for the tar's first.
    pub(super) fn map(
        &self,
        chunks: Chunks,
        copies_at: u32,
        tar_at: u32,
    ) -> (Vec<u32>, Vec<Copied>) {
        let chunk_size = self.block_size.bytes() << chunks.bits;
        let mut map = Vec::with_capacity(chunks.count as usize);
        let mut copies = Vec::new();
        let mut next = copies_at;
        let (extents, mut from) = (self.extents(), 0);
        for chunk in 0..chunks.count {
            let (start, end) = (chunk * chunk_size, self.chunk_end(chunk, chunk_size));
            while extents.get(from).is_some_and(|e| e.offset + e.length <= start) {
                from += 1;
            }
            let extent = extents.get(from).filter(|extent| extent.offset < end);
            let Some(extent) = extent else {
                map.push(HOLE);
                continue;
            };
            let covers = extent.offset <= start && extent.offset + extent.length >= end;
            if let Some(block) = covers.then(|| self.mapped(extent, start, end)).flatten() {
                map.push(tar_at + block);
                continue;
            }
            map.push(next);
            copies.push(Copied { offset: start, length: end - start });
            next += (end - start).div_ceil(self.block_size.bytes()) as u32;
        }
        debug_assert_eq!(u64::from(next - copies_at), chunks.copied_blocks, "as planned");
        (map, copies)
    }
}
