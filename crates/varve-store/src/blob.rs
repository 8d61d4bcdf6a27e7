//! Committed blobs.

use std::io::{self, Read};

use varve_types::{Digest, Document, ImageConfig, ImageId, ManifestKind};

use crate::{Lease, Result, Store};

/// Reads a blob and verifies size and digest: the read that would return the end of the file
/// returns an error (`InvalidData`) instead when the bytes were not the promised ones.
#[derive(Debug)]
pub struct BlobReader {
    _private: (),
}

impl Read for BlobReader {
    fn read(&mut self, _buffer: &mut [u8]) -> io::Result<usize> {
        todo!()
    }
}

impl Store {
    /// The size in bytes of a committed blob, or `None`. Pins nothing.
    pub fn blob_size(&self, _digest: &Digest) -> Result<Option<u64>> {
        todo!()
    }

    /// Pins a blob under a lease if it is present and returns its size. What is pinned stays.
    pub fn pin_blob(&self, _lease: &Lease, _digest: &Digest) -> Result<Option<u64>> {
        todo!()
    }

    /// Opens a blob for reading.
    pub fn open_blob(&self, _digest: &Digest) -> Result<BlobReader> {
        todo!()
    }

    /// Reads a whole small blob, verified; more than `size_bytes_max` is an error.
    pub fn read_blob(&self, _digest: &Digest, _size_bytes_max: u64) -> Result<Vec<u8>> {
        todo!()
    }

    /// Stores small content whole (manifests, indexes, configs) and pins it under the lease.
    pub fn put_blob(&self, _lease: &Lease, _bytes: &[u8]) -> Result<Digest> {
        todo!()
    }

    /// Reads and parses a manifest or index.
    pub fn manifest(&self, _digest: &Digest) -> Result<ManifestKind> {
        todo!()
    }

    /// Reads and parses an image config.
    pub fn config(&self, _id: &ImageId) -> Result<Document<ImageConfig>> {
        todo!()
    }
}
