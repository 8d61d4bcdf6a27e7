//! `varve registry`: a registry of one's own

mod serve;

use crate::{error::CommandError, ui::Ui};

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    #[command(override_usage = serve::USAGE)]
    Serve(serve::Args),
}

impl Command {
    /// Runs the command.
    pub(crate) fn run(&self, ui: &Ui) -> Result<(), CommandError> {
        match self {
            Self::Serve(args) => serve::run(ui, args),
        }
    }
}
