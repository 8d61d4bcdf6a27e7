//! `varve system`: the store as a whole

mod check;
mod df;
mod prune;
mod reset;
mod start;

use super::info;
use crate::{error::CommandError, ui::Ui};

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    #[command(override_usage = check::USAGE)]
    Check(check::Args),
    #[command(override_usage = df::USAGE)]
    Df(df::Args),
    #[command(override_usage = info::USAGE, after_help = info::NAMES)]
    Info(info::Args),
    #[command(override_usage = prune::USAGE)]
    Prune(prune::Args),
    #[command(override_usage = reset::USAGE)]
    Reset(reset::Args),
    #[command(override_usage = start::USAGE)]
    Start(start::Args),
}

impl Command {
    /// Runs the command.
    pub(crate) fn run(&self, ui: &Ui) -> Result<(), CommandError> {
        match self {
            Self::Check(args) => check::run(ui, args),
            Self::Df(args) => df::run(ui, args),
            Self::Info(args) => info::run(ui, args),
            Self::Prune(args) => prune::run(ui, args),
            Self::Reset(args) => reset::run(ui, args),
            Self::Start(args) => start::run(ui, args),
        }
    }
}
