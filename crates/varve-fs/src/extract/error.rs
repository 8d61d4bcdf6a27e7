//! Why a tree could not be extracted.

use std::io;

use varve_types::{Kind, Printable};

use crate::tar::lossy;

/// Why a tree could not be extracted. Paths are the tree's.
#[derive(Debug, thiserror::Error)]
pub enum ExtractError {
    /// The kernel refused. `action` is a bare verb.
    #[error("cannot {action} `/{}`", Printable(&lossy(path)))]
    Io {
        /// What was tried.
        action: &'static str,
        /// With what.
        path: Vec<u8>,
        /// What the kernel says.
        source: io::Error,
    },
    /// The tar ends before the data of a file.
    #[error("the tar ends before the data of `/{}`", Printable(&lossy(path)))]
    TarTooShort {
        /// The file.
        path: Vec<u8>,
    },
}

impl ExtractError {
    /// The class of the error.
    pub fn kind(&self) -> Kind {
        match self {
            ExtractError::Io { source, .. } => match source.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Kind::Exhausted,
                io::ErrorKind::PermissionDenied => Kind::Denied,
                _ => Kind::Internal,
            },
            ExtractError::TarTooShort { .. } => Kind::Corrupt,
        }
    }
}

/// A failure whose place is known to the caller only.
#[derive(Debug)]
pub(super) enum Failure {
    Io(&'static str, io::Error),
    TarTooShort,
}

impl Failure {
    pub(super) fn at(self, path: &[u8]) -> ExtractError {
        let path = path.to_vec();
        match self {
            Failure::Io(action, source) => ExtractError::Io { action, path, source },
            Failure::TarTooShort => ExtractError::TarTooShort { path },
        }
    }
}

/// Says what was tried when a call fails.
pub(super) trait Tried<T> {
    fn tried(self, action: &'static str) -> Result<T, Failure>;
}

impl<T> Tried<T> for Result<T, rustix::io::Errno> {
    fn tried(self, action: &'static str) -> Result<T, Failure> {
        self.map_err(|error| Failure::Io(action, error.into()))
    }
}
