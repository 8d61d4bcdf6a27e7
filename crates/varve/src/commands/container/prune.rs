//! `varve container prune`

use super::verbs;
use crate::{commands::flags, error::CommandError, report::pruned, ui::Ui};

pub(crate) const USAGE: &str = "[OPTIONS]";

/// Remove all stopped containers
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    pruning: flags::Pruning,
}

pub(crate) fn run(ui: &Ui, args: &Args) -> Result<(), CommandError> {
    let warning = "WARNING! This will remove all stopped containers.\n";
    if !args.pruning.is_wanted(ui, warning)? {
        return Ok(());
    }
    let pruned = verbs::prune(ui, &args.pruning.filters())?;
    ui.text(&pruned::containers(&pruned))
}
