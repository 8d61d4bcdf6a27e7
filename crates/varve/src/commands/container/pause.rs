//! `varve pause`

use super::{each, verbs};
use crate::{error::CommandError, ui::Ui};

pub(crate) const USAGE: &str = "CONTAINER [CONTAINER...]";
pub(crate) const NAMES: &str = "varve container pause, varve pause";

/// Pause all processes within one or more containers
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[arg(required = true, num_args = 1..)]
    containers: Vec<String>,
}

pub(crate) fn run(ui: &Ui, args: &Args) -> Result<(), CommandError> {
    each(ui, &args.containers, |name| verbs::pause(ui, name))
}
