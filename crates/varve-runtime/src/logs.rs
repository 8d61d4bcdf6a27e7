//! What a container wrote, kept in docker's `json-file` format.
//!
//! ```text
//! pipe ─▶ Splitter ─▶ lines, pieces of 16 KiB ─▶ Writer ─▶ <id>-json.log, .1, .2 …
//!                                                             │
//!                        tail (from the end) ─▶ Reader ─▶ entries, then what is added
//! ```
//!
//! One line of the file is one entry: `{"log":"…\n","stream":"stdout","time":"…"}`. An entry whose
//! text lacks the line feed is continued by the next of its stream. The monitor alone writes; any
//! number of processes read meanwhile, without a lock: files are replaced by name, never cut
//! where a reader may be.

mod follow;
mod line;
mod options;
mod read;
mod split;
mod tail;
mod write;

pub use line::{Entry, Stream};
pub use options::{Driver, Options, OptionsError};
pub use read::{Ask, Reader, Tail};
pub use split::Splitter;
pub use write::Writer;

use std::{io, path::PathBuf};

use varve_types::Kind;

/// Bytes after which docker logs a line in pieces.
pub const PIECE_SIZE_BYTES_MAX: usize = 16 << 10;
/// Bytes of one line of a log file that a reader takes: a piece, six bytes for each of its own at
/// worst, and attributes.
pub const LINE_SIZE_BYTES_MAX: usize = 1 << 20;
/// Files of one log, the present one included.
pub const FILES_MAX: u32 = 1_000;

/// Why a log cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The operating system refused. `action` is a bare verb.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// With what.
        path: PathBuf,
        /// What the kernel says.
        source: io::Error,
    },
    /// The container keeps no log.
    #[error("configured logging driver does not support reading")]
    NotKept,
}

impl LogError {
    /// The class of the error.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Io { .. } => Kind::Internal,
            Self::NotKept => Kind::Unsupported,
        }
    }

    fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }
}
