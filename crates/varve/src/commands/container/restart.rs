//! `varve restart`

use super::{
    each,
    verbs::{self, Stop},
};
use crate::{commands::flags, error::CommandError, ui::Ui};

pub(crate) const USAGE: &str = "[OPTIONS] CONTAINER [CONTAINER...]";
pub(crate) const NAMES: &str = "varve container restart, varve restart";

/// Restart one or more containers
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Signal to send to the container
    #[arg(short, long, value_name = "string", default_value = "")]
    signal: String,

    /// Seconds to wait before killing the container
    #[arg(short, long, alias = "time", value_name = "int", value_parser = flags::integer)]
    #[arg(allow_negative_numbers = true)]
    timeout: Option<i64>,

    #[arg(required = true, num_args = 1..)]
    containers: Vec<String>,
}

pub(crate) fn run(ui: &Ui, args: &Args) -> Result<(), CommandError> {
    let signal = Some(args.signal.as_str()).filter(|signal| !signal.is_empty());
    let request = Stop { signal, timeout_s: args.timeout };
    each(ui, &args.containers, |name| verbs::restart(ui, name, request))
}
