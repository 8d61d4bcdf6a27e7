//! Why an image was not copied.

use varve_types::{
    Digest, Kind, Platform, Printable, config::ConfigError, manifest::ManifestError,
    platform::PlatformError,
};

use crate::client;

/// Why an image was not copied. Texts are Docker's where it has one.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The registry did not do its part.
    #[error(transparent)]
    Registry(#[from] client::Error),
    /// The store did not do its part.
    #[error(transparent)]
    Store(varve_store::Error),
    /// A layer's bytes are not the promised ones.
    #[error("filesystem layer verification failed for digest {digest}")]
    LayerVerification {
        /// Of the layer's blob.
        digest: Digest,
        /// What is wrong with it.
        source: varve_store::Error,
    },
    /// A manifest's or config's bytes are not the promised ones.
    #[error("manifest verification failed for digest {0}")]
    ManifestVerification(Digest),
    /// A manifest inside an index cannot be worked with.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The config cannot be worked with.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The index has nothing for this platform.
    #[error("no matching manifest for {0} in the manifest list entries")]
    NoPlatform(Platform),
    /// A platform that cannot be read.
    #[error(transparent)]
    Platform(#[from] PlatformError),
    /// Indexes inside indexes, deeper than the limit (or inside themselves).
    #[error("index {digest} is nested more than {limit} levels deep", limit = varve_types::limits::INDEX_DEPTH_MAX)]
    Depth {
        /// The innermost index looked at.
        digest: Digest,
    },
    /// More manifests in all than one image's index may lead to.
    #[error("index leads to more than {limit} manifests", limit = varve_types::limits::INDEX_MANIFESTS_MAX)]
    TooManyManifests,
    /// What the name points at is not an image (a chart, a signature …).
    #[error("unsupported media type {}", Printable(.0))]
    NotAnImage(String),
    /// Config and manifest disagree about the number of layers.
    #[error("image config lists {config} layers, but the manifest has {manifest}")]
    LayerCount {
        /// In the config.
        config: usize,
        /// In the manifest.
        manifest: usize,
    },
    /// The descriptor promised another number of bytes.
    #[error("{what} {digest} has {actual} bytes, but {expected} were promised")]
    Size {
        /// `manifest` or `config`.
        what: &'static str,
        /// Of which content.
        digest: Digest,
        /// What was promised.
        expected: u64,
        /// What there is.
        actual: u64,
    },
    /// An image for an operating system whose programs can never run here.
    #[error(
        "image operating system \"{}\" cannot be used on this platform: operating system is not supported",
        Printable(.0)
    )]
    OperatingSystem(String),
    /// Another layer failed; this one was stopped.
    #[error("stopped, because another layer failed")]
    Cancelled,
}

impl Error {
    /// Classifies the error.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Registry(error) => error.kind(),
            Self::Store(error) => error.kind(),
            Self::LayerVerification { .. }
            | Self::ManifestVerification(_)
            | Self::LayerCount { .. }
            | Self::Size { .. } => Kind::Corrupt,
            Self::Manifest(error) => error.kind(),
            Self::Config(error) => error.kind(),
            Self::Platform(_) => Kind::Invalid,
            Self::NoPlatform(_) => Kind::NotFound,
            Self::Depth { .. } | Self::TooManyManifests => Kind::Exhausted,
            Self::NotAnImage(_) | Self::OperatingSystem(_) => Kind::Unsupported,
            Self::Cancelled => Kind::Unavailable,
        }
    }

    /// An error of the store while it took in the blob `digest`.
    pub(super) fn from_store(error: varve_store::Error, digest: Digest) -> Self {
        use varve_store::Error as Store;
        match error {
            Store::Mismatch { .. }
            | Store::Size { .. }
            | Store::DiffId { .. }
            | Store::Decompress { .. }
            | Store::Layer { .. } => Self::LayerVerification { digest, source: error },
            Store::Source(source) => match source.downcast::<client::Error>() {
                Ok(registry) => Self::Registry(registry),
                Err(source) => Self::Store(Store::Source(source)),
            },
            other => Self::Store(other),
        }
    }
}

impl From<varve_store::Error> for Error {
    fn from(error: varve_store::Error) -> Self {
        Self::Store(error)
    }
}
