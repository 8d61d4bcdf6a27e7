//! Mark and sweep.

use varve_types::{DiffId, Digest};

use crate::{Result, Store};

/// What a sweep removed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Swept {
    /// Blobs.
    pub blobs: Vec<Digest>,
    /// Indexed layers, with Docker's size in bytes of each.
    pub layers: Vec<(DiffId, u64)>,
    /// Bytes of disk freed.
    pub freed_bytes: u64,
}

impl Store {
    /// Removes everything that no name, container, cache record or live lease reaches.
    pub fn sweep(&self) -> Result<Swept> {
        todo!()
    }
}
