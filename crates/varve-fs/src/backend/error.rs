//! Why a backend could not do what was asked.

use std::{
    io,
    path::{Path, PathBuf},
};

use rustix::io::Errno;
use varve_types::Kind;

use super::{BackendKind, PassedOver};
use crate::{erofs::WriteError, extract::ExtractError, mount::MountError};

/// Why a backend could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum BackendError {
    /// A layer could not be mounted or unmounted.
    #[error(transparent)]
    Mount(#[from] MountError),
    /// A layer's files could not be made.
    #[error(transparent)]
    Extract(#[from] ExtractError),
    /// A backend that was asked for does not work with this store.
    #[error("storage backend `{kind}` does not work here")]
    Unusable {
        /// Which.
        kind: BackendKind,
        /// Why not.
        source: Box<BackendError>,
    },
    /// No backend works with this store.
    #[error("no storage backend works here: {}", listed(tried))]
    NoneUsable {
        /// All, and why not.
        tried: Vec<PassedOver>,
    },
    /// An overlay was mounted and does not show what it should.
    #[error("overlayfs shows what a layer hides, or hides what it shows")]
    WrongOverlay,
    /// A layer was mounted and does not hold what it should.
    #[error("a mounted layer's file is not what the tar has")]
    WrongContent,
    /// What is to be tried could not be written.
    #[error(transparent)]
    Index(#[from] WriteError),
    /// The kernel has no loop devices, or none for us.
    #[error("no loop device can be had")]
    NoLoopDevices {
        /// What the kernel says.
        source: io::Error,
    },
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

fn listed(tried: &[PassedOver]) -> String {
    let reasons = tried.iter().map(|PassedOver { kind, why }| format!("{kind}: {why}"));
    reasons.collect::<Vec<_>>().join("; ")
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
            BackendError::Unusable { source, .. } => source.kind(),
            BackendError::NoneUsable { .. }
            | BackendError::WrongOverlay
            | BackendError::WrongContent => Kind::Unsupported,
            BackendError::Index(error) => error.kind(),
            BackendError::Mount(error) => error.kind(),
            BackendError::Extract(error) => error.kind(),
            BackendError::NoLoopDevices { source } => match Errno::from_io_error(source) {
                Some(Errno::PERM | Errno::ACCESS) => Kind::Denied,
                Some(Errno::BUSY | Errno::NOSPC) => Kind::Exhausted,
                _ => Kind::Unsupported,
            },
            BackendError::Io { source, .. } => match Errno::from_io_error(source) {
                Some(Errno::PERM | Errno::ACCESS) => Kind::Denied,
                Some(Errno::NOENT) => Kind::NotFound,
                Some(Errno::NOSPC | Errno::DQUOT) => Kind::Exhausted,
                _ => Kind::Internal,
            },
        }
    }
}
