//! `varve registry serve`

use std::path::PathBuf;

use crate::{error::CommandError, ui::Ui};

pub(crate) const USAGE: &str = "[OPTIONS]";

/// Serve a registry (OCI distribution specification 1.1)
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// File of users and bcrypt hashes of their passwords; without it everyone may do everything
    #[arg(long, value_name = "string")]
    htpasswd: Option<PathBuf>,

    /// Address and port to listen on (default "127.0.0.1:5000")
    #[arg(long, value_name = "string", default_value = "127.0.0.1:5000")]
    listen: String,

    /// Refuse pushes and deletes
    #[arg(long = "read-only")]
    read_only: bool,

    /// Directory that holds the repositories (default: "registry" beside the store)
    #[arg(long = "root", id = "registry-root", value_name = "string")]
    directory: Option<PathBuf>,

    /// File with the TLS certificate and its chain, as PEM
    #[arg(long = "tls-cert", value_name = "string", requires = "tls_key")]
    tls_cert: Option<PathBuf>,

    /// File with the TLS certificate's key, as PEM
    #[arg(long = "tls-key", value_name = "string", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
}

pub(crate) fn run(ui: &Ui, args: &Args) -> Result<(), CommandError> {
    let _ = (ui, args);
    Err(CommandError::plain("not yet", 1))
}
