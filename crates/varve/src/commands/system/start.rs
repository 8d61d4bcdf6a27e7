//! `varve system start`

use crate::{
    commands::container::{finish, verbs},
    error::CommandError,
    ui::Ui,
};

pub(crate) const USAGE: &str = "";

/// Start the containers that run whenever the machine does
///
/// Those with `--restart always`, and with `--restart unless-stopped` those that nobody stopped.
/// For the machine's init to call: there is no daemon that would see to it. Prints the names of
/// those that were started.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(ui: &Ui, _args: &Args) -> Result<(), CommandError> {
    let (mut errors, mut failed) = (Vec::new(), Vec::new());
    for container in ui.engine()?.containers_to_run()? {
        let name = container.name.to_string();
        match verbs::start(ui, &name, None) {
            Ok(()) => ui.line(&name)?,
            Err(error) => {
                errors.extend(error.text());
                failed.push(name);
            }
        }
    }
    if !failed.is_empty() {
        errors.push(format!("Error: failed to start containers: {}", failed.join(", ")));
    }
    finish(errors)
}
