//! Why a server could not be started.

use std::{io, net::SocketAddr, path::PathBuf};

use rustls_pki_types::pem;
use varve_distribution::server;
use varve_types::Kind;

/// Why a server could not be started.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The text to listen on is not `host:port`, or the host is not known.
    #[error("cannot understand the address {address:?}")]
    Address {
        /// What was given.
        address: String,
        /// Why not.
        source: io::Error,
    },
    /// The address is taken, not here, or not allowed.
    #[error("cannot listen on {address}")]
    Bind {
        /// Where.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// Of certificate and key only one was given.
    #[error("a TLS certificate and its key must be given together")]
    HalfTls,
    /// A PEM file cannot be read.
    #[error("cannot read the TLS {what} {}", path.display())]
    Pem {
        /// `certificate` or `key`.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        source: pem::Error,
    },
    /// Certificate and key do not fit, or are of a kind that is not supported.
    #[error("cannot use the TLS certificate")]
    Tls(#[source] rustls::Error),
    /// The registry's directory or password file.
    #[error(transparent)]
    Registry(#[from] server::Error),
    /// There is no registry to collect garbage of.
    #[error("{} holds no registry", .0.display())]
    NoRegistry(PathBuf),
    /// The operating system gives no threads.
    #[error("cannot start the server's threads")]
    Threads(#[source] io::Error),
}

impl Error {
    /// Classifies the error.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Address { .. } | Self::HalfTls | Self::Pem { .. } | Self::Tls(_) => Kind::Invalid,
            Self::Bind { source, .. } => match source.kind() {
                io::ErrorKind::AddrInUse => Kind::Conflict,
                io::ErrorKind::PermissionDenied => Kind::Denied,
                _ => Kind::Internal,
            },
            Self::Registry(error) => error.kind(),
            Self::NoRegistry(_) => Kind::NotFound,
            Self::Threads(_) => Kind::Internal,
        }
    }
}
