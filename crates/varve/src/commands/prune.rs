//! `varve image prune`

use varve_engine::Prune;

use super::flags;
use crate::{error::CommandError, report::removal, ui::Ui};

pub(crate) const USAGE: &str = "[OPTIONS]";

/// Remove unused images
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Remove all unused images, not just dangling ones
    #[arg(short, long)]
    all: bool,

    /// Provide filter values (e.g. "until=<timestamp>")
    #[arg(long = "filter", value_name = "filter", value_parser = flags::filter)]
    #[arg(action = clap::ArgAction::Append)]
    filters: Vec<flags::Filter>,

    /// Do not prompt for confirmation
    #[arg(short, long)]
    force: bool,
}

pub(crate) fn run(ui: &Ui, args: &Args) -> Result<(), CommandError> {
    let what = if args.all {
        "all images without at least one container associated to them"
    } else {
        "all dangling images"
    };
    if !args.force && !ui.confirm(&format!("WARNING! This will remove {what}.\n"))? {
        return Ok(());
    }
    let request = Prune { all: args.all, filters: flags::filters(&args.filters) };
    let pruned = ui.engine()?.prune(&ui.silent(), &request)?;
    ui.text(&removal::pruned(&pruned))
}
