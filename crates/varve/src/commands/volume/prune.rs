//! `varve volume prune`

use crate::{
    commands::{container::verbs, flags},
    error::CommandError,
    report::pruned,
    ui::Ui,
};

pub(crate) const USAGE: &str = "[OPTIONS]";

/// Remove unused local volumes
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Remove all unused volumes, not just anonymous ones
    #[arg(short, long)]
    all: bool,

    /// Provide filter values (e.g. "label=<label>")
    #[arg(long = "filter", value_name = "filter", value_parser = flags::filter)]
    #[arg(action = clap::ArgAction::Append)]
    filters: Vec<flags::Filter>,

    /// Do not prompt for confirmation
    #[arg(short, long)]
    force: bool,
}

pub(crate) fn run(ui: &Ui, args: &Args) -> Result<(), CommandError> {
    let mut filters = flags::filters(&args.filters);
    let mut which = "anonymous local";
    if args.all {
        if filters.has("all") {
            let text = "conflicting options: cannot specify both --all and --filter all=1";
            return Err(CommandError::plain(text, 1));
        }
        filters.add("all", "true");
        which = "all local";
    }
    let warning =
        format!("WARNING! This will remove {which} volumes not used by at least one container.\n");
    if !args.force && !ui.confirm(&warning)? {
        return Ok(());
    }
    ui.text(&pruned::volumes(&verbs::prune_volumes(ui, &filters)?))
}
