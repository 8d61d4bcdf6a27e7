//! Why a backend could not do what was asked.

use std::{
    io,
    path::{Path, PathBuf},
};

use rustix::io::Errno;
use varve_types::Kind;

use crate::{extract::ExtractError, mount::MountError};

/// Why a backend could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum BackendError {
    /// A layer could not be mounted or unmounted.
    #[error(transparent)]
    Mount(#[from] MountError),
    /// A layer's files could not be made.
    #[error(transparent)]
    Extract(#[from] ExtractError),
    /// The kernel refused. `action` is a bare verb.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// With what.
        path: PathBuf,
        /// What the kernel says.
        source: io::Error,
    },
}

impl BackendError {
    /// Says what was tried when a call fails.
    pub(super) fn at<E: Into<io::Error>>(
        action: &'static str,
        path: &Path,
    ) -> impl Fn(E) -> BackendError {
        move |source| BackendError::Io { action, path: path.to_owned(), source: source.into() }
    }

    /// The class of the error.
    pub fn kind(&self) -> Kind {
        match self {
            BackendError::Mount(error) => error.kind(),
            BackendError::Extract(error) => error.kind(),
            BackendError::Io { source, .. } => match Errno::from_io_error(source) {
                Some(Errno::PERM | Errno::ACCESS) => Kind::Denied,
                Some(Errno::NOENT) => Kind::NotFound,
                Some(Errno::NOSPC | Errno::DQUOT) => Kind::Exhausted,
                _ => Kind::Internal,
            },
        }
    }
}
