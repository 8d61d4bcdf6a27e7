//! `varve volume rm`

use crate::{
    commands::container::{each, verbs},
    error::CommandError,
    ui::Ui,
};

pub(crate) const USAGE: &str = "[OPTIONS] VOLUME [VOLUME...]";
pub(crate) const NAMES: &str = "varve volume rm, varve volume remove";

/// Remove one or more volumes
///
/// Remove one or more volumes. You cannot remove a volume that is in use by a container.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Force the removal of one or more volumes
    #[arg(short, long)]
    force: bool,

    #[arg(required = true, num_args = 1..)]
    volumes: Vec<String>,
}

pub(crate) fn run(ui: &Ui, args: &Args) -> Result<(), CommandError> {
    each(ui, &args.volumes, |name| verbs::remove_volume(ui, name, args.force))
}
