//! Sparse files: where their maps are, and whether a map fits its file.
//!
//! The old GNU format has the map in the header and in blocks behind it; PAX 0.0 and 0.1 have it
//! in records; PAX 1.0 has it as text in front of the data.

use varve_types::limits;

use super::{Parser, State};
use crate::{
    layer::{HeaderFault, LayerError},
    tar::{
        Entry, EntryKind, Region,
        header::{self, BLOCK_SIZE_BYTES, Block, Header},
        pax,
    },
};

/// A sparse file whose map is not complete.
#[derive(Debug)]
pub(super) struct Sparse {
    entry: Box<Entry>,
    map: Vec<(u64, u64)>,
}

/// A map in decimal lines: how many regions, then offset and length of each.
#[derive(Debug)]
pub(super) struct SparseText {
    sparse: Sparse,
    number: Vec<u8>,
    regions: Option<u64>,
    offset: Option<u64>,
}

impl Parser {
    /// Decides whether the entry is sparse, and where its map and its data are.
    pub(super) fn begin_data(
        &mut self,
        mut entry: Box<Entry>,
        header: &Header,
        sparse: pax::Sparse,
    ) -> Result<Option<Box<Entry>>, LayerError> {
        let is_sparse = sparse != pax::Sparse::default();
        if header.type_flag() == b'S' {
            let mut map = Vec::new();
            let (size, more) = header.gnu_sparse(&mut map).map_err(|fault| self.invalid(fault))?;
            entry.size = size;
            if is_sparse {
                return Err(self.invalid(HeaderFault::Contradiction));
            }
            return self.gnu_sparse(Sparse { entry, map }, more);
        }
        if !is_sparse {
            return Ok(Some(self.data_follows(entry)));
        }
        let real_size = sparse.real_size.filter(|_| entry.kind == EntryKind::File);
        entry.size = real_size.ok_or_else(|| self.invalid(HeaderFault::Sparse))?;
        match (sparse.major.unwrap_or(0), sparse.minor.unwrap_or(0)) {
            (1, 0) if sparse.map.is_empty() && sparse.regions.is_none() => {
                let sparse = Sparse { entry, map: Vec::new() };
                let number = Vec::new();
                let text = SparseText { sparse, number, regions: None, offset: None };
                self.sparse_block_or_end(Box::new(text))
            }
            (0, 0 | 1) if sparse.regions.is_none_or(|count| count == sparse.map.len() as u64) => {
                self.map_complete(entry, &sparse.map)
            }
            _ => Err(self.invalid(HeaderFault::Sparse)),
        }
    }

    fn gnu_sparse(&mut self, sparse: Sparse, more: bool) -> Result<Option<Box<Entry>>, LayerError> {
        check_regions(sparse.map.len() as u64)?;
        if more {
            self.state = State::MoreSparse(Box::new(sparse));
            return Ok(None);
        }
        self.map_complete(sparse.entry, &sparse.map)
    }

    /// Takes a block with more of an old GNU map.
    pub(super) fn more_sparse(
        &mut self,
        mut sparse: Sparse,
        block: &Block,
    ) -> Result<Option<Box<Entry>>, LayerError> {
        let more = header::more_gnu_sparse(block, &mut sparse.map);
        let more = more.map_err(|fault| self.invalid(fault))?;
        self.gnu_sparse(sparse, more)
    }

    /// Asks for another block of the map, which counts as part of the entry's data.
    fn sparse_block_or_end(
        &mut self,
        mut text: Box<SparseText>,
    ) -> Result<Option<Box<Entry>>, LayerError> {
        let entry = &mut text.sparse.entry;
        let left = entry.stored_size.checked_sub(BLOCK_SIZE_BYTES as u64);
        entry.stored_size = left.ok_or_else(|| self.invalid(HeaderFault::Sparse))?;
        self.state = State::SparseText(text);
        Ok(None)
    }

    /// Takes a block of the map of a PAX 1.0 sparse file.
    pub(super) fn sparse_text(
        &mut self,
        mut text: Box<SparseText>,
        block: &Block,
    ) -> Result<Option<Box<Entry>>, LayerError> {
        for &byte in block {
            if byte != b'\n' {
                // Twenty digits are enough for any number.
                if text.number.len() >= 20 {
                    return Err(self.invalid(HeaderFault::Sparse));
                }
                text.number.push(byte);
                continue;
            }
            let number = pax::decimal(&text.number);
            let number = number.ok_or_else(|| self.invalid(HeaderFault::Sparse))?;
            text.number.clear();
            match (text.regions, text.offset.take()) {
                (None, _) => {
                    check_regions(number)?;
                    text.regions = Some(number);
                }
                (Some(_), None) => text.offset = Some(number),
                (Some(_), Some(offset)) => text.sparse.map.push((offset, number)),
            }
            if text.regions == Some(text.sparse.map.len() as u64) {
                let Sparse { entry, map } = text.sparse;
                return self.map_complete(entry, &map);
            }
        }
        self.sparse_block_or_end(text)
    }

    /// Checks that the regions are in order, inside the file, and exactly what is stored.
    fn map_complete(
        &mut self,
        mut entry: Box<Entry>,
        map: &[(u64, u64)],
    ) -> Result<Option<Box<Entry>>, LayerError> {
        let (mut end, mut stored) = (0_u64, 0_u64);
        let mut regions = Vec::new();
        for &(offset, length) in map {
            let next_end = offset
                .checked_add(length)
                .filter(|&next_end| offset >= end && next_end <= entry.size);
            end = next_end.ok_or_else(|| self.invalid(HeaderFault::Sparse))?;
            stored += length;
            if length > 0 {
                regions.push(Region { offset, length });
            }
        }
        if stored != entry.stored_size || i64::try_from(entry.size).is_err() {
            return Err(self.invalid(HeaderFault::Sparse));
        }
        entry.sparse = Some(regions);
        Ok(Some(self.data_follows(entry)))
    }
}

fn check_regions(count: u64) -> Result<(), LayerError> {
    let limit = limits::SPARSE_REGIONS_MAX as u64;
    if count > limit {
        return Err(LayerError::Limit { what: "regions of a sparse file", limit });
    }
    Ok(())
}
