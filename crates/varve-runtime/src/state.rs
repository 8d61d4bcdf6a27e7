//! What is known of a container, and how far it can be trusted.
//!
//! The monitor writes `state.json` into the container's directory and holds a lock on
//! `monitor.lock` there for as long as it watches. A file that says "running" is believed only
//! while that lock is held: a process id alone may be another process's by now.
//!
//! ```text
//! state.json says      its boot is ours   lock held    what it is
//! no monitor           –                  –            what the file says
//! a monitor            no                 –            ended with the machine: 255
//! a monitor            yes                yes          what the file says
//! a monitor            yes                no           the monitor was killed: 137, or never started
//! ```
//!
//! [`read`] only judges. [`recover`] kills what is left unwatched and writes the verdict down.

mod process;
mod record;
mod verdict;

pub use process::{boot_id, identify, identify_child, is_alive, open};
pub use varve_types::container::{State, Status};
pub use verdict::{Leftovers, Recovered, is_watched, lock, read, recover};

pub(crate) use process::open_number;
pub(crate) use record::{save, save_durably};
pub(crate) use verdict::mend;

use std::{io, path::PathBuf};

use varve_types::{Kind, sealed};

/// The state's file in a container's directory.
pub const STATE_FILE: &str = "state.json";
/// The file that a monitor holds locked.
pub const LOCK_FILE: &str = "monitor.lock";
/// Bytes of a state file. Its largest part are five outputs of a health check.
pub const STATE_SIZE_BYTES_MAX: u64 = 4 << 20;
/// The exit code of a container that ended with its machine, as docker has it.
pub const EXIT_CODE_REBOOT: i32 = 255;
/// The exit code of a container whose monitor was killed: it is killed too (128 + 9).
pub const EXIT_CODE_KILLED: i32 = 137;
/// The exit code of a container that could not be started, as docker has it.
pub const EXIT_CODE_NOT_STARTED: i32 = 128;

/// Why the state of a container cannot be told.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
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
    /// The file is not a state.
    #[error("{} is not the state of a container", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Where it goes wrong.
        source: sealed::SealError,
    },
    /// A monitor watches the container, or is about to.
    #[error("the container is being started or watched by another process")]
    Watched,
    /// What a dead monitor left behind did not end when it was killed.
    #[error("processes of the container are still there after they were killed")]
    Undead,
}

impl StateError {
    /// The class of the error.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Io { source, .. } if source.kind() == io::ErrorKind::NotFound => Kind::NotFound,
            Self::Io { .. } | Self::Undead => Kind::Internal,
            Self::Malformed { .. } => Kind::Corrupt,
            Self::Watched => Kind::Conflict,
        }
    }

    pub(crate) fn io(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }
}
