//! `varve version`

use super::flags;
use crate::{error::CommandError, ui::Ui};

pub(crate) const USAGE: &str = "[OPTIONS]";

/// Show the Docker version information
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[arg(short, long, value_name = "string", default_value = "", help = flags::FORMAT_HELP)]
    format: String,
}

pub(crate) fn run(ui: &Ui, args: &Args) -> Result<(), CommandError> {
    let _ = (ui, args);
    Err(CommandError::plain("not yet", 1))
}

/// The line that `--version` prints.
pub(crate) fn one_line() -> String {
    format!("Varve version {}, build {}", env!("CARGO_PKG_VERSION"), "unknown")
}
