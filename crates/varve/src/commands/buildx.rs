//! `varve buildx`: docker's longer name for builds, for scripts that know it

pub(crate) mod du;
mod inspect;
mod ls;
mod version;

use super::{build, builder::prune};
use crate::{error::CommandError, ui::Ui};

#[derive(Debug, clap::Subcommand)]
#[allow(clippy::large_enum_variant, reason = "there is one of it")]
pub(crate) enum Command {
    #[command(alias = "b", override_usage = build::USAGE, after_help = build::NAMES)]
    Build(build::Args),
    #[command(override_usage = du::USAGE)]
    Du(du::Args),
    #[command(override_usage = inspect::USAGE)]
    Inspect(inspect::Args),
    #[command(override_usage = ls::USAGE)]
    Ls(ls::Args),
    #[command(override_usage = prune::USAGE)]
    Prune(prune::Args),
    #[command(override_usage = version::USAGE)]
    Version(version::Args),
}

impl Command {
    /// Runs the command.
    pub(crate) fn run(&self, ui: &Ui) -> Result<(), CommandError> {
        match self {
            Self::Build(args) => build::run(ui, args),
            Self::Du(args) => du::run(ui, args),
            Self::Inspect(args) => inspect::run(ui, args),
            Self::Ls(args) => ls::run(ui, args),
            Self::Prune(args) => prune::run(ui, args),
            Self::Version(args) => version::run(ui, args),
        }
    }
}

/// The one builder there is.
pub(crate) const BUILDER: &str = "default";

/// Refuses a builder that is none.
fn known(name: Option<&str>) -> Result<(), CommandError> {
    match name {
        None | Some("" | BUILDER) => Ok(()),
        Some(name) => {
            let text = format!("ERROR: no builder {name:?} found");
            Err(CommandError::plain(text, 1))
        }
    }
}
