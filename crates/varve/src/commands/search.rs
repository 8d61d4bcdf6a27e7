//! `varve search`

use super::flags;
use crate::{error::CommandError, ui::Ui};

pub(crate) const USAGE: &str = "[OPTIONS] TERM";

/// Search Docker Hub for images
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Filter output based on conditions provided
    #[arg(short, long = "filter", value_name = "filter", value_parser = flags::filter)]
    #[arg(action = clap::ArgAction::Append)]
    filters: Vec<flags::Filter>,

    /// Pretty-print search using a Go template
    #[arg(long, value_name = "string", default_value = "")]
    format: String,

    /// Max number of search results
    #[arg(long, value_name = "int", default_value = "0", value_parser = flags::integer)]
    limit: i64,

    /// Don't truncate output
    #[arg(long = "no-trunc")]
    no_trunc: bool,

    term: String,
}

pub(crate) fn run(ui: &Ui, args: &Args) -> Result<(), CommandError> {
    let _ = (ui, args);
    Err(CommandError::plain("not yet", 1))
}
