//! `varve history`

use super::flags;
use crate::{
    error::CommandError,
    report::history::{self, Layout},
    ui::{self, Ui},
};

pub(crate) const USAGE: &str = "[OPTIONS] IMAGE";
pub(crate) const NAMES: &str = "varve image history, varve history";

/// Show the history of an image
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[arg(long, value_name = "string", default_value = "", help = flags::FORMAT_TABLE_HELP)]
    format: String,

    /// Print sizes and dates in human readable format (default true)
    #[arg(short = 'H', long, action = clap::ArgAction::SetFalse)]
    human: bool,

    /// Don't truncate output
    #[arg(long = "no-trunc")]
    no_trunc: bool,

    /// Show history for the given platform. Formatted as "os[/arch[/variant]]" (e.g., "linux/amd64")
    #[arg(long, value_name = "string")]
    platform: Option<String>,

    /// Only show image IDs
    #[arg(short, long)]
    quiet: bool,

    image: String,
}

pub(crate) fn run(ui: &Ui, args: &Args) -> Result<(), CommandError> {
    let platform = flags::platform(args.platform.as_deref())?;
    let entries = ui.engine()?.history(&args.image, platform.as_ref())?;
    let layout =
        Layout { format: &args.format, quiet: args.quiet, human: args.human, whole: args.no_trunc };
    ui.text(&history::list(&entries, layout, ui.now(), &ui::zone())?)
}
