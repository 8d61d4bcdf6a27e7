//! Why the store did not do what was asked.

use std::{
    io,
    path::{Path, PathBuf},
};

use varve_types::{ChainId, DiffId, Digest, Kind};

/// Why the store did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No committed blob has this digest; an unfinished ingest does not count.
    #[error("blob {0} is not in the store")]
    BlobNotFound(Digest),
    /// The layer has not been indexed here and its blob is gone.
    #[error("layer {0} is not in the store")]
    LayerNotFound(DiffId),
    /// A committed blob does not hash to its own name any more: the disk or somebody else changed it.
    #[error("blob {0} in the store is damaged")]
    Damaged(Digest),
    /// All bytes arrived but they are not the promised ones. Nothing was kept.
    #[error("expected blob {expected}, received {actual}")]
    Mismatch {
        /// What was promised.
        expected: Digest,
        /// What came.
        actual: Digest,
    },
    /// The number of bytes is not the promised one. Nothing was kept.
    #[error("expected {expected} bytes for blob {digest}, received {actual}")]
    Size {
        /// Of which blob.
        digest: Digest,
        /// What was promised.
        expected: u64,
        /// What came (at least).
        actual: u64,
    },
    /// The layer's tar is not the one that the config lists.
    #[error("expected diff ID {expected}, got {actual}")]
    DiffId {
        /// What the config lists.
        expected: DiffId,
        /// What the tar hashes to.
        actual: DiffId,
    },
    /// The layer is not a sound tar.
    #[error("layer {digest} cannot be read")]
    Layer {
        /// Of which blob, when known.
        digest: String,
        /// Why.
        source: varve_fs::layer::LayerError,
    },
    /// The layer's tree does not fit into an index.
    #[error("layer {layer} cannot be indexed")]
    WriteIndex {
        /// Which.
        layer: DiffId,
        /// Why.
        source: varve_fs::erofs::WriteError,
    },
    /// A layer's index cannot be read, though it is the one that was written.
    #[error("the index of layer {layer} cannot be read")]
    ReadIndex {
        /// Of which layer.
        layer: DiffId,
        /// Why.
        source: varve_fs::erofs::ReadError,
    },
    /// What lies in a layer's place is not the layer, and it cannot be made anew.
    #[error("layer {0} in the store is damaged: its tar does not hash to the diff ID")]
    DamagedLayer(DiffId),
    /// Layers do not go together.
    #[error("the layers of chain {chain} do not go together")]
    Chain {
        /// Which.
        chain: ChainId,
        /// Why not.
        source: Box<varve_fs::stack::StackError>,
    },
    /// What mends a chain does not fit into an index.
    #[error("the mend of chain {chain} cannot be indexed")]
    WriteMend {
        /// Of which chain.
        chain: ChainId,
        /// Why.
        source: varve_fs::erofs::WriteError,
    },
    /// A chain has one layer at least.
    #[error("a chain of no layers has no name")]
    NoLayers,
    /// A second index of a layer is gone, or is not what its name says.
    #[error("the real times {0} of a layer are not in the store")]
    TimesNotFound(Digest),
    /// What a cache mount takes cannot be found out.
    #[error("cannot measure {}", path.display())]
    Measure {
        /// Where it is.
        path: PathBuf,
        /// Why not.
        source: Box<varve_fs::upper::UpperError>,
    },
    /// A holder's name is to be a file's.
    #[error("`{0}` is no name for a holder of layers")]
    HolderName(String),
    /// A mount is in use.
    #[error("{} is in use", .0.display())]
    InUse(PathBuf),
    /// Something could not be mounted or unmounted.
    #[error(transparent)]
    Mount(#[from] varve_fs::mount::MountError),
    /// A layer cannot be shown.
    #[error(transparent)]
    Backend(#[from] varve_fs::backend::BackendError),
    /// The compressed stream is damaged or ends early.
    #[error("layer {digest} cannot be decompressed")]
    Decompress {
        /// Of which blob, when known.
        digest: String,
        /// Why.
        source: io::Error,
    },
    /// The other side of a transfer failed while bytes were read from it; what arrived is kept.
    #[error("reading the source failed")]
    Source(#[source] io::Error),
    /// A manifest, index or config in the store cannot be parsed.
    #[error("{what} {digest} in the store is not valid: {reason}")]
    Document {
        /// `manifest` or `config`.
        what: &'static str,
        /// Which.
        digest: Digest,
        /// Why.
        reason: String,
    },
    /// The record of a container or volume cannot be parsed.
    #[error("the record {} is not valid: {reason}", path.display())]
    Record {
        /// Where it is.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The directory was made by a newer varve.
    #[error("the store at {} has format {found}, and this varve knows formats up to {known}", path.display())]
    Format {
        /// The store.
        path: PathBuf,
        /// What its format file says.
        found: String,
        /// What we know.
        known: u32,
    },
    /// The directory holds something that is not a store.
    #[error("{} is not a varve store or OCI image layout: {reason}", path.display())]
    NotAStore {
        /// The directory.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A named limit was passed.
    #[error("{what} of {actual} is more than the limit of {limit}")]
    Limit {
        /// Of what.
        what: &'static str,
        /// The number found.
        actual: u64,
        /// The most there may be.
        limit: u64,
    },
    /// The kernel refused. `action` is a bare verb: "create", "sync", "rename".
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

impl Error {
    /// Classifies the error for exit codes, HTTP statuses and retry decisions.
    pub fn kind(&self) -> Kind {
        match self {
            Self::BlobNotFound(_) | Self::LayerNotFound(_) | Self::TimesNotFound(_) => {
                Kind::NotFound
            }
            Self::Damaged(_)
            | Self::Mismatch { .. }
            | Self::Size { .. }
            | Self::DiffId { .. }
            | Self::Decompress { .. }
            | Self::DamagedLayer(_)
            | Self::Document { .. }
            | Self::Record { .. } => Kind::Corrupt,
            Self::Chain { source, .. } => source.kind(),
            Self::Measure { source, .. } => source.kind(),
            Self::Mount(error) => error.kind(),
            Self::Backend(error) => error.kind(),
            Self::InUse(_) => Kind::Conflict,
            Self::Layer { source, .. } => source.kind(),
            Self::WriteIndex { source, .. } | Self::WriteMend { source, .. } => source.kind(),
            Self::ReadIndex { source, .. } => source.kind(),
            Self::Source(_) => Kind::Unavailable,
            Self::Format { .. } => Kind::Unsupported,
            Self::NotAStore { .. } | Self::NoLayers | Self::HolderName(_) => Kind::Invalid,
            Self::Limit { .. } => Kind::Exhausted,
            Self::Io { source, .. } => match source.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Kind::Exhausted,
                io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => Kind::Denied,
                _ => Kind::Internal,
            },
        }
    }
}

/// Names what was tried and on what, for an error of the kernel.
pub(crate) fn cannot(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    move |source| Error::Io { action, path: path.to_owned(), source }
}
