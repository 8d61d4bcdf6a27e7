//! `varve rm`

use varve_engine::RemoveContainer;

use super::{finish, verbs};
use crate::{error::CommandError, ui::Ui};

pub(crate) const USAGE: &str = "[OPTIONS] CONTAINER [CONTAINER...]";
pub(crate) const NAMES: &str = "varve container rm, varve container remove, varve rm";

/// Remove one or more containers
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Force the removal of a running container (uses SIGKILL)
    #[arg(short, long)]
    force: bool,

    /// Remove the specified link
    #[arg(short, long)]
    link: bool,

    /// Remove anonymous volumes associated with the container
    #[arg(short, long)]
    volumes: bool,

    #[arg(required = true, num_args = 1..)]
    containers: Vec<String>,
}

pub(crate) fn run(ui: &Ui, args: &Args) -> Result<(), CommandError> {
    let request = RemoveContainer { force: args.force, volumes: args.volumes };
    let (mut errors, mut failed) = (Vec::new(), false);
    for name in &args.containers {
        // Docker's client takes the slash off that its daemon puts before names.
        let plain = name.trim_matches('/');
        let removed = if plain.is_empty() {
            Err(CommandError::plain("container name cannot be empty", 1))
        } else if args.link {
            verbs::remove_link(ui, plain)
        } else {
            verbs::remove(ui, plain, request)
        };
        match removed {
            Ok(()) => ui.line(name)?,
            Err(error) => {
                // A container that is gone is what `--force` asks for; it is said all the same.
                failed |= !(args.force && error.is_missing());
                errors.extend(error.text());
            }
        }
    }
    match finish(errors) {
        Err(error) if !failed => {
            ui.complain(error.text().unwrap_or_default());
            Ok(())
        }
        finished => finished,
    }
}
