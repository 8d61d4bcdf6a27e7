//! `varve images`

use super::flags;
use crate::{error::CommandError, ui::Ui};

pub(crate) const USAGE: &str = "[OPTIONS] [REPOSITORY[:TAG]]";
pub(crate) const NAMES: &str = "varve image ls, varve image list, varve images";

/// List images
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Show all images (default hides intermediate images)
    #[arg(short, long)]
    all: bool,

    /// Show digests
    #[arg(long)]
    digests: bool,

    /// Filter output based on conditions provided
    #[arg(short, long = "filter", value_name = "filter", value_parser = flags::filter)]
    #[arg(action = clap::ArgAction::Append)]
    filters: Vec<flags::Filter>,

    #[arg(long, value_name = "string", default_value = "", hide_default_value = true)]
    #[arg(help = flags::FORMAT_TABLE_HELP)]
    format: String,

    /// Don't truncate output
    #[arg(long = "no-trunc")]
    no_trunc: bool,

    /// Only show image IDs
    #[arg(short, long)]
    quiet: bool,

    /// List multi-platform images as a tree (EXPERIMENTAL)
    #[arg(long)]
    tree: bool,

    name: Option<String>,
}

pub(crate) fn run(ui: &Ui, args: &Args) -> Result<(), CommandError> {
    let _ = (ui, args);
    Err(CommandError::plain("not yet", 1))
}
