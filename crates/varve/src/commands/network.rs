//! `varve network`: what containers reach each other through

mod connect;
mod create;
mod disconnect;
mod inspect;
mod ls;
mod prune;
mod rm;

use crate::{error::CommandError, ui::Ui};

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    #[command(override_usage = connect::USAGE)]
    Connect(connect::Args),
    #[command(override_usage = create::USAGE)]
    Create(create::Args),
    #[command(override_usage = disconnect::USAGE)]
    Disconnect(disconnect::Args),
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
            Self::Connect(args) => connect::run(ui, args),
            Self::Create(args) => create::run(ui, args),
            Self::Disconnect(args) => disconnect::run(ui, args),
            Self::Inspect(args) => inspect::run(ui, args),
            Self::Ls(args) => ls::run(ui, args),
            Self::Prune(args) => prune::run(ui, args),
            Self::Rm(args) => rm::run(ui, args),
        }
    }
}
