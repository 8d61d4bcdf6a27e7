//! `varve buildx du`

use crate::{commands::flags, error::CommandError, report::cache_table, ui::Ui};

pub(crate) const USAGE: &str = "";

/// Disk usage
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[arg(long, value_name = "string", hide = true)]
    #[allow(dead_code, reason = "taken and not looked at: there is one builder")]
    builder: Option<String>,

    /// Provide filter values
    #[arg(long = "filter", value_name = "filter", value_parser = flags::filter)]
    #[arg(action = clap::ArgAction::Append)]
    filters: Vec<flags::Filter>,

    /// Provide a more verbose output
    #[arg(long)]
    verbose: bool,
}

pub(crate) fn run(ui: &Ui, args: &Args) -> Result<(), CommandError> {
    let uses = ui.engine()?.build_cache_of(&ui.silent(), &flags::filters(&args.filters))?;
    if args.verbose {
        ui.text(&cache_table::verbose(&uses, ui.now()))?;
    } else {
        ui.text(&cache_table::rows(&uses, ui.now()))?;
    }
    ui.text(&cache_table::summary(&uses))
}
