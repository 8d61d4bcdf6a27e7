//! `varve top`

use super::verbs;
use crate::{error::CommandError, report::top, ui::Ui};

pub(crate) const USAGE: &str = "CONTAINER [ps OPTIONS]";
pub(crate) const NAMES: &str = "varve container top, varve top";

/// Display the running processes of a container
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[arg(required = true)]
    container: String,

    #[arg(trailing_var_arg = true, allow_hyphen_values = true, num_args = 0..)]
    options: Vec<String>,
}

pub(crate) fn run(ui: &Ui, args: &Args) -> Result<(), CommandError> {
    let table = verbs::top(ui, &args.container, &args.options)?;
    ui.text(&top::table(&table))
}
