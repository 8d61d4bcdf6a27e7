//! Why a program of a build failed, in the words of docker's builder.

use std::{
    io,
    path::{Path, PathBuf},
};

use varve_build::{go_text, solve::Fault};
use varve_fs::{mount::MountError, upper::UpperError};
use varve_runtime::{oci::OciError, spec::SpecError, users::UserError};
use varve_types::{Kind, Printable};

use super::output::Ending;

/// Why there is no layer of a program.
#[derive(Debug, thiserror::Error)]
pub(super) enum RunError {
    /// The program failed, or could not be started.
    #[error("process {} did not complete successfully: {why}", go_text::quote(command))]
    Process {
        /// Its words.
        command: String,
        /// Why.
        why: ProcessError,
    },
    /// The build is over.
    #[error("context canceled")]
    Canceled,
    /// The user has to allow it.
    #[error("failed to load LLB: {0} is not allowed")]
    NotAllowed(&'static str),
    /// Devices are found by nobody.
    #[error("devices are not supported: {}", Printable(.0))]
    Device(String),
    /// No secret has this name.
    #[error("secret {}: not found", Printable(.0))]
    NoSecret(String),
    /// A secret is too large.
    #[error("secret {}: larger than {limit} bytes", Printable(.id))]
    SecretSize {
        /// Which.
        id: String,
        /// What would be allowed.
        limit: u64,
    },
    /// A secret that is to be a variable cannot be one.
    #[error("secret {}: a variable can hold no such bytes", Printable(.0))]
    SecretText(String),
    /// No agent at all was given.
    #[error("no SSH key {:?} forwarded from the client", Printable(.0).to_string())]
    NoAgents(String),
    /// No agent has this name.
    #[error("unset ssh forward key {}", Printable(.0))]
    NoAgent(String),
    /// A path of another step's files is not there.
    #[error("failed to mount {}", Printable(path))]
    Source {
        /// The path.
        path: String,
        /// What the system says.
        source: io::Error,
    },
    /// The program was ended because of what it left in cache mounts.
    #[error(
        "cache mounts take more than {limit} bytes; VARVE_CACHE_MOUNTS_SIZE says how many they may take"
    )]
    CacheMounts {
        /// What they may take.
        limit: u64,
    },
    /// The runtime could not do it, for a reason that is not the program's.
    #[error("cannot start the program")]
    Runtime(#[source] OciError),
    /// There is no spec of it.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// What the program left makes no layer.
    #[error("cannot make a layer of what the program left")]
    Upper(#[source] UpperError),
    /// Something cannot be mounted.
    #[error(transparent)]
    Mount(#[from] MountError),
    /// The store refused.
    #[error(transparent)]
    Store(#[from] varve_store::Error),
    /// The times of what the program is to see cannot be found out.
    #[error(transparent)]
    Times(Fault),
    /// The engine refused.
    #[error(transparent)]
    Engine(#[from] crate::Error),
    /// The system refused.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// A verb.
        action: &'static str,
        /// What was touched.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
}

/// What became of a program.
#[derive(Debug, thiserror::Error)]
pub(super) enum ProcessError {
    /// It ended with this; a signal counts as 128 and its number.
    #[error("exit code: {0}")]
    Code(i32),
    /// The kernel ended it for want of memory.
    #[error("cannot allocate memory")]
    Memory,
    /// Nobody can run it.
    #[error(transparent)]
    User(#[from] UserError),
    /// Its directory cannot be had. Docker's text.
    #[error("{0}")]
    Directory(String),
}

impl RunError {
    /// The program could not be run.
    pub(super) fn program(arguments: &[String], why: ProcessError) -> Self {
        Self::Process { command: arguments.join(" "), why }
    }

    /// The program ended badly.
    pub(super) fn process(arguments: &[String], ending: Ending) -> Self {
        let why = match ending {
            Ending::Memory => ProcessError::Memory,
            Ending::Code(code) => ProcessError::Code(code),
            Ending::Canceled => return Self::Canceled,
        };
        Self::program(arguments, why)
    }

    pub(super) fn io<E: Into<io::Error>>(
        action: &'static str,
        path: impl AsRef<Path>,
    ) -> impl FnOnce(E) -> Self {
        let path = path.as_ref().to_owned();
        move |error| Self::Io { action, path, source: error.into() }
    }

    fn kind(&self) -> Kind {
        match self {
            Self::Process { .. } | Self::SecretText(_) => Kind::Invalid,
            Self::Canceled => Kind::Unavailable,
            Self::NotAllowed(_) => Kind::Denied,
            Self::Device(_) => Kind::Unsupported,
            Self::NoSecret(_) | Self::NoAgents(_) | Self::NoAgent(_) => Kind::NotFound,
            Self::SecretSize { .. } | Self::CacheMounts { .. } => Kind::Exhausted,
            Self::Source { source, .. } if source.kind() == io::ErrorKind::NotFound => {
                Kind::NotFound
            }
            Self::Runtime(error) => error.kind(),
            Self::Spec(error) => error.kind(),
            Self::Upper(error) => error.kind(),
            Self::Mount(error) => error.kind(),
            Self::Store(error) => error.kind(),
            Self::Times(fault) => fault.kind(),
            Self::Engine(error) => error.kind(),
            Self::Source { .. } | Self::Io { .. } => Kind::Internal,
        }
    }
}

impl From<RunError> for Fault {
    fn from(error: RunError) -> Self {
        Fault::new(error.kind(), error)
    }
}
