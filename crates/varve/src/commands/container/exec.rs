//! `varve exec`

use std::path::PathBuf;

use varve_types::container::parse;

use super::{
    files,
    session::{self, Attachment},
    verbs::{self, Exec},
};
use crate::{error::CommandError, ui::Ui};

pub(crate) const USAGE: &str = "[OPTIONS] CONTAINER COMMAND [ARG...]";
pub(crate) const NAMES: &str = "varve container exec, varve exec";

/// Execute a command in a running container
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Detached mode: run command in the background
    #[arg(short, long)]
    detach: bool,

    /// Override the key sequence for detaching a container
    #[arg(long, value_name = "string", default_value = "")]
    detach_keys: String,

    /// Set environment variables
    #[arg(short, long, value_name = "list", value_parser = parse::env::variable)]
    #[arg(action = clap::ArgAction::Append)]
    env: Vec<String>,

    /// Read in a file of environment variables
    #[arg(long = "env-file", value_name = "list", action = clap::ArgAction::Append)]
    env_files: Vec<PathBuf>,

    /// Keep STDIN open even if not attached
    #[arg(short, long)]
    interactive: bool,

    /// Give extended privileges to the command
    #[arg(long)]
    privileged: bool,

    /// Allocate a pseudo-TTY
    #[arg(short, long)]
    tty: bool,

    #[arg(short, long, value_name = "string", default_value = "")]
    #[arg(help = "Username or UID (format: \"<name|uid>[:<group|gid>]\")")]
    user: String,

    /// Working directory inside the container
    #[arg(short, long, value_name = "string", default_value = "")]
    workdir: String,

    #[arg(required = true)]
    container: String,

    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true, num_args = 1..)]
    command: Vec<String>,
}

pub(crate) fn run(ui: &Ui, args: &Args) -> Result<(), CommandError> {
    let env = files::variables(ui.environment(), &args.env_files, &args.env)
        .map_err(|text| CommandError::plain(text, 1))?;
    let attachment = Attachment {
        keys: session::keys(ui, &args.detach_keys),
        input: args.interactive && !args.detach,
        output: true,
        errors: true,
        forwards_signals: false,
    };
    if !args.detach {
        session::check_terminal(args.interactive, args.tty)?;
    }
    let request = Exec {
        command: &args.command,
        env: &env,
        user: &args.user,
        working_dir: &args.workdir,
        privileged: args.privileged,
        tty: args.tty,
    };
    if args.detach {
        return verbs::exec_detached(ui, &args.container, &request);
    }
    session::exit(verbs::exec(ui, &args.container, &request, &attachment)?)
}
