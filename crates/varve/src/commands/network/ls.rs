//! `varve network ls`

use crate::{
    commands::{container::verbs, flags},
    error::CommandError,
    report::networks::{self, Layout},
    ui::{self, Ui},
};

pub(crate) const USAGE: &str = "[OPTIONS]";
pub(crate) const NAMES: &str = "varve network ls, varve network list";

/// List networks
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Provide filter values (e.g. "driver=bridge")
    #[arg(short, long = "filter", value_name = "filter", value_parser = flags::filter)]
    #[arg(action = clap::ArgAction::Append)]
    filters: Vec<flags::Filter>,

    #[arg(long, value_name = "string", default_value = "", help = flags::FORMAT_TABLE_HELP)]
    format: String,

    /// Do not truncate the output
    #[arg(long)]
    no_trunc: bool,

    /// Only display network IDs
    #[arg(short, long)]
    quiet: bool,
}

pub(crate) fn run(ui: &Ui, args: &Args) -> Result<(), CommandError> {
    let found = verbs::list_networks(ui, &flags::filters(&args.filters))?;
    let layout = Layout { format: &args.format, quiet: args.quiet, whole: args.no_trunc };
    ui.text(&networks::list(&found, layout, &ui::zone())?)
}
