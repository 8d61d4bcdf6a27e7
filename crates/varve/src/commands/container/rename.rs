//! `varve rename`

use super::verbs;
use crate::{error::CommandError, ui::Ui};

pub(crate) const USAGE: &str = "CONTAINER NEW_NAME";
pub(crate) const NAMES: &str = "varve container rename, varve rename";

/// Rename a container
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[arg(required = true)]
    container: String,

    #[arg(required = true)]
    new_name: String,
}

pub(crate) fn run(ui: &Ui, args: &Args) -> Result<(), CommandError> {
    let (old, new) = (args.container.trim(), args.new_name.trim());
    if old.is_empty() || new.is_empty() {
        let text = "Error: Neither old nor new names may be empty";
        return Err(CommandError::plain(text, 1));
    }
    verbs::rename(ui, old, new).map_err(|error| {
        let shown = error.text().unwrap_or_default();
        let text = format!("{shown}\nError: failed to rename container named {old}");
        CommandError::plain(text, 1)
    })
}
