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
    /// Provide filter values (e.g. "until=<timestamp>")
    #[arg(long = "filter", value_name = "filter", value_parser = flags::filter)]
    #[arg(action = clap::ArgAction::Append)]
    filters: Vec<flags::Filter>,

    /// Do not prompt for confirmation
    #[arg(short, long)]
    force: bool,
}

pub(crate) fn run(ui: &Ui, args: &Args) -> Result<(), CommandError> {
    let warning =
        "WARNING! This will remove all custom networks not used by at least one container.\n";
    if !args.force && !ui.confirm(warning)? {
        return Ok(());
    }
    let removed = verbs::prune_networks(ui, &flags::filters(&args.filters))?;
    ui.text(&pruned::networks(&removed))
}
