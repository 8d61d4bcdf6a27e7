//! `varve attach`

use super::{
    session::{self, Attachment},
    verbs,
};
use crate::{error::CommandError, ui::Ui};

pub(crate) const USAGE: &str = "[OPTIONS] CONTAINER";
pub(crate) const NAMES: &str = "varve container attach, varve attach";

/// Attach local standard input, output, and error streams to a running container
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Override the key sequence for detaching a container
    #[arg(long, value_name = "string", default_value = "")]
    detach_keys: String,

    /// Do not attach STDIN
    #[arg(long)]
    no_stdin: bool,

    #[arg(long, action = clap::ArgAction::SetFalse)]
    #[arg(help = "Proxy all received signals to the process (default true)")]
    sig_proxy: bool,

    #[arg(required = true)]
    container: String,
}

pub(crate) fn run(ui: &Ui, args: &Args) -> Result<(), CommandError> {
    let attachment = Attachment {
        keys: session::keys(ui, &args.detach_keys),
        input: !args.no_stdin,
        output: true,
        errors: true,
        forwards_signals: args.sig_proxy,
    };
    session::exit(verbs::attach(ui, &args.container, &attachment)?)
}
