//! `varve port`

use super::verbs;
use crate::{error::CommandError, report::ports, ui::Ui};

pub(crate) const USAGE: &str = "CONTAINER [PRIVATE_PORT[/PROTO]]";
pub(crate) const NAMES: &str = "varve container port, varve port";

/// List port mappings or a specific mapping for the container
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[arg(required = true)]
    container: String,

    port: Option<String>,
}

pub(crate) fn run(ui: &Ui, args: &Args) -> Result<(), CommandError> {
    let bindings = verbs::ports(ui, &args.container)?;
    ui.text(&ports::bindings(&bindings, &args.container, args.port.as_deref())?)
}
