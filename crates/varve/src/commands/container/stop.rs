//! `varve stop`

use varve_engine::container::Stop;

use super::{each, verbs};
use crate::{commands::flags, error::CommandError, ui::Ui};

pub(crate) const USAGE: &str = "[OPTIONS] CONTAINER [CONTAINER...]";
pub(crate) const NAMES: &str = "varve container stop, varve stop";

/// Stop one or more running containers
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    how: How,

    #[arg(required = true, num_args = 1..)]
    containers: Vec<String>,
}

/// How `stop` and `restart` end a container.
#[derive(Debug, clap::Args)]
pub(super) struct How {
    /// Signal to send to the container
    #[arg(short, long, value_name = "string", default_value = "")]
    signal: String,

    /// Seconds to wait before killing the container
    #[arg(short, long, alias = "time", value_name = "int", value_parser = flags::integer)]
    #[arg(allow_negative_numbers = true)]
    timeout: Option<i64>,
}

impl How {
    pub(super) fn request(&self) -> Stop<'_> {
        let signal = Some(self.signal.as_str()).filter(|signal| !signal.is_empty());
        Stop { signal, timeout_s: self.timeout }
    }
}

pub(crate) fn run(ui: &Ui, args: &Args) -> Result<(), CommandError> {
    each(ui, &args.containers, |name| verbs::stop(ui, name, args.how.request()))
}
