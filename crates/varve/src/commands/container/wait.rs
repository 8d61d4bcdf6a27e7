//! `varve wait`

use super::{finish, verbs};
use crate::{error::CommandError, ui::Ui};

pub(crate) const USAGE: &str = "CONTAINER [CONTAINER...]";
pub(crate) const NAMES: &str = "varve container wait, varve wait";

/// Block until one or more containers stop, then print their exit codes
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[arg(required = true, num_args = 1..)]
    containers: Vec<String>,
}

pub(crate) fn run(ui: &Ui, args: &Args) -> Result<(), CommandError> {
    let mut errors = Vec::new();
    for name in &args.containers {
        match verbs::wait(ui, name) {
            Ok(code) => {
                ui.line(code)?;
                ui.flush()?;
            }
            Err(error) => errors.extend(error.text()),
        }
    }
    finish(errors)
}
