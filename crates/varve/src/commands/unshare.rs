//! `varve unshare`

use std::{os::unix::process::CommandExt as _, process::Command};

use crate::{
    error::CommandError,
    ui::Ui,
    user::{User, VARIABLE},
};

pub(crate) const USAGE: &str = "varve unshare [COMMAND [ARG...]]";

/// Run a command in the user namespace of your containers
///
/// There you are root, and files that belong to users of containers can be read, changed and
/// removed. Without a command your shell (SHELL) is started. For users without privileges only.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The command and its arguments
    #[arg(
        value_name = "COMMAND",
        trailing_var_arg = true,
        allow_hyphen_values = true,
        hide = true
    )]
    command: Vec<String>,
}

pub(crate) fn run(ui: &Ui, args: &Args) -> Result<(), CommandError> {
    let User::Plain { uid, .. } = ui.user() else {
        let text = "please use unshare with rootless";
        return Err(CommandError::plain(format!("Error: {text}"), 125));
    };
    if let Some(member) = ui.membership() {
        member.pass_on().map_err(varve_engine::Error::from)?;
    }
    let shell = || vec![ui.environment().get("SHELL").unwrap_or("/bin/sh").to_owned()];
    let line = if args.command.is_empty() { shell() } else { args.command.clone() };
    ui.flush()?;
    let failed = Command::new(&line[0]).args(&line[1..]).env(VARIABLE, uid.to_string()).exec();
    let code = if failed.kind() == std::io::ErrorKind::NotFound { 127 } else { 126 };
    let text = format!("Error: exec {}: {}", line[0], varve_engine::go_io_text(&failed));
    Err(CommandError::plain(text, code))
}
