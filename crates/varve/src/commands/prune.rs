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

    #[command(flatten)]
    pruning: flags::Pruning,
}

pub(crate) fn run(ui: &Ui, args: &Args) -> Result<(), CommandError> {
    let what = if args.all {
        "all images without at least one container associated to them"
    } else {
        "all dangling images"
    };
    if !args.pruning.is_wanted(ui, &format!("WARNING! This will remove {what}.\n"))? {
        return Ok(());
    }
    let request = Prune { all: args.all, filters: args.pruning.filters() };
    let pruned = ui.engine()?.prune(&ui.silent(), &request)?;
    ui.text(&removal::pruned(&pruned))
}
