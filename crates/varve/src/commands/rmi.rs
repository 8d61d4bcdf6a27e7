//! `varve rmi`

use crate::{error::CommandError, ui::Ui};

pub(crate) const USAGE: &str = "[OPTIONS] IMAGE [IMAGE...]";
pub(crate) const NAMES: &str = "varve image rm, varve image remove, varve rmi";

/// Remove one or more images
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Force removal of the image
    #[arg(short, long)]
    force: bool,

    /// Do not delete untagged parents
    #[arg(long = "no-prune")]
    no_prune: bool,

    /// Remove only the given platform variant. Formatted as "os[/arch[/variant]]" (e.g., "linux/amd64")
    #[arg(long = "platform", value_name = "strings", action = clap::ArgAction::Append)]
    platforms: Vec<String>,

    #[arg(required = true, num_args = 1..)]
    images: Vec<String>,
}

pub(crate) fn run(ui: &Ui, args: &Args) -> Result<(), CommandError> {
    let _ = (ui, args);
    Err(CommandError::plain("not yet", 1))
}
