//! `varve registry serve`.

use std::{
    io::{self, Write},
    net::{SocketAddr, ToSocketAddrs as _},
    path::{Path, PathBuf},
};

use varve_distribution::server::{Access, Htpasswd, Registry, Storage};

pub use varve_distribution::server::storage::Swept;
use varve_types::Ctx;

use crate::{Error, Running, Server, server};

/// The address that is listened on unless another is named.
pub const DEFAULT_LISTEN: &str = "127.0.0.1:5000";

/// What to serve, and how.
#[derive(Default)]
pub struct Options {
    /// `host:port`; `:port` for all addresses; port 0 for any that is free.
    pub listen: String,
    /// The registry's directory.
    pub root: PathBuf,
    /// PEM file with the certificate and those that vouch for it.
    pub tls_cert: Option<PathBuf>,
    /// PEM file with the certificate's key.
    pub tls_key: Option<PathBuf>,
    /// File of users and bcrypt hashes, as `htpasswd -B` makes it.
    pub htpasswd: Option<PathBuf>,
    /// Gives, and takes nothing.
    pub read_only: bool,
    /// Takes one line a request.
    pub log: Option<Box<dyn Write + Send>>,
}

impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options")
            .field("listen", &self.listen)
            .field("root", &self.root)
            .field("read_only", &self.read_only)
            .finish_non_exhaustive()
    }
}

/// Starts a registry. It is at work when this returns.
pub fn serve(options: Options, ctx: &Ctx<'_>) -> Result<Running, Error> {
    let address = resolve(&options.listen)?;
    let tls = match (options.tls_cert, options.tls_key) {
        (Some(certificate), Some(key)) => Some((certificate, key)),
        (None, None) => None,
        _ => return Err(Error::HalfTls),
    };
    let htpasswd = options.htpasswd.as_deref().map(Htpasswd::open).transpose()?;
    let access = Access { htpasswd, read_only: options.read_only };
    let registry = Registry::open(&options.root, access, ctx)?;
    Server::bind(address, registry, server::Options { tls, log: options.log, now: Some(ctx.now()) })
}

/// Removes what no repository of the registry in `root`, which must be there, has any more, and
/// uploads that nobody ends.
pub fn collect(root: &Path, ctx: &Ctx<'_>) -> Result<Swept, Error> {
    if !root.join("_varve/format").exists() {
        return Err(Error::NoRegistry(root.to_owned()));
    }
    let storage = Storage::open(root)?;
    storage.sweep_uploads(ctx.now())?;
    Ok(storage.sweep()?)
}

fn resolve(listen: &str) -> Result<SocketAddr, Error> {
    let complete = match listen {
        "" => DEFAULT_LISTEN.to_owned(),
        port if port.starts_with(':') => format!("[::]{port}"),
        listen => listen.to_owned(),
    };
    let understand = |source| Error::Address { address: listen.to_owned(), source };
    let none = || understand(io::ErrorKind::NotFound.into());
    complete.to_socket_addrs().map_err(understand)?.next().ok_or_else(none)
}
