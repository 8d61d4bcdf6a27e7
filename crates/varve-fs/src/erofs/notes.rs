//! What a tree says and EROFS has no place for: a list behind everything else in the index, of
//! which the kernel knows nothing.
//!
//! The last bytes of the index tell where the list begins and how long it is. Each note is a
//! number for its kind, and its parts; all numbers are little-endian.

use crate::tar::Region;

/// Magic number behind position and size of the list.
const MAGIC: [u8; 4] = *b"vrv1";
pub(super) const FOOTER_SIZE: u64 = 16;

const IMPLIED: u8 = 1;
const WHITEOUT: u8 = 2;
const SCATTERED: u8 = 3;
const FOREIGN: u8 = 4;
/// In the place of a count of regions: the file is not sparse.
const NOT_SPARSE: u32 = u32::MAX;

/// A note.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Note {
    /// This directory is implied.
    Implied(u64),
    /// This inode is all whiteouts, not a device of the tar.
    Whiteout(u64),
    /// This file's bytes are not all in one run of the tar's blocks.
    Scattered {
        /// The file.
        nid: u64,
        /// Where in the tar its bytes begin.
        data_offset: u64,
        /// What is behind them.
        padding_is_zero: bool,
        /// Its pieces.
        sparse: Option<Box<[Region]>>,
    },
    /// A hard link to another layer's file.
    Foreign {
        /// The path of that file.
        target: Box<[u8]>,
        /// Directories and names in them.
        names: Vec<(u64, Box<[u8]>)>,
    },
}

pub(super) fn encode(note: &Note, bytes: &mut Vec<u8>) {
    match note {
        Note::Implied(nid) => {
            bytes.push(IMPLIED);
            bytes.extend_from_slice(&nid.to_le_bytes());
        }
        Note::Whiteout(nid) => {
            bytes.push(WHITEOUT);
            bytes.extend_from_slice(&nid.to_le_bytes());
        }
        Note::Scattered { nid, data_offset, padding_is_zero, sparse } => {
            bytes.push(SCATTERED);
            bytes.extend_from_slice(&nid.to_le_bytes());
            bytes.extend_from_slice(&data_offset.to_le_bytes());
            bytes.push(u8::from(*padding_is_zero));
            let count = sparse.as_ref().map_or(NOT_SPARSE, |regions| regions.len() as u32);
            bytes.extend_from_slice(&count.to_le_bytes());
            for region in sparse.iter().flatten() {
                bytes.extend_from_slice(&region.offset.to_le_bytes());
                bytes.extend_from_slice(&region.length.to_le_bytes());
            }
        }
        Note::Foreign { target, names } => {
            bytes.push(FOREIGN);
            bytes.extend_from_slice(&(target.len() as u32).to_le_bytes());
            bytes.extend_from_slice(target);
            bytes.extend_from_slice(&(names.len() as u32).to_le_bytes());
            for (directory, name) in names {
                bytes.extend_from_slice(&directory.to_le_bytes());
                bytes.extend_from_slice(&(name.len() as u32).to_le_bytes());
                bytes.extend_from_slice(name);
            }
        }
    }
}

/// The last bytes of the index.
pub(super) fn footer(position: u64, size: u32) -> [u8; FOOTER_SIZE as usize] {
    let mut bytes = [0; FOOTER_SIZE as usize];
    bytes[..8].copy_from_slice(&position.to_le_bytes());
    bytes[8..12].copy_from_slice(&size.to_le_bytes());
    bytes[12..].copy_from_slice(&MAGIC);
    bytes
}

/// Position and size of the list.
pub(super) fn read_footer(footer: &[u8; FOOTER_SIZE as usize]) -> Option<(u64, u32)> {
    let position = u64::from_le_bytes(footer[..8].try_into().ok()?);
    let size = u32::from_le_bytes(footer[8..12].try_into().ok()?);
    (footer[12..] == MAGIC).then_some((position, size))
}

/// Reads the next note; `None` if there is no sound one.
pub(super) fn decode(bytes: &mut &[u8]) -> Option<Note> {
    let kind = take(bytes, 1)?[0];
    Some(match kind {
        IMPLIED => Note::Implied(number(bytes)?),
        WHITEOUT => Note::Whiteout(number(bytes)?),
        SCATTERED => {
            let (nid, data_offset) = (number(bytes)?, number(bytes)?);
            let padding_is_zero = take(bytes, 1)?[0] != 0;
            let sparse = match count(bytes)? {
                NOT_SPARSE => None,
                regions => {
                    let regions = take(bytes, usize::try_from(regions).ok()?.checked_mul(16)?)?;
                    let region = |mut bytes: &[u8]| {
                        Some(Region { offset: number(&mut bytes)?, length: number(&mut bytes)? })
                    };
                    Some(regions.chunks_exact(16).map(region).collect::<Option<_>>()?)
                }
            };
            Note::Scattered { nid, data_offset, padding_is_zero, sparse }
        }
        FOREIGN => {
            let target = text(bytes)?;
            let mut names = Vec::new();
            for _ in 0..count(bytes)? {
                names.push((number(bytes)?, text(bytes)?));
            }
            Note::Foreign { target, names }
        }
        _ => return None,
    })
}

fn take<'b>(bytes: &mut &'b [u8], count: usize) -> Option<&'b [u8]> {
    let (taken, rest) = bytes.split_at_checked(count)?;
    *bytes = rest;
    Some(taken)
}

fn number(bytes: &mut &[u8]) -> Option<u64> {
    Some(u64::from_le_bytes(take(bytes, 8)?.try_into().ok()?))
}

fn count(bytes: &mut &[u8]) -> Option<u32> {
    Some(u32::from_le_bytes(take(bytes, 4)?.try_into().ok()?))
}

fn text(bytes: &mut &[u8]) -> Option<Box<[u8]>> {
    let size = count(bytes)?;
    Some(take(bytes, size as usize)?.into())
}
