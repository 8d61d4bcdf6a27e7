//! `varve network rm`

use crate::{
    commands::container::{finish, verbs},
    error::CommandError,
    ui::Ui,
};

pub(crate) const USAGE: &str = "NETWORK [NETWORK...]";
pub(crate) const NAMES: &str = "varve network rm, varve network remove";

/// Remove one or more networks
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Do not error if the network does not exist
    #[arg(short, long)]
    force: bool,

    #[arg(required = true, num_args = 1..)]
    networks: Vec<String>,
}

pub(crate) fn run(ui: &Ui, args: &Args) -> Result<(), CommandError> {
    let mut errors = Vec::new();
    for name in &args.networks {
        match verbs::remove_network(ui, name) {
            Ok(()) => ui.line(name)?,
            Err(error) if args.force && error.is_missing() => {}
            Err(error) => errors.extend(error.text()),
        }
    }
    finish(errors)
}
