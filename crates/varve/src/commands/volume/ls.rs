//! `varve volume ls`

use crate::{
    commands::{container::verbs, flags},
    error::CommandError,
    report::volumes,
    ui::Ui,
};

pub(crate) const USAGE: &str = "[OPTIONS]";
pub(crate) const NAMES: &str = "varve volume ls, varve volume list";

/// List volumes
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Provide filter values (e.g. "dangling=true")
    #[arg(short, long = "filter", value_name = "filter", value_parser = flags::filter)]
    #[arg(action = clap::ArgAction::Append)]
    filters: Vec<flags::Filter>,

    #[arg(long, value_name = "string", default_value = "", help = flags::FORMAT_TABLE_HELP)]
    format: String,

    /// Only display volume names
    #[arg(short, long)]
    quiet: bool,
}

pub(crate) fn run(ui: &Ui, args: &Args) -> Result<(), CommandError> {
    let found = verbs::list_volumes(ui, &flags::filters(&args.filters))?;
    ui.text(&volumes::list(&found, &args.format, args.quiet)?)
}
