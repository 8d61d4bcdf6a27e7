//! `varve builder`: builds and their cache

pub(crate) mod prune;

use super::build;
use crate::{error::CommandError, ui::Ui};

#[derive(Debug, clap::Subcommand)]
#[allow(clippy::large_enum_variant, reason = "there is one of it")]
pub(crate) enum Command {
    #[command(override_usage = build::USAGE, after_help = build::NAMES)]
    Build(build::Args),
    #[command(override_usage = prune::USAGE)]
    Prune(prune::Args),
}

impl Command {
    /// Runs the command.
    pub(crate) fn run(&self, ui: &Ui) -> Result<(), CommandError> {
        match self {
            Self::Build(args) => build::run(ui, args),
            Self::Prune(args) => prune::run(ui, args),
        }
    }
}
