//! `varve restart`

use super::{each, stop::How, verbs};
use crate::{error::CommandError, ui::Ui};

pub(crate) const USAGE: &str = "[OPTIONS] CONTAINER [CONTAINER...]";
pub(crate) const NAMES: &str = "varve container restart, varve restart";

/// Restart one or more containers
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    how: How,

    #[arg(required = true, num_args = 1..)]
    containers: Vec<String>,
}

pub(crate) fn run(ui: &Ui, args: &Args) -> Result<(), CommandError> {
    each(ui, &args.containers, |name| verbs::restart(ui, name, args.how.request()))
}
