//! `varve system df`

use crate::{
    commands::flags,
    error::CommandError,
    report::df,
    ui::{self, Ui},
};

pub(crate) const USAGE: &str = "[OPTIONS]";

/// Show varve disk usage
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[arg(long, value_name = "string", default_value = "", help = flags::FORMAT_TABLE_HELP)]
    format: String,

    /// Show detailed information on space usage
    #[arg(short, long)]
    verbose: bool,
}

pub(crate) fn run(ui: &Ui, args: &Args) -> Result<(), CommandError> {
    let usage = ui.engine()?.disk_usage()?;
    if args.verbose {
        ui.text(&df::details(&usage, &args.format, ui.now(), &ui::zone())?)
    } else {
        ui.text(&df::summary(&usage, &args.format)?)
    }
}
