//! What tells that the image table is still as it was written: `varve/table.json` beside it.
//!
//! Names are the one thing in a store that follows from nothing else, so a bit of `index.json` that
//! falls over must be found, and can even be turned back. Whoever else writes the file (other
//! tools may) changes its inode or time, and then the stamp says nothing.

use std::{fs, io, os::unix::fs::MetadataExt as _, path::Path};

use serde::{Deserialize, Serialize};
use varve_fs::{checksum, durable};
use varve_types::sealed;

use crate::{Result, error::cannot, store::LAYOUT_MODE};

pub(crate) const FILE_NAME: &str = "varve/table.json";
const NEW: &str = "varve/table.json.new";

/// Identity and sum of the table's file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TableStamp {
    inode: u64,
    modified_seconds: i64,
    modified_nanoseconds: i64,
    size_bytes: u64,
    crc32: u32,
}

/// What a stamp says of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stamped {
    /// Nothing: there is none, or the file was written by somebody else.
    Unknown,
    /// It is as it was written.
    Right,
    /// It is another one, though nobody wrote it; these were its size in bytes and its sum.
    Wrong { size_bytes: u64, crc32: u32 },
}

impl TableStamp {
    /// Of a table that was written with this text.
    fn of(table: &Path, text: &[u8]) -> io::Result<Self> {
        let facts = fs::metadata(table)?;
        Ok(Self {
            inode: facts.ino(),
            modified_seconds: facts.mtime(),
            modified_nanoseconds: facts.mtime_nsec(),
            size_bytes: text.len() as u64,
            crc32: checksum::crc32(text),
        })
    }

    fn judge(self, now: Self) -> Stamped {
        let Self { size_bytes, crc32, .. } = self;
        if self == now {
            Stamped::Right
        } else if (Self { size_bytes: now.size_bytes, crc32: now.crc32, ..self }) == now {
            Stamped::Wrong { size_bytes, crc32 }
        } else {
            Stamped::Unknown
        }
    }
}

/// Writes the stamp of the table in the store at `root`, which was just written with this text and
/// is locked. Not synced: after a power loss it may be that of an earlier table, or make no sense.
pub(crate) fn write(root: &Path, text: &[u8]) -> Result<()> {
    let (path, new) = (root.join(FILE_NAME), root.join(NEW));
    TableStamp::of(&root.join("index.json"), text)
        .and_then(|stamp| {
            let stamp = sealed::seal(&stamp).unwrap_or_default();
            durable::replace_through_unsynced(&new, &path, &stamp, LAYOUT_MODE)
        })
        .map_err(cannot("write", &path))
}

/// Compares the table with its stamp.
pub(crate) fn judge(root: &Path, text: &[u8]) -> Result<Stamped> {
    let path = root.join(FILE_NAME);
    let there = match fs::read(&path) {
        Ok(bytes) => sealed::parse::<TableStamp>(&bytes).ok(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(source) => return Err(cannot("read", &path)(source)),
    };
    let table = root.join("index.json");
    let now = TableStamp::of(&table, text).map_err(cannot("read", &table))?;
    Ok(there.map_or(Stamped::Unknown, |stamp| stamp.judge(now)))
}
