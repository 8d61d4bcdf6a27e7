//! `varve logout`

use crate::{error::CommandError, ui::Ui};

pub(crate) const USAGE: &str = "[SERVER]";

/// Log out from a registry
#[derive(Debug, clap::Args)]
#[command(
    long_about = "Log out from a registry.\nIf no server is specified, the default is defined by the daemon."
)]
pub(crate) struct Args {
    server: Option<String>,
}

pub(crate) fn run(ui: &Ui, args: &Args) -> Result<(), CommandError> {
    let _ = (ui, args);
    Err(CommandError::plain("not yet", 1))
}
