//! `varve commit`

use super::verbs::{self, Commit};
use crate::{error::CommandError, ui::Ui};

pub(crate) const USAGE: &str = "[OPTIONS] CONTAINER [REPOSITORY[:TAG]]";
pub(crate) const NAMES: &str = "varve container commit, varve commit";

/// Create a new image from a container's changes
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Author (e.g., "John Hannibal Smith <hannibal@a-team.com>")
    #[arg(short, long, value_name = "string", default_value = "")]
    author: String,

    /// Apply Dockerfile instruction to the created image
    #[arg(short, long = "change", value_name = "list", action = clap::ArgAction::Append)]
    changes: Vec<String>,

    /// Commit message
    #[arg(short, long, value_name = "string", default_value = "")]
    message: String,

    #[arg(short, long, action = clap::ArgAction::SetFalse)]
    #[arg(help = "Pause container during commit (default true)")]
    pause: bool,

    #[arg(required = true)]
    container: String,

    name: Option<String>,
}

pub(crate) fn run(ui: &Ui, args: &Args) -> Result<(), CommandError> {
    let request = Commit {
        container: &args.container,
        name: args.name.as_deref().filter(|name| !name.is_empty()),
        author: &args.author,
        message: &args.message,
        changes: &args.changes,
        pause: args.pause,
    };
    ui.line(verbs::commit(ui, &request)?)
}
