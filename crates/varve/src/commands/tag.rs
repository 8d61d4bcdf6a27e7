//! `varve tag`

use crate::{error::CommandError, ui::Ui};

pub(crate) const USAGE: &str = "SOURCE_IMAGE[:TAG] TARGET_IMAGE[:TAG]";
pub(crate) const NAMES: &str = "varve image tag, varve tag";

/// Create a tag TARGET_IMAGE that refers to SOURCE_IMAGE
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    source: String,
    target: String,
}

pub(crate) fn run(ui: &Ui, args: &Args) -> Result<(), CommandError> {
    Ok(ui.engine()?.tag(&ui.silent(), &args.source, &args.target)?)
}
