//! `varve version`

use super::flags;
use crate::{error::CommandError, report::version, ui::Ui};

pub(crate) const USAGE: &str = "[OPTIONS]";

/// Show the Docker version information
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[arg(short, long, value_name = "string", default_value = "", help = flags::FORMAT_HELP)]
    format: String,
}

pub(crate) fn run(ui: &Ui, args: &Args) -> Result<(), CommandError> {
    let kernel = rustix::system::uname().release().to_string_lossy().into_owned();
    match args.format.as_str() {
        "" => ui.text(&version::text(&kernel)),
        format => ui.text(&crate::format::one(format, &version::value(Some(&kernel)))?),
    }
}

/// The versions of this program alone.
pub(crate) fn run_elsewhere(ui: &Ui, args: &Args) -> Result<(), CommandError> {
    match args.format.as_str() {
        "" => ui.text(&version::client_text()),
        format => ui.text(&crate::format::one(format, &version::value(None))?),
    }
}

/// The line that `--version` prints.
pub(crate) fn one_line() -> String {
    format!("Varve version {}, build {}", version::VERSION, version::commit())
}
