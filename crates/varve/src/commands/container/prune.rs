//! `varve container prune`

use super::verbs;
use crate::{commands::flags, error::CommandError, report::pruned, ui::Ui};

pub(crate) const USAGE: &str = "[OPTIONS]";

/// Remove all stopped containers
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
    let warning = "WARNING! This will remove all stopped containers.\n";
    if !args.force && !ui.confirm(warning)? {
        return Ok(());
    }
    let pruned = verbs::prune(ui, &flags::filters(&args.filters))?;
    ui.text(&pruned::containers(&pruned))
}
