//! Why credentials cannot be read, kept or removed.

use std::{io, path::PathBuf};

use varve_types::{Kind, Printable};

/// Why credentials cannot be read, kept or removed.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// The program that keeps credentials cannot be started. The text is docker's.
    #[error("error {action} credentials - err: exec: \"{program}\": {reason}, out: ``")]
    HelperMissing {
        /// `getting`, `storing`, `erasing`, `listing`.
        action: &'static str,
        /// `docker-credential-…`.
        program: String,
        /// Why not.
        reason: String,
    },
    /// The program that keeps credentials failed. The text is docker's.
    #[error("error {action} credentials - err: {status}, out: `{}`", Printable(output))]
    Helper {
        /// `getting`, `storing`, `erasing`, `listing`.
        action: &'static str,
        /// How it ended.
        status: String,
        /// What it said.
        output: String,
    },
    /// The program that keeps credentials did not come back in time.
    #[error("{program} did not answer within {seconds} seconds")]
    HelperSilent {
        /// `docker-credential-…`.
        program: String,
        /// How long we waited.
        seconds: u64,
    },
    /// The configuration names a program that could lie anywhere.
    #[error("invalid name of a credential helper: {0:?}")]
    HelperName(String),
    /// The file to change is not what we can read, so writing would lose what is in it.
    #[error("cannot change {}, which cannot be read: {reason}", path.display())]
    Broken {
        /// Which file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// There is no home directory to keep credentials in.
    #[error("there is no place to keep credentials: HOME is not set")]
    Homeless,
    /// The file cannot be written.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// A bare verb.
        action: &'static str,
        /// Which file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

impl CredentialsError {
    /// Classifies the error.
    pub fn kind(&self) -> Kind {
        match self {
            Self::HelperMissing { .. } | Self::HelperName(_) | Self::Broken { .. } => Kind::Invalid,
            Self::Helper { .. } | Self::Io { .. } => Kind::Internal,
            Self::HelperSilent { .. } => Kind::Unavailable,
            Self::Homeless => Kind::NotFound,
        }
    }
}
