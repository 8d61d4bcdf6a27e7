//! `varve start`

use super::{
    finish,
    session::{self, Attachment},
    verbs,
};
use crate::{error::CommandError, ui::Ui};

pub(crate) const USAGE: &str = "[OPTIONS] CONTAINER [CONTAINER...]";
pub(crate) const NAMES: &str = "varve container start, varve start";

/// Start one or more stopped containers
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Attach STDOUT/STDERR and forward signals
    #[arg(short, long)]
    attach: bool,

    /// Override the key sequence for detaching a container
    #[arg(long, value_name = "string", default_value = "")]
    detach_keys: String,

    /// Attach container's STDIN
    #[arg(short, long)]
    interactive: bool,

    #[arg(required = true, num_args = 1..)]
    containers: Vec<String>,
}

pub(crate) fn run(ui: &Ui, args: &Args) -> Result<(), CommandError> {
    if args.attach || args.interactive {
        let [name] = args.containers.as_slice() else {
            let text = "you cannot start and attach multiple containers at once";
            return Err(CommandError::plain(text, 1));
        };
        let attachment = Attachment {
            keys: session::keys(ui, &args.detach_keys),
            input: args.interactive,
            output: true,
            errors: true,
            forwards_signals: true,
        };
        return session::exit(verbs::start_attached(ui, name, &attachment, None)?);
    }
    let (mut errors, mut failed) = (Vec::new(), Vec::new());
    for name in &args.containers {
        match verbs::start(ui, name, None) {
            Ok(()) => ui.line(name)?,
            Err(error) => {
                errors.extend(error.text());
                failed.push(name.as_str());
            }
        }
    }
    if !failed.is_empty() {
        errors.push(format!("Error: failed to start containers: {}", failed.join(", ")));
    }
    finish(errors)
}
