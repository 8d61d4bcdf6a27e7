//! `varve info`

use super::flags;
use crate::{error::CommandError, ui::Ui};

pub(crate) const USAGE: &str = "[OPTIONS]";
pub(crate) const NAMES: &str = "varve system info, varve info";

/// Display system-wide information
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[arg(short, long, value_name = "string", default_value = "", help = flags::FORMAT_HELP)]
    format: String,
}

pub(crate) fn run(ui: &Ui, args: &Args) -> Result<(), CommandError> {
    let _ = (ui, args);
    Err(CommandError::plain("not yet", 1))
}
