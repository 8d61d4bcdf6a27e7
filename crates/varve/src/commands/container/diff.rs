//! `varve diff`: what a container has changed

use super::verbs;
use crate::{error::CommandError, report::changes, ui::Ui};

pub(crate) const USAGE: &str = "CONTAINER";
pub(crate) const NAMES: &str = "varve container diff, varve diff";

/// Inspect changes to files or directories on a container's filesystem
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[arg(required = true)]
    container: String,
}

pub(crate) fn run(ui: &Ui, args: &Args) -> Result<(), CommandError> {
    ui.text(&changes::list(&verbs::diff(ui, &args.container)?))
}
