//! `varve kill`

use super::{each, verbs};
use crate::{error::CommandError, ui::Ui};

pub(crate) const USAGE: &str = "[OPTIONS] CONTAINER [CONTAINER...]";
pub(crate) const NAMES: &str = "varve container kill, varve kill";

/// Kill one or more running containers
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Signal to send to the container
    #[arg(short, long, value_name = "string", default_value = "")]
    signal: String,

    #[arg(required = true, num_args = 1..)]
    containers: Vec<String>,
}

pub(crate) fn run(ui: &Ui, args: &Args) -> Result<(), CommandError> {
    let signal = Some(args.signal.as_str()).filter(|signal| !signal.is_empty());
    each(ui, &args.containers, |name| verbs::kill(ui, name, signal))
}
