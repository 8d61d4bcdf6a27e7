//! `varve login`

use crate::{error::CommandError, ui::Ui};

pub(crate) const USAGE: &str = "[OPTIONS] [SERVER]";

/// Authenticate to a registry
#[derive(Debug, clap::Args)]
#[command(
    long_about = "Authenticate to a registry.\nDefaults to Docker Hub if no server is specified."
)]
pub(crate) struct Args {
    /// Password or Personal Access Token (PAT)
    #[arg(short, long, value_name = "string")]
    password: Option<String>,

    /// Take the Password or Personal Access Token (PAT) from stdin
    #[arg(long = "password-stdin")]
    password_stdin: bool,

    /// Username
    #[arg(short, long, value_name = "string")]
    username: Option<String>,

    server: Option<String>,
}

pub(crate) fn run(ui: &Ui, args: &Args) -> Result<(), CommandError> {
    let _ = (ui, args);
    Err(CommandError::plain("not yet", 1))
}
