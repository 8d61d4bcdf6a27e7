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
#[command(mut_arg("filters", |arg| arg.help("Provide filter values (e.g. \"label=<label>\")")))]
pub(crate) struct Args {
    /// Remove all unused volumes, not just anonymous ones
    #[arg(short, long)]
    all: bool,

    #[command(flatten)]
    pruning: flags::Pruning,
}

pub(crate) fn run(ui: &Ui, args: &Args) -> Result<(), CommandError> {
    let mut filters = args.pruning.filters();
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
    if !args.pruning.is_wanted(ui, &warning)? {
        return Ok(());
    }
    ui.text(&pruned::volumes(&verbs::prune_volumes(ui, &filters)?))
}
