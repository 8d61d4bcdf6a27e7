//! Why an archive was not saved, loaded or imported. The texts are Docker's where it has one,
//! without the temporary directory that it unpacks archives to.

use std::io;

use varve_fs::layer::LayerError;
use varve_types::{
    Digest, Kind, Platform, Printable, config::ConfigError, manifest::ManifestError,
    platform::PlatformError, reference::ReferenceError,
};

use super::changes::ChangeError;

/// Why an archive was not saved, loaded or imported.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the fields name themselves")]
pub enum Error {
    /// The archive ends in the middle of something.
    #[error("unexpected EOF")]
    Truncated,
    /// The archive is not a tar, or one of its members is none that it may have.
    #[error(transparent)]
    Tar(LayerError),
    /// The compressed stream around the archive is damaged.
    #[error("the archive cannot be decompressed")]
    Decompress(#[source] io::Error),
    /// Reading the archive failed.
    #[error("cannot read the archive's content")]
    Read(#[source] io::Error),
    /// Writing the archive failed.
    #[error("cannot write the archive")]
    Write(#[source] io::Error),
    /// The archive lacks a file that it needs to have.
    #[error("open {}: no such file or directory", Printable(.0))]
    Missing(String),
    /// A path in a document of the archive leads out of it.
    #[error("evalSymlinksInScope: {} is not in the archive", Printable(.0))]
    Escapes(String),
    /// Links lead to each other without end.
    #[error("open {}: too many levels of symbolic links", Printable(.0))]
    LinkLoop(String),
    /// A document is not JSON. The text is Go's.
    #[error("{0}")]
    Json(String),
    /// A document is JSON of another shape.
    /// A document is JSON of another shape.
    #[error("{} is not valid: {reason}", Printable(path))]
    Document { path: String, reason: String },
    /// manifest.json and the config do not list the same number of layers.
    #[error("invalid manifest, layers length mismatch: expected {expected}, got {actual}")]
    LayerCount { expected: usize, actual: usize },
    /// A layer is not the one that the config lists.
    #[error("invalid diffID for layer {layer}: expected \"{expected}\", got \"{actual}\"")]
    DiffId { layer: usize, expected: Digest, actual: Digest },
    /// A file's bytes are not those that its name promises.
    #[error("invalid digest for blob: expected \"{expected}\", got \"{actual}\"")]
    BlobDigest { expected: Digest, actual: Digest },
    /// A blob has not the size that its descriptor promises.
    #[error("invalid size for blob {digest}: expected {expected}, got {actual}")]
    BlobSize { digest: Digest, expected: u64, actual: u64 },
    /// A manifest names a layer in a compression that image layers do not have.
    #[error("layer {0} is compressed in a way that manifests have no media type for")]
    LayerCompression(Digest),
    /// The image is for another operating system.
    #[error("cannot load {} image on linux", Printable(.0))]
    OperatingSystem(String),
    /// A name in the archive is not one.
    #[error(transparent)]
    Reference(#[from] ReferenceError),
    /// A name in the archive has no tag.
    #[error("invalid tag {:?}", Printable(.0).to_string())]
    Tag(String),
    /// A manifest or index is not one.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// A config is not one.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Indexes are nested too deeply, or contain themselves.
    #[error("indexes are nested more than {0} levels deep")]
    IndexDepth(usize),
    /// The archive has images, but none for the platform that was asked for.
    #[error("requested platform ({0}) not found: image might be filtered out")]
    PlatformNotLoaded(Platform),
    /// The image to save is for another platform.
    #[error("no suitable export target found for platform {0}")]
    PlatformNotSaved(Platform),
    /// The image to save has several platforms, but not the one that was asked for.
    #[error(
        "no suitable export target found: image with reference {name} was found but does not provide the specified platform ({platform})"
    )]
    PlatformNotInIndex { name: String, platform: Platform },
    /// There is nothing in the archive that could be run.
    #[error("the archive has no image")]
    NoImage,
    /// A platform that cannot be read.
    #[error(transparent)]
    Platform(#[from] PlatformError),
    /// A named limit was passed.
    #[error("{what} of {actual} is more than the limit of {limit}")]
    Limit { what: &'static str, actual: u64, limit: u64 },
    /// An instruction of `--change` was not understood.
    #[error(transparent)]
    Change(#[from] ChangeError),
    /// The store refused.
    #[error(transparent)]
    Store(#[from] varve_store::Error),
}

impl Error {
    /// Classifies the error for exit codes and HTTP statuses.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Truncated
            | Self::Decompress(_)
            | Self::DiffId { .. }
            | Self::BlobDigest { .. }
            | Self::BlobSize { .. } => Kind::Corrupt,
            Self::Read(source) | Self::Write(source) => match source.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Kind::Exhausted,
                io::ErrorKind::PermissionDenied => Kind::Denied,
                _ => Kind::Internal,
            },
            Self::Missing(_)
            | Self::Escapes(_)
            | Self::LinkLoop(_)
            | Self::Json(_)
            | Self::Document { .. }
            | Self::LayerCount { .. }
            | Self::Reference(_)
            | Self::Tag(_)
            | Self::Manifest(_)
            | Self::Config(_)
            | Self::NoImage
            | Self::Platform(_)
            | Self::Change(_) => Kind::Invalid,
            Self::LayerCompression(_) | Self::OperatingSystem(_) => Kind::Unsupported,
            Self::PlatformNotLoaded(_)
            | Self::PlatformNotSaved(_)
            | Self::PlatformNotInIndex { .. } => Kind::NotFound,
            Self::IndexDepth(_) | Self::Limit { .. } => Kind::Exhausted,
            Self::Tar(source) => source.kind(),
            Self::Store(source) => source.kind(),
        }
    }
}

impl Error {
    /// Tells why reading an archive's bytes failed. What a decompressor and the tar parser say
    /// arrives inside the error of a reader.
    pub(super) fn reading(error: io::Error) -> Self {
        let error = match error.downcast::<LayerError>() {
            Ok(inner) => return Self::from(inner),
            Err(error) => error,
        };
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::Truncated,
            io::ErrorKind::InvalidData => Self::Decompress(error),
            _ => Self::Read(error),
        }
    }

    /// Tells why the store did not take a layer. Its bytes came from outside, so the tar's and
    /// the decompressor's own words are what Docker says.
    pub(super) fn receiving(error: varve_store::Error) -> Self {
        match error {
            varve_store::Error::Layer { source, .. } => Self::from(source),
            varve_store::Error::Decompress { source, .. } | varve_store::Error::Source(source) => {
                Self::reading(source)
            }
            varve_store::Error::Mismatch { expected, actual } => {
                Self::BlobDigest { expected, actual }
            }
            other => Self::Store(other),
        }
    }
}

impl From<LayerError> for Error {
    fn from(error: LayerError) -> Self {
        match error {
            LayerError::Read(source) => Self::reading(source),
            // Docker says no more.
            error if matches!(error.what(), LayerError::UnexpectedEof) => Self::Truncated,
            other => Self::Tar(other),
        }
    }
}
