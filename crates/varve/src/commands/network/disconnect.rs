//! `varve network disconnect`

use crate::{commands::container::verbs, error::CommandError, ui::Ui};

pub(crate) const USAGE: &str = "[OPTIONS] NETWORK CONTAINER";

/// Disconnect a container from a network
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Force the container to disconnect from a network
    #[arg(short, long)]
    force: bool,

    network: String,

    container: String,
}

pub(crate) fn run(ui: &Ui, args: &Args) -> Result<(), CommandError> {
    verbs::disconnect(ui, &args.network, &args.container, args.force)
}
