//! Bytes on their way in.

use std::io::Read;

use varve_fs::compression::Compression;
use varve_types::{Descriptor, DiffId};

use crate::{LayerRecord, Lease, Result, Store};

/// A layer to take in.
#[derive(Debug, Clone, Default)]
pub struct LayerRequest {
    /// Digest and size of the bytes that will come, when known. Only such an ingest can be resumed.
    pub descriptor: Option<Descriptor>,
    /// The diff ID that the config lists, when known; checked before anything is published.
    pub diff_id: Option<DiffId>,
    /// What becomes the blob.
    pub keep: Keep,
}

/// Which bytes become the blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Keep {
    /// Those that came: what was pulled or loaded is pushed and saved bit for bit.
    #[default]
    AsReceived,
    /// The plain tar, whatever the source was compressed with (`import`).
    Uncompressed,
}

/// A layer that is in the store: blob and layer record, both pinned under the lease.
#[derive(Debug, Clone)]
pub struct StoredLayer {
    /// The blob: its digest and size, with the OCI layer media type for its compression.
    pub blob: Descriptor,
    /// How the blob is compressed.
    pub compression: Compression,
    /// The indexed layer.
    pub record: LayerRecord,
}

/// A layer being taken in. Holds the ingest's lock: another process that wants the same blob
/// waits in [`Store::ingest_layer`] and then finds it present.
#[derive(Debug)]
pub struct LayerIngest {
    _private: (),
}

/// What [`Store::ingest_layer`] found.
#[derive(Debug)]
pub enum LayerState {
    /// Blob and layer are here already.
    Present(StoredLayer),
    /// Bytes are wanted.
    Wanted(LayerIngest),
}

impl LayerIngest {
    /// How many of the blob's bytes are here already: the source must begin behind them.
    pub fn resume_from(&self) -> u64 {
        todo!()
    }

    /// Forgets the bytes that are here already (the source cannot continue, or they were damaged).
    pub fn restart(&mut self) -> Result<()> {
        todo!()
    }

    /// Takes all of `body`, in one pass: hash, file, inflate, hash, tar, tree; then publishes
    /// blob and layer. `body` begins at [`resume_from`](Self::resume_from). When reading `body`
    /// fails ([`crate::Error::Source`]) the bytes that came are kept and synced: `self` may be
    /// asked again, now or by another process. When the bytes are wrong, nothing is kept.
    pub fn receive(&mut self, _body: &mut dyn Read) -> Result<StoredLayer> {
        todo!()
    }
}

/// A blob that is not a layer being taken in (an artifact's content, for instance).
#[derive(Debug)]
pub struct BlobIngest {
    _private: (),
}

impl BlobIngest {
    /// How many bytes are here already.
    pub fn resume_from(&self) -> u64 {
        todo!()
    }

    /// Forgets the bytes that are here already.
    pub fn restart(&mut self) -> Result<()> {
        todo!()
    }

    /// Takes all of `body` and publishes the blob.
    pub fn receive(&mut self, _body: &mut dyn Read) -> Result<Descriptor> {
        todo!()
    }
}

impl Store {
    /// Begins to take a layer in, waiting while another process takes the same one.
    /// Where blob or layer are here already, only what is missing is made (a layer is rebuilt
    /// from its blob without the source).
    pub fn ingest_layer(&self, _lease: &Lease, _request: LayerRequest) -> Result<LayerState> {
        todo!()
    }

    /// Begins to take in a blob that is not a layer; `None` when it is here already (and now pinned).
    pub fn ingest_blob(
        &self,
        _lease: &Lease,
        _descriptor: &Descriptor,
    ) -> Result<Option<BlobIngest>> {
        todo!()
    }
}
