//! `varve buildx inspect`

use varve_types::Platform;

use super::{BUILDER, known};
use crate::{error::CommandError, ui::Ui};

pub(crate) const USAGE: &str = "[NAME]";

/// Inspect current builder instance
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[arg(long, help = "Accepted for compatibility; there is nothing to start")]
    #[allow(dead_code, reason = "taken and not looked at")]
    bootstrap: bool,

    name: Option<String>,
}

pub(crate) fn run(ui: &Ui, args: &Args) -> Result<(), CommandError> {
    known(args.name.as_deref())?;
    let version = concat!("v", env!("CARGO_PKG_VERSION"));
    let platform = Platform::host();
    ui.text(&format!(
        "Name:   {BUILDER}\nDriver: varve\n\nNodes:\nName:             {BUILDER}\n\
         Endpoint:         {BUILDER}\nStatus:           running\nBuildKit version: {version}\n\
         Platforms:        {platform}\n"
    ))
}
