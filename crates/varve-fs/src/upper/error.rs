//! Why an upper directory could not be made into a layer.

use std::io;

use rustix::io::Errno;
use varve_types::{Kind, Printable};

use crate::tar::lossy;

/// Why an upper directory could not be made into a layer. Paths are below it.
#[derive(Debug, thiserror::Error)]
pub enum UpperError {
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
    /// A file came to nothing while it was read, or the tar could not be written.
    #[error("the layer cannot be written")]
    Write(#[source] io::Error),
    /// A file's name is how a tar says that another one is gone.
    #[error("the name of `/{}` would be taken for a whiteout in a layer", Printable(&lossy(path)))]
    NamedLikeWhiteout {
        /// The file.
        path: Vec<u8>,
    },
    /// Overlayfs keeps a part of the file elsewhere: it was mounted with `redirect_dir` or
    /// `metacopy`, which we never do.
    #[error("`/{}` has the attribute {attribute}: not all of it is here", Printable(&lossy(path)))]
    Elsewhere {
        /// The file.
        path: Vec<u8>,
        /// The attribute that says so, without its prefix.
        attribute: &'static str,
    },
    /// The file is of a type that is not known.
    #[error("`/{}` is of an unknown type", Printable(&lossy(path)))]
    UnknownType {
        /// The file.
        path: Vec<u8>,
    },
    /// A named limit was passed.
    #[error("{what}: more than {limit}")]
    Limit {
        /// What is limited.
        what: &'static str,
        /// By how much.
        limit: u64,
    },
}

impl UpperError {
    /// Whether what was looked at is not there any more, or is something else now.
    pub(crate) fn is_gone(&self) -> bool {
        let gone = [Errno::NOENT, Errno::NOTDIR, Errno::LOOP, Errno::XDEV];
        matches!(self, Self::Io { source, .. }
            if gone.iter().any(|errno| source.raw_os_error() == Some(errno.raw_os_error())))
    }

    /// The class of the error.
    pub fn kind(&self) -> Kind {
        match self {
            UpperError::Io { .. } | UpperError::Write(_) => Kind::Internal,
            UpperError::NamedLikeWhiteout { .. }
            | UpperError::Elsewhere { .. }
            | UpperError::UnknownType { .. } => Kind::Unsupported,
            UpperError::Limit { .. } => Kind::Exhausted,
        }
    }

    /// Says what was tried when a call fails.
    pub(super) fn io<'a>(
        action: &'static str,
        path: &'a [u8],
    ) -> impl Fn(Errno) -> UpperError + Copy + 'a {
        move |source| UpperError::Io { action, path: path.to_vec(), source: source.into() }
    }
}
