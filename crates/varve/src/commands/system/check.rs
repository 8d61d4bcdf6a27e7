//! `varve system check`

use crate::{error::CommandError, ui::Ui};

pub(crate) const USAGE: &str = "[OPTIONS]";

/// Verify layout, digests and references of the store
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only say by the exit code whether something is wrong
    #[arg(short, long)]
    quiet: bool,
}

pub(crate) fn run(ui: &Ui, args: &Args) -> Result<(), CommandError> {
    let _ = (ui, args);
    Err(CommandError::plain("not yet", 1))
}
