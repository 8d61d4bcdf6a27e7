//! `varve info`

use super::flags;
use crate::{error::CommandError, report::info, ui::Ui};

pub(crate) const USAGE: &str = "[OPTIONS]";
pub(crate) const NAMES: &str = "varve system info, varve info";

/// Display system-wide information
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[arg(short, long, value_name = "string", default_value = "", help = flags::FORMAT_HELP)]
    format: String,
}

pub(crate) fn run(ui: &Ui, args: &Args) -> Result<(), CommandError> {
    let engine = ui.engine()?;
    let facts = engine.info(&ui.silent())?;
    let debug = ui.globals().debug;
    match args.format.as_str() {
        "" => {
            // Credentials that cannot be read are the business of the commands that need them.
            let kept = ui.registries()?.kept_credential("").ok().flatten();
            let username = kept.as_ref().map(varve_engine::Credential::username);
            let username = username.filter(|name| !name.is_empty());
            ui.text(&info::text(&facts, debug, username))
        }
        format => ui.text(&crate::format::one(format, &info::value(&facts, debug))?),
    }
}

/// What is known without a store.
pub(crate) fn run_elsewhere(ui: &Ui, args: &Args) -> Result<(), CommandError> {
    match args.format.as_str() {
        "" => ui.text(&format!("{}\nServer:\n", info::client_text(ui.globals().debug))),
        _ => Ok(()),
    }
}
