//! `varve network prune`

use crate::{
    commands::{container::verbs, flags},
    error::CommandError,
    report::pruned,
    ui::Ui,
};

pub(crate) const USAGE: &str = "[OPTIONS]";

/// Remove all unused networks
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    pruning: flags::Pruning,
}

pub(crate) fn run(ui: &Ui, args: &Args) -> Result<(), CommandError> {
    let warning =
        "WARNING! This will remove all custom networks not used by at least one container.\n";
    if !args.pruning.is_wanted(ui, warning)? {
        return Ok(());
    }
    let removed = verbs::prune_networks(ui, &args.pruning.filters())?;
    ui.text(&pruned::networks(&removed))
}
