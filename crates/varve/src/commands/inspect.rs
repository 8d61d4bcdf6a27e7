//! `varve inspect`: any kind of object

pub(crate) mod image;

use super::flags;
use crate::{error::CommandError, ui::Ui};

pub(crate) const USAGE: &str = "[OPTIONS] NAME|ID [NAME|ID...]";

/// Return low-level information on Docker objects
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[arg(short, long, value_name = "string", default_value = "", help = flags::FORMAT_HELP)]
    format: String,

    /// Display total file sizes if the type is container
    #[arg(short, long)]
    size: bool,

    /// Only inspect objects of the given type
    #[arg(long = "type", value_name = "string", default_value = "")]
    kind: String,

    #[arg(required = true, num_args = 1..)]
    names: Vec<String>,
}

pub(crate) fn run(ui: &Ui, args: &Args) -> Result<(), CommandError> {
    let _ = (ui, args);
    Err(CommandError::plain("not yet", 1))
}
