//! Why something could not be mounted or unmounted.

use std::{
    io,
    path::{Path, PathBuf},
};

use rustix::io::Errno;
use varve_types::{Kind, Printable};

/// Why something could not be mounted or unmounted.
#[derive(Debug, thiserror::Error)]
pub enum MountError {
    /// The kernel does not make the mount. `action` is a bare verb.
    #[error("cannot {action} {fs}{}", explained(said))]
    Refused {
        /// How far it came.
        action: &'static str,
        /// The type of file system.
        fs: &'static str,
        /// What the kernel explained, if anything.
        said: String,
        /// The error.
        source: io::Error,
    },
    /// Something is wrong with a place or a file. `action` is a bare verb.
    #[error("cannot {action} {}", path.display())]
    Path {
        /// What was tried.
        action: &'static str,
        /// With what.
        path: PathBuf,
        /// What the kernel says.
        source: io::Error,
    },
    /// The kernel has not got the calls that are needed.
    #[error("the kernel is too old for this kind of mount")]
    TooOld,
    /// An overlay takes two directories at least.
    #[error("an overlay of a single directory cannot be mounted")]
    TooFewLowers,
    /// What the kernel says of its mounts is not understood.
    #[error("line {line} of the kernel's table of mounts makes no sense")]
    Table {
        /// Counted from one.
        line: usize,
    },
}

fn explained(said: &str) -> String {
    if said.is_empty() { String::new() } else { format!(" ({})", Printable(said)) }
}

impl MountError {
    pub(super) fn new(action: &'static str, fs: &'static str, errno: Errno, said: String) -> Self {
        MountError::Refused { action, fs, said, source: errno.into() }
    }

    /// Says what was tried when a call fails.
    pub(super) fn at(action: &'static str, path: &Path) -> impl Fn(Errno) -> MountError {
        move |errno| MountError::Path { action, path: path.to_owned(), source: errno.into() }
    }

    /// Whether a place that was to be unmounted is none, or nothing is mounted there.
    pub(crate) fn is_not_mounted(&self) -> bool {
        let MountError::Path { action: "unmount", source, .. } = self else { return false };
        matches!(Errno::from_io_error(source), Some(Errno::INVAL | Errno::NOENT))
    }

    /// The class of the error.
    pub fn kind(&self) -> Kind {
        match self {
            MountError::Refused { source, .. } | MountError::Path { source, .. } => {
                match Errno::from_io_error(source) {
                    Some(Errno::PERM | Errno::ACCESS) => Kind::Denied,
                    Some(Errno::BUSY) => Kind::Conflict,
                    Some(Errno::NOENT) => Kind::NotFound,
                    Some(Errno::NODEV | Errno::NOTBLK | Errno::OPNOTSUPP) => Kind::Unsupported,
                    _ => Kind::Internal,
                }
            }
            MountError::TooOld => Kind::Unsupported,
            MountError::TooFewLowers => Kind::Invalid,
            MountError::Table { .. } => Kind::Internal,
        }
    }
}
