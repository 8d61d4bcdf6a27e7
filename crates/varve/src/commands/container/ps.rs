//! `varve ps`

use varve_engine::ListContainers;

use super::verbs;
use crate::{
    commands::flags,
    error::CommandError,
    report::containers::{self, Layout},
    ui::{self, Ui},
};

pub(crate) const USAGE: &str = "[OPTIONS]";
pub(crate) const NAMES: &str =
    "varve container ls, varve container list, varve container ps, varve ps";

/// List containers
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Show all containers (default shows just running)
    #[arg(short, long)]
    all: bool,

    /// Filter output based on conditions provided
    #[arg(short, long = "filter", value_name = "filter", value_parser = flags::filter)]
    #[arg(action = clap::ArgAction::Append)]
    filters: Vec<flags::Filter>,

    #[arg(long, value_name = "string", default_value = "", help = flags::FORMAT_TABLE_HELP)]
    format: String,

    #[arg(short = 'n', long, value_name = "int", default_value = "-1")]
    #[arg(value_parser = flags::integer, allow_negative_numbers = true)]
    #[arg(help = "Show n last created containers (includes all states) (default -1)")]
    last: i64,

    /// Show the latest created container (includes all states)
    #[arg(short, long)]
    latest: bool,

    /// Don't truncate output
    #[arg(long)]
    no_trunc: bool,

    /// Only display container IDs
    #[arg(short, long)]
    quiet: bool,

    /// Display total file sizes
    #[arg(short, long)]
    size: bool,
}

pub(crate) fn run(ui: &Ui, args: &Args) -> Result<(), CommandError> {
    let layout =
        Layout { format: &args.format, quiet: args.quiet, size: args.size, whole: args.no_trunc };
    let last = if args.latest && args.last == -1 { 1 } else { args.last };
    let request = ListContainers {
        all: args.all,
        last: usize::try_from(last).ok().filter(|&last| last > 0),
        filters: flags::filters(&args.filters),
        size: layout.wants_size(),
    };
    let rows = verbs::list(ui, &request)?;
    ui.text(&containers::list(&rows, layout, ui.now(), &ui::zone())?)
}
