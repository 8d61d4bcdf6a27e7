//! What tells, without reading it, that a tar is still the one that was hashed: `verified.json`
//! beside it. Losing that costs time only.

use std::{fs, io, os::unix::fs::MetadataExt, path::Path};

use serde::{Deserialize, Serialize};
use varve_fs::durable;

use crate::{Result, error::cannot, store::LAYOUT_MODE};

pub(crate) const FILE_NAME: &str = "verified.json";

/// Identity of a file whose content was verified. Whoever writes into the file changes the time,
/// which nobody sets at will. (So does a new name or mode, and then it is hashed once more.)
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TarStamp {
    size_bytes: u64,
    inode: u64,
    /// When the inode last changed (`ctime`), since 1970.
    changed_seconds: i64,
    changed_nanoseconds: i64,
}

impl TarStamp {
    /// Of a file as it is now; of one that is not there, what no file has.
    pub(crate) fn of(path: &Path) -> Self {
        let facts = fs::metadata(path).ok();
        Self {
            size_bytes: facts.as_ref().map_or(0, fs::Metadata::len),
            inode: facts.as_ref().map_or(0, MetadataExt::ino),
            changed_seconds: facts.as_ref().map_or(0, MetadataExt::ctime),
            changed_nanoseconds: facts.as_ref().map_or(0, MetadataExt::ctime_nsec),
        }
    }

    /// What was written down in a layer's directory.
    pub(crate) fn read(layer: &Path) -> Option<Self> {
        serde_json::from_slice(&fs::read(layer.join(FILE_NAME)).ok()?).ok()
    }

    /// Writes it down. Not synced: after a power loss it may be gone, or make no sense.
    pub(crate) fn write(self, layer: &Path) -> Result<()> {
        let name = durable::random_name().map_err(cannot("name", layer))?;
        let (path, new) = (layer.join(FILE_NAME), layer.join(format!(".{FILE_NAME}.{name}")));
        // Made of numbers only; there is nothing that JSON cannot say.
        let text = serde_json::to_vec(&self).unwrap_or_default();
        let written = write(&new, &text).and_then(|()| durable::rename(&new, &path));
        if written.is_err() {
            let _ = durable::unlink(&new);
        }
        written.map_err(cannot("write", &path))
    }
}

fn write(path: &Path, text: &[u8]) -> io::Result<()> {
    durable::write_all(&durable::create_new(path, LAYOUT_MODE)?, text)
}
