//! `varve registry serve`

use std::{io, path::PathBuf};

use varve_serve::registry::{self, DEFAULT_LISTEN, Options};
use varve_types::Printable;

use crate::{commands::flags, error::CommandError, ui::Ui};

pub(crate) const USAGE: &str = "[OPTIONS]";

/// Serve a registry (OCI distribution specification 1.1)
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// File of users and bcrypt hashes of their passwords; without it everyone may do everything
    #[arg(long, value_name = "string", value_parser = flags::path)]
    htpasswd: Option<PathBuf>,

    /// Address and port to listen on (default "127.0.0.1:5000")
    #[arg(long, value_name = "string", default_value = DEFAULT_LISTEN)]
    listen: String,

    /// Refuse pushes and deletes
    #[arg(long = "read-only")]
    read_only: bool,

    /// Directory that holds the repositories (default "varve-registry" beside the store)
    #[arg(long = "root", id = "registry-root", value_name = "string", value_parser = flags::path)]
    directory: Option<PathBuf>,

    /// File with the TLS certificate and its chain, as PEM
    #[arg(long = "tls-cert", value_name = "string", value_parser = flags::path)]
    tls_cert: Option<PathBuf>,

    /// File with the TLS certificate's key, as PEM
    #[arg(long = "tls-key", value_name = "string", value_parser = flags::path)]
    tls_key: Option<PathBuf>,
}

pub(crate) fn run(ui: &Ui, args: &Args) -> Result<(), CommandError> {
    let directory = super::directory(ui, args.directory.as_ref());
    let shown = directory.display().to_string();
    let options = Options {
        listen: args.listen.clone(),
        root: directory,
        tls_cert: args.tls_cert.clone(),
        tls_key: args.tls_key.clone(),
        htpasswd: args.htpasswd.clone(),
        read_only: args.read_only,
        log: Some(Box::new(io::stderr())),
    };
    let own = |error| CommandError::Own { error: Box::new(error), hint: None };
    let running = registry::serve(options, &ui.silent()).map_err(own)?;
    let scheme = if args.tls_cert.is_some() { "https" } else { "http" };
    ui.line(format_args!("Serving {} at {scheme}://{}", Printable(&shown), running.local_addr()))?;
    ui.flush()?;
    let waited = running.wait_for_signal();
    waited.map_err(|error| CommandError::Own { error: Box::new(error), hint: None })
}
