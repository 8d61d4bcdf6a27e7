//! `varve volume`: data that outlives containers

mod create;
mod inspect;
mod ls;
mod prune;
mod rm;

use crate::{error::CommandError, ui::Ui};

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    #[command(override_usage = create::USAGE)]
    Create(create::Args),
    #[command(override_usage = inspect::USAGE)]
    Inspect(inspect::Args),
    #[command(alias = "list", override_usage = ls::USAGE, after_help = ls::NAMES)]
    Ls(ls::Args),
    #[command(override_usage = prune::USAGE)]
    Prune(prune::Args),
    #[command(alias = "remove", override_usage = rm::USAGE, after_help = rm::NAMES)]
    Rm(rm::Args),
}

impl Command {
    /// Runs the command.
    pub(crate) fn run(&self, ui: &Ui) -> Result<(), CommandError> {
        match self {
            Self::Create(args) => create::run(ui, args),
            Self::Inspect(args) => inspect::run(ui, args),
            Self::Ls(args) => ls::run(ui, args),
            Self::Prune(args) => prune::run(ui, args),
            Self::Rm(args) => rm::run(ui, args),
        }
    }
}
