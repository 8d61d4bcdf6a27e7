//! Why files are not copied. The texts are docker's where docker has one.

use std::io;

use varve_fs::layer::LayerError;
use varve_types::{Kind, Printable};

use super::Fault;
use crate::select::SelectError;

/// Why files are not copied.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// What is to be copied is not there, or cannot be told.
    #[error(transparent)]
    Select(#[from] SelectError),
    /// The files cannot be had from where they are.
    #[error(transparent)]
    Source(#[from] Fault),
    /// Something is in the way of a directory that must be made.
    #[error("mkdir /{}: not a directory", Printable(.0))]
    NotADirectory(String),
    /// Something is in the way of a directory that is copied.
    #[error("cannot copy to non-directory: /{}", Printable(.0))]
    OverFile(String),
    /// A directory is in the way of something else.
    #[error("cannot replace to directory /{} with file", Printable(.0))]
    OverDirectory(String),
    /// Links of the destination lead to each other.
    #[error("/{}: too many levels of symbolic links", Printable(.0))]
    Links(String),
    /// A name that means something else in a layer.
    #[error("/{} cannot be copied: in a layer, its name would hide another file", Printable(.0))]
    WhiteoutName(String),
    /// A path, once joined, is longer than any file system takes.
    #[error("/{} is longer than the limit of {limit} bytes", Printable(.0), limit = varve_types::limits::PATH_SIZE_BYTES_MAX)]
    PathTooLong(String),
    /// `/etc/passwd` or `/etc/group` of the base cannot be read.
    #[error("cannot find out who `{}` is: /{file} {why}", Printable(owner))]
    Owner {
        /// Who was asked for.
        owner: String,
        /// The file.
        file: &'static str,
        /// What is wrong with it.
        why: &'static str,
    },
    /// An archive that is to be unpacked is damaged.
    #[error("cannot unpack `/{}`", Printable(path))]
    Archive {
        /// The archive.
        path: String,
        /// Why.
        source: LayerError,
    },
    /// A file cannot be read, or is not any more what it was.
    #[error("cannot copy `/{}`", Printable(path))]
    Read {
        /// The file.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// The layer cannot be written.
    #[error("cannot write the layer")]
    Write(#[source] io::Error),
}

impl CopyError {
    /// Classifies the error.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Select(cause) => cause.kind(),
            Self::Source(cause) => cause.kind(),
            Self::NotADirectory(_)
            | Self::OverFile(_)
            | Self::OverDirectory(_)
            | Self::Links(_)
            | Self::WhiteoutName(_)
            | Self::Owner { .. } => Kind::Invalid,
            Self::PathTooLong(_) => Kind::Exhausted,
            Self::Archive { source, .. } => source.kind(),
            Self::Read { .. } | Self::Write(_) => Kind::Internal,
        }
    }

    /// The path that is not there, with a slash in front. Docker says in which of the sources: a
    /// context's or a step's `failed to calculate checksum of ref …: "/nosuch": not found`.
    pub fn missing(&self) -> Option<&str> {
        match self {
            Self::Select(SelectError::NotFound(path)) => Some(path),
            _ => None,
        }
    }
}

/// The text of a path that is shown.
pub(super) fn shown(path: &[u8]) -> String {
    String::from_utf8_lossy(path).into_owned()
}
